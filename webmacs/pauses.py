"""Long work on the event loop, in parts: between them, everyone else has a turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.002


class Pauses:
    """Of one piece of work. A pause is made when the work has gone on for some milliseconds, and not before."""

    def __init__(self, slice_s: float = SLICE_S, now: Callable[[], float] = time.perf_counter) -> None:
        self._slice_s, self._now = slice_s, now
        self._ends = now() + slice_s

    async def between(self) -> None:
        """Between two parts. Whatever may run, runs meanwhile: what was looked at before may have changed."""
        if self._now() >= self._ends:
            await asyncio.sleep(0)
            self._ends = self._now() + self._slice_s
