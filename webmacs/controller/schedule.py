"""When which channels of a device are read: on beats that do not drift. No clock, no loop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

EARLY_S: Final = 1e-6  # by so much a timer may be early


class Schedule:
    """Channels with the same interval are read together, at whole multiples of it: so all devices have the same beat.

    A beat that is over when it is asked for is missed: it is counted and not made up for.
    """

    def __init__(self, intervals: Mapping[str, float], now: float) -> None:
        """`intervals` has the seconds between two readings of each channel."""
        self._groups: dict[float, list[str]] = {}
        for channel_id, interval_s in intervals.items():
            self._groups.setdefault(interval_s, []).append(channel_id)
        self._next = {interval_s: math.ceil(now / interval_s) * interval_s for interval_s in self._groups}
        self.missed = 0

    def next_at(self) -> float | None:
        """When the next beat is; None: nothing is read."""
        return min(self._next.values(), default=None)

    def due(self, now: float) -> list[str]:
        """The channels whose beat it is. They are not due again before their next one."""
        found: list[str] = []
        for interval_s, at in self._next.items():
            if at > now + EARLY_S:
                continue
            beat = math.floor((now + EARLY_S) / interval_s)
            self.missed += max(beat - round(at / interval_s), 0)
            self._next[interval_s] = (beat + 1) * interval_s
            found += self._groups[interval_s]
        return found
