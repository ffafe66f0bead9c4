"""What is known of each event while one watches: the last value, how it went, how often it comes. No terminal."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from webmacs.cli.names import Label, Names
from webmacs.cli.point import Point

HISTORY: Final = 60
WINDOW_S: Final = 10.0


@dataclass(slots=True)
class Row:
    """One event. `arrivals` are the times of those after the first, which a snapshot may have brought."""

    label: Label
    point: Point
    experiment: str = ""
    values: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    arrivals: deque[float] = field(default_factory=deque)

    def take(self, point: Point, now: float) -> None:
        """One more reading."""
        self.point = point
        if self.values:
            self.arrivals.append(now)
        self.values.append(point.value)

    def rate(self, now: float, since: float) -> float:
        """Readings a second over the last while."""
        while self.arrivals and self.arrivals[0] <= now - WINDOW_S:
            self.arrivals.popleft()
        return len(self.arrivals) / min(max(now - since, 1.0), WINDOW_S)


class Board:
    """All events that have been seen, in the order of their names."""

    def __init__(self, names: Names, now: float) -> None:
        self._names = names
        self._rows: dict[str, Row] = {}
        self._since = now

    def take(self, points: Iterable[Point], now: float) -> None:
        """Enter readings; `now` is a clock's that never goes back."""
        for point in points:
            row = self._rows.get(point.event)
            if row is None:
                row = self._rows[point.event] = Row(self._names.event(point.event), point)
            row.label = self._names.event(point.event)
            row.experiment = self._names.experiment(point.experiment)
            row.take(point, now)

    def rows(self) -> list[Row]:
        """In an order that stays: by name, numbers in it by their size."""
        return sorted(self._rows.values(), key=lambda row: (natural(row.label.name), row.point.event))

    def rate(self, row: Row, now: float) -> float:
        """Readings of one event a second."""
        return row.rate(now, self._since)

    def newest(self) -> datetime | None:
        """When the newest reading was taken."""
        return max((row.point.time for row in self._rows.values()), default=None)


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """A key that sorts `Sensor 2` before `Sensor 10`, whatever the case."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name.casefold())
    return tuple((False, int(part), "") if part[0] in "0123456789" else (True, 0, part) for part in parts)
