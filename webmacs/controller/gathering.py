"""Between devices and the spool: what is measured at nearly the same time goes into one batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence

from webmacs.controller.frames import Reading
from webmacs.controller.unchanged import Unchanged


class Gathering:
    """The first reading after a pause is handed on in the next turn of the loop, others every `interval_s`."""

    def __init__(
        self, put: Callable[[Sequence[Reading]], None], interval_s: float, unchanged: Unchanged | None = None
    ) -> None:
        self._put, self._interval_s, self._unchanged = put, interval_s, unchanged
        self._waiting: list[Reading] = []
        self._timer: asyncio.TimerHandle | None = None
        self._handed_on_at = -math.inf
        self.taken = 0
        """Readings, since the process began."""
        self.no_numbers = 0
        """Values that no server takes: NaN and the infinities."""

    def add(self, readings: Iterable[Reading]) -> None:
        """Take readings. They are in the spool when `flush` has been called, which is soon."""
        found = list(readings)
        good = [reading for reading in found if math.isfinite(reading.value)]
        self.no_numbers += len(found) - len(good)
        self.taken += len(good)
        self._waiting += self._unchanged.new(good) if self._unchanged else good
        if self._waiting and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._handed_on_at + self._interval_s), self.flush)

    def flush(self) -> None:
        """Hand on what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._handed_on_at = asyncio.get_running_loop().time()
            self._put(waiting)
