"""Tests that take no time: an event loop whose clock skips to the next timer as soon as nothing is left to do."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from webmacs.testing import START_US

P = ParamSpec("P")


class SkippingSelector(selectors.DefaultSelector):
    """Waits for nothing. That all tasks wait and no timer will wake one is an error, not a test that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everyone waits, and nobody will ever be woken")
            self.now += max(timeout, 0)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: for tests without sockets and threads."""

    def __init__(self) -> None:
        self._skipping = SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


class LoopClock:
    """A `Clock` that shows the time of the running loop."""

    def now_us(self) -> int:
        return START_US + round(self.monotonic() * 1e6)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=SkippingLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def settle(turns: int = 20) -> None:
    """Let every task that is ready run, without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)
