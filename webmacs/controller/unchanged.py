"""Which readings say nothing new. No clock: readings bring their times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from webmacs.controller.frames import Reading

NS: Final = 1_000_000_000


class Unchanged:
    """Leaves out a reading whose value is that of its event's last one, unless that is older than `max_age_s`."""

    def __init__(self, max_age_s: float) -> None:
        self._max_age_ns = int(max_age_s * NS)
        self._last: dict[str, Reading] = {}  # no more than there are channels
        self.left_out = 0

    def new(self, readings: Iterable[Reading]) -> list[Reading]:
        """Those that are to be kept, in their order."""
        found = []
        for reading in readings:
            last = self._last.get(reading.event)
            if last and last.value == reading.value and 0 <= reading.mono_ns - last.mono_ns < self._max_age_ns:
                self.left_out += 1
                continue
            self._last[reading.event] = reading
            found.append(reading)
        return found
