"""Readings of several events as one sequence, a bounded number of them in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.catalog import Snapshot
from webmacs.export import AT_ONCE, CHUNK, HEADER, as_csv, merged
from webmacs.model import Datapoint, Event, to_datetime
from webmacs.storage.base import Storage

START_US, END_US = 1_000, 9_000


class Shelf:
    """As much of a storage as an export needs; remembers how much it was asked for at a time."""

    def __init__(self, events: int, each: int) -> None:
        self.asked: set[int] = set()
        self.rows = {number: list(self._measured(number, each)) for number in range(1, events + 1)}

    def _measured(self, number: int, each: int) -> Iterator[Datapoint]:
        event = Event(number, f"e{number}", f"Sensor {number}", "V", "sensor", 0.0, 1.0)
        for index in range(each):  # several at the same time, also across events
            yield Datapoint(1 + index * 1_000 + number, event, START_US + index // 2, float(index), None)

    async def history(
        self, _snapshot: Snapshot, event_id: int, *, after: tuple[int, int], limit: int
    ) -> list[Datapoint]:
        self.asked.add(limit)
        return [row for row in self.rows[event_id] if (row.time_us, row.id) > after][:limit]

    def all(self) -> list[Datapoint]:
        rows = [row for rows in self.rows.values() for row in rows]
        return sorted(rows, key=lambda row: (row.time_us, row.id))


async def read(shelf: Any, events: int, from_us: int = START_US, until_us: int = END_US) -> list[Datapoint]:
    runs = merged(shelf, Snapshot(), range(1, events + 1), from_us=from_us, until_us=until_us)
    return [row async for run in runs for row in run]


@pytest.mark.parametrize(("events", "each"), [(1, 0), (1, 1), (3, 50), (1, CHUNK + 1), (2, CHUNK), (200, 260)])
async def test_all_come_once_by_time_then_id(events: int, each: int) -> None:
    shelf = Shelf(events, each)
    assert await read(shelf, events) == shelf.all()


@pytest.mark.parametrize(
    ("events", "limit"), [(1, CHUNK), (15, CHUNK), (100, AT_ONCE // 100), (1_000, AT_ONCE // 1_000)]
)
async def test_the_more_events_the_less_of_each_is_held(events: int, limit: int) -> None:
    shelf = Shelf(events, 2)
    await read(shelf, events)
    assert shelf.asked == {limit}


async def test_the_first_moment_belongs_to_it_and_the_last_does_not() -> None:
    shelf = Shelf(2, 20)
    found = await read(shelf, 2, START_US + 2, START_US + 5)
    assert found == [row for row in shelf.all() if START_US + 2 <= row.time_us < START_US + 5]


async def test_an_event_with_few_readings_does_not_hold_up_one_with_many() -> None:
    shelf = Shelf(2, CHUNK * 3)
    shelf.rows[1] = shelf.rows[1][:: CHUNK // 2]
    assert await read(shelf, 2) == shelf.all()


async def test_no_more_than_a_chunk_comes_at_a_time() -> None:
    shelf = Shelf(7, CHUNK)
    runs = merged(cast("Storage", shelf), Snapshot(), range(1, 8), from_us=START_US, until_us=END_US)
    assert max([len(run) async for run in runs]) == CHUNK


async def test_of_no_events_nothing_comes() -> None:
    assert await read(Shelf(0, 0), 0) == []


# -- as text ---------------------------------------------------------------------------------------------------------

NAMES = st.text(st.sampled_from(",\"\r\n; \t'") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
TIMES = st.integers(0, 4_000_000_000_000_000)
POINTS = st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 2), TIMES, st.floats(allow_nan=False)), max_size=40)


async def text_of(*runs: Sequence[Datapoint]) -> str:
    async def all_of_them() -> AsyncIterator[Sequence[Datapoint]]:
        for run in runs:
            yield run

    return b"".join([some async for some in as_csv(all_of_them())]).decode()


@given(st.lists(NAMES, min_size=3, max_size=3), st.lists(NAMES | st.just(""), min_size=3, max_size=3), POINTS)
async def test_it_is_what_a_writer_of_csv_makes_of_it(
    names: list[str], units: list[str], rows: list[tuple[int, int, int, float]]
) -> None:
    events = [Event(number, f"e{number}", names[number], units[number], "sensor", 0.0, 1.0) for number in range(3)]
    points = [Datapoint(row_id, events[number], time_us, value, None) for row_id, number, time_us, value in rows]
    expected = io.StringIO(newline="")
    writer = csv.writer(expected)
    writer.writerow(HEADER)
    for point in points:
        time = to_datetime(point.time_us).isoformat(timespec="microseconds")
        event = point.event
        writer.writerow((time, event.name, event.public_id, repr(point.value), event.unit, point.public_id))
    assert await text_of(points[:10], [], points[10:]) == expected.getvalue()
