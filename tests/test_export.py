"""Readings of several events as one sequence, a bounded number of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from webmacs.catalog import Snapshot
from webmacs.export import AT_ONCE, CHUNK, merged
from webmacs.model import Datapoint, Event

START_US, END_US = 1_000, 9_000


class Shelf:
    """As much of a storage as an export needs; remembers how much it was asked for at a time."""

    def __init__(self, events: int, each: int) -> None:
        self.asked: set[int] = set()
        self._rows = {number: list(self._measured(number, each)) for number in range(1, events + 1)}

    def _measured(self, number: int, each: int) -> Iterator[Datapoint]:
        event = Event(number, f"e{number}", f"Sensor {number}", "V", "sensor", 0.0, 1.0)
        for index in range(each):  # several at the same time, also across events
            yield Datapoint(1 + index * 1_000 + number, event, START_US + index // 2, float(index), None)

    async def history(
        self, _snapshot: Snapshot, event_id: int, *, after: tuple[int, int], limit: int
    ) -> list[Datapoint]:
        self.asked.add(limit)
        return [row for row in self._rows[event_id] if (row.time_us, row.id) > after][:limit]

    def all(self) -> list[Datapoint]:
        rows = [row for rows in self._rows.values() for row in rows]
        return sorted(rows, key=lambda row: (row.time_us, row.id))


async def read(shelf: Any, events: int, from_us: int = START_US, until_us: int = END_US) -> list[Datapoint]:
    ids = range(1, events + 1)
    return [row async for row in merged(shelf, Snapshot(), ids, from_us=from_us, until_us=until_us)]


@pytest.mark.parametrize(("events", "each"), [(1, 0), (1, 1), (3, 50), (1, CHUNK + 1), (2, CHUNK), (200, 260)])
async def test_all_come_once_by_time_then_id(events: int, each: int) -> None:
    shelf = Shelf(events, each)
    assert await read(shelf, events) == shelf.all()


@pytest.mark.parametrize(
    ("events", "limit"), [(1, CHUNK), (25, CHUNK), (100, AT_ONCE // 100), (1_000, AT_ONCE // 1_000)]
)
async def test_the_more_events_the_less_of_each_is_held(events: int, limit: int) -> None:
    shelf = Shelf(events, 2)
    await read(shelf, events)
    assert shelf.asked == {limit}


async def test_the_first_moment_belongs_to_it_and_the_last_does_not() -> None:
    shelf = Shelf(2, 20)
    found = await read(shelf, 2, START_US + 2, START_US + 5)
    assert found == [row for row in shelf.all() if START_US + 2 <= row.time_us < START_US + 5]


async def test_of_no_events_nothing_comes() -> None:
    assert await read(Shelf(0, 0), 0) == []
