"""How late the event loop comes back to what is due: the wait that everything has in common."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from webmacs.metrics import Metrics

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 0.05
RECENT_S: Final = 60.0
BOUNDS_S: Final = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LoopLag:
    """Asks to be woken twenty times a second, and notes by how much that was late.

    What holds up the loop for longer than the interval is always seen; what is shorter, as often as somebody who comes
    at any time would meet it. The loop's timers are exact to a millisecond, and so is this.
    """

    def __init__(self, metrics: Metrics, warn_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._warn_s, self._now = warn_s, now
        self._histogram = metrics.histogram("loop_lag_seconds", "How late the event loop was for a timer", BOUNDS_S)
        # The longest of each second, newest last: a window that is cheap to keep.
        self._recent: deque[tuple[int, float]] = deque(maxlen=int(RECENT_S))
        self._warned: float | None = None
        self._unsaid = 0
        metrics.gauge("loop_lag_longest_seconds", "The longest of the last minute", self.longest_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._now() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            now = self._now()
            self.note(max(0.0, now - due), now)

    def note(self, lag_s: float, now: float) -> None:
        """One wake-up, at that time, was so late."""
        self._histogram.add(lag_s)
        second = int(now)
        if self._recent and self._recent[-1][0] == second:
            self._recent[-1] = (second, max(self._recent[-1][1], lag_s))
        else:
            self._recent.append((second, lag_s))
        if lag_s >= self._warn_s:
            self._warn(lag_s, now)

    def longest_s(self) -> float:
        """Of the last minute."""
        since = self._now() - RECENT_S
        return max((lag_s for second, lag_s in self._recent if second >= since), default=0.0)

    def _warn(self, lag_s: float, now: float) -> None:
        """Say it, but no more than once a minute: what has no time needs no lines to write."""
        if self._warned is not None and now - self._warned < RECENT_S:
            self._unsaid += 1
            return
        more = f", and {self._unsaid} times more since the last time this was said" if self._unsaid else ""
        _log.warning(
            "the event loop was held up for %.2f s%s: all clients waited; something in this process computed or "
            "blocked, or the machine gave it no time",
            lag_s,
            more,
        )
        self._warned, self._unsaid = now, 0
