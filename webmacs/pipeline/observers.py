"""How observers hear of commits: each on a bounded queue and in a task of its own."""

from __future__ import annotations

import asyncio
from collections import deque

from webmacs.metrics import Metrics
from webmacs.pipeline.base import Committed, Observer
from webmacs.pipeline.counts import Failures


class Listener:
    """One observer with its queue, its deadline and its task. Nothing it does can hold up who tells it."""

    def __init__(
        self, observer: Observer, limit_rows: int, deadline_s: float, metrics: Metrics, failures: Failures
    ) -> None:
        self._observer = observer
        self._failures = failures
        self._limit = limit_rows
        self._deadline_s = deadline_s
        self._queue: deque[Committed] = deque()
        self._rows = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._overflows = metrics.counter(
            "observer_overflows", "Commits an observer did not hear of one by one", stage=observer.name
        )

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name=f"observer {self._observer.name}")

    def tell(self, committed: Committed) -> None:
        """Queue a commit; over the bound, coalesce or drop as the observer says."""
        self._queue.append(committed)
        self._rows += _cost(committed)
        if self._rows > self._limit and len(self._queue) > 1:
            self._overflow()
        self._wake.set()

    async def close(self) -> None:
        """Let the observer hear what is queued, for at most the deadline, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            _done, pending = await asyncio.wait([self._task], timeout=self._deadline_s)
            for task in pending:
                task.cancel()
                await asyncio.wait([task], timeout=self._deadline_s)  # it may hold on to life

    def _overflow(self) -> None:
        self._overflows.add()
        if self._observer.overflow == "coalesce":
            merged = self._queue.popleft()
            while self._queue:
                merged = merged.coalesced(self._queue.popleft())
            self._queue.append(merged)
            self._rows = _cost(merged)
        else:
            while self._rows > self._limit and len(self._queue) > 1:
                self._rows -= _cost(self._queue.popleft())

    async def _run(self) -> None:
        while True:
            while self._queue:
                committed = self._queue.popleft()
                self._rows -= _cost(committed)
                await self._hear(committed)
            if self._closing:
                return
            self._wake.clear()
            await self._wake.wait()

    async def _hear(self, committed: Committed) -> None:
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                await self._observer.observe(committed)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failures.add(self._observer, "was cancelled by what it waited for; it goes on with the next commit")
        except Exception:  # noqa: BLE001 - whatever an observer raises, the next commit comes
            late = f"took more than {self._deadline_s:g} s and was cancelled"
            self._failures.add(
                self._observer, late if deadline.expired() else "failed; it goes on with the next commit"
            )


def _cost(committed: Committed) -> int:
    return len(committed.readings) or len(committed.newest)
