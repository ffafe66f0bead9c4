"""All devices at work: a worker for each instance, as many as there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from webmacs.controller.instances import Instance
from webmacs.controller.worker import Worker


class Fleet:
    """Follows the configuration: what is new is started, what is gone is stopped, what is another device is both."""

    def __init__(self, hire: Callable[[Instance], Worker]) -> None:
        self._hire = hire
        self._workers: dict[str, Worker] = {}

    @property
    def workers(self) -> Sequence[Worker]:
        """Those that are at work."""
        return tuple(self._workers.values())

    async def follow(self, instances: Iterable[Instance]) -> None:
        """Bring the workers to these instances. Devices that go have safe outputs when this returns."""
        wanted = {instance.public_id: instance for instance in instances}
        gone = {
            public_id: worker
            for public_id, worker in self._workers.items()
            if (new := wanted.get(public_id)) is None or not worker.instance.same_device(new)
        }
        await self._stop(gone)
        for public_id, instance in wanted.items():
            worker = self._workers.get(public_id)
            if worker is None:
                worker = self._workers[public_id] = self._hire(instance)
                worker.start()
            elif worker.instance != instance:
                worker.follow(instance)

    def wake(self, public_id: str) -> None:
        """There is something for the outputs of that instance."""
        worker = self._workers.get(public_id)
        if worker is not None:
            worker.wake()

    def wake_all(self) -> None:
        """There may be something for any output."""
        for worker in self._workers.values():
            worker.wake()

    async def stop(self) -> None:
        """All outputs safe, all devices closed."""
        await self._stop(dict(self._workers))

    async def _stop(self, workers: dict[str, Worker]) -> None:
        await asyncio.gather(*(worker.stop() for worker in workers.values()))
        for public_id in workers:
            del self._workers[public_id]
