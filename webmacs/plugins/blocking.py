"""Devices whose library blocks: plain methods, called in a thread of the device's own, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from webmacs.errors import DeviceError
from webmacs.plugins.device import Device, Sample

_log = logging.getLogger(__name__)
T = TypeVar("T")


class BlockingDevice(Device):
    """A device that is talked to by methods which block; override those.

    They are called in one and the same thread from `open` to `close`. A call that is cancelled cannot be taken back:
    the next one begins when it has returned.
    """

    close_timeout_s: ClassVar[float] = 5.0  # how long `close`, and `open` after it, wait for a call that hangs

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        super().__init__(config, demo=demo)
        self._thread: _Thread | None = None

    def open_blocking(self) -> None:
        """As `Device.open`."""

    def close_blocking(self) -> None:
        """As `Device.close`."""

    def read_blocking(self, channel_ids: Sequence[str]) -> Iterable[Sample]:  # noqa: ARG002 - for those who override it
        """As `Device.read`; what it returns is gone through in the thread."""
        raise DeviceError(f"the plugin {self.description.id!r} cannot read its device")

    def write_blocking(self, channel_id: str, value: float) -> float | None:  # noqa: ARG002 - as above
        """As `Device.write`."""
        raise DeviceError(f"the plugin {self.description.id!r} cannot set anything; it was to set {channel_id!r}")

    async def open(self) -> None:
        """Call `open_blocking`. Raises `DeviceError`, also while a call from before `close` still hangs."""
        await self._let_go()
        self._thread = _Thread(f"device {self.description.id}")
        try:
            await self._thread.call(self.open_blocking)
        except Exception:
            await self.close()
            raise

    async def close(self) -> None:
        """Call `close_blocking` after what still runs, and end the thread; after `close_timeout_s` it is left alone."""
        if self._thread is None:
            return
        try:
            async with asyncio.timeout(self.close_timeout_s):
                await self._thread.last(self.close_blocking)
        except TimeoutError:
            _log.warning("the plugin %r has not come back from its device, and is left alone", self.description.id)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is to be done about it
            _log.warning("the plugin %r could not let go of its device: %s", self.description.id, error)
        if self._thread.ended:
            self._thread = None

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        """Call `read_blocking`."""
        return await self._opened().call(lambda: list(self.read_blocking(channel_ids)))

    async def write(self, channel_id: str, value: float) -> float | None:
        """Call `write_blocking`."""
        return await self._opened().call(lambda: self.write_blocking(channel_id, value))

    def _opened(self) -> _Thread:
        if self._thread is None or self._thread.closing:
            raise DeviceError("the device is not open")
        return self._thread

    async def _let_go(self) -> None:
        await self.close()
        if self._thread is not None:
            raise DeviceError(
                f"the plugin {self.description.id!r} still waits in a call from before; it may be opened again once its"
                " device has answered, or when the controller starts anew"
            )


class _Thread:
    """A thread that makes one call after the other. The process does not wait for it at its end."""

    def __init__(self, name: str) -> None:
        self._calls = queue.SimpleQueue[Callable[[], None] | None]()  # one at most, and the end
        self._turn = asyncio.Lock()
        self._running: asyncio.Future[Any] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def closing(self) -> bool:
        return self._closed is not None

    @property
    def ended(self) -> bool:
        """Whether the last call has returned."""
        return self._closed is not None and self._closed.done()

    async def call(self, function: Callable[[], T]) -> T:
        """What it returns, or raises, in the thread. After a cancellation it still runs, and the next one waits."""
        async with self._turn:
            if self._running is not None and not self._running.done():
                await asyncio.wait([self._running])  # its caller was cancelled
            if self.closing:
                raise DeviceError("the device was closed meanwhile")
            self._running = future = self._put(function)
            return await asyncio.shield(future)

    async def last(self, function: Callable[[], None]) -> None:
        """Make this call after all others, and end. Repeated, it waits for the first one."""
        if self._closed is None:
            self._closed = self._put(function)
            self._calls.put(None)
        await asyncio.shield(self._closed)

    def _put(self, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(_looked_at)

        def work() -> None:
            try:
                result, error = function(), None
            except BaseException as raised:  # noqa: BLE001 - it is the caller's
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, future, result, error)

        self._calls.put(work)
        return future

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if isinstance(error, StopIteration):  # which no future takes
        future.set_exception(DeviceError("the plugin has raised StopIteration"))
    elif error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _looked_at(future: asyncio.Future[Any]) -> None:
    """What a call raises whose caller has gone is nobody's."""
    if not future.cancelled():
        future.exception()
