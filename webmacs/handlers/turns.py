"""Many who always have something to do, and one event loop: whose turn it is."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.002


class Turns:
    """Together they take so much of one turn of the event loop, and no more; then everyone else comes.

    What has arrived already is read without waiting, so that one sender with a full buffer, or many after a moment in
    which nobody was read, would otherwise hold up the loop for as long as all of that takes. Who has used up the time
    waits behind those that wait already; each turn of the loop, the first of them goes on.
    """

    def __init__(self, slice_s: float = SLICE_S, now: Callable[[], float] = time.perf_counter) -> None:
        self._slice_s, self._now = slice_s, now
        self._ends: float | None = None  # None: nobody has taken any of this turn of the loop
        self._waiting: deque[asyncio.Future[None]] = deque()  # one a sender, at most

    async def take(self) -> None:
        """Return when one's turn has come: at once, while there is time left of this turn of the loop."""
        if self._ends is None:
            asyncio.get_running_loop().call_soon(self._next)
        elif self._now() < self._ends:
            return
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._ends = self._now() + self._slice_s

    def _next(self) -> None:
        """Another turn of the loop: who waits comes first, and this again after it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._ends = None
