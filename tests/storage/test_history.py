"""Readings as people look at them, on every storage: the same whether they are rolled up or not."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.rows import DAY, SECOND, SOMEBODY, T0, commit, new_event, new_experiment, reading, snapshot
from webmacs.model import Datapoint, Event, Reading
from webmacs.storage import audit, history, records
from webmacs.storage.audit import Wanted
from webmacs.storage.base import Storage
from webmacs.storage.history import Key
from webmacs.storage.rollups import LAG_US, MINUTE_US, Rollups

HOUR = 3600 * SECOND


async def roll_up(storage: Storage, until_us: int) -> None:
    maker = Rollups(storage)
    while await maker.advance(until_us + LAG_US):
        continue


async def shown(
    storage: Storage, event: Event, from_us: int = T0, until_us: int = T0 + DAY, max_points: int = 100
) -> list[Datapoint]:
    return await history.series(
        storage, await snapshot(storage), event.id, from_us=from_us, until_us=until_us, max_points=max_points
    )


async def paged(storage: Storage, offset: int, limit: int, now_us: int = T0 + DAY) -> list[int]:
    """The ids of a page."""
    found = await history.page(storage, await snapshot(storage), now_us, offset=offset, limit=limit)
    return [datapoint.id for datapoint in found]


def noise(event: Event, count: int, step_us: int, seed: int = 0, from_us: int = T0) -> list[Reading]:
    """A reading each `step_us`, no two with the same value."""
    chance = random.Random(seed)
    return [reading(math.sin(n / 50) * 100 + chance.random(), event, from_us + n * step_us) for n in range(count)]


# -- a stretch of time -----------------------------------------------------------------------------------------------


async def test_few_readings_are_shown_as_they_are(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    experiment = await new_experiment(storage)
    readings = [reading(float(n), event, T0 + n, experiment if n % 2 else None) for n in range(100)]
    done = await commit(storage, 1, [*readings, *noise(other, 50, 1)])
    await storage.append(done)
    found = await shown(storage, event)
    assert [(one.id, one.time_us, one.value, one.experiment) for one in found] == [
        (done.first_id + n, one.time_us, one.value, one.experiment) for n, one in enumerate(readings)
    ]
    assert all(one.event == event for one in found)


async def test_its_beginning_belongs_to_it_and_its_end_does_not(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(float(n), event, T0 + n) for n in range(10)]))
    found = await shown(storage, event, T0 + 3, T0 + 7)
    assert [one.value for one in found] == [3.0, 4.0, 5.0, 6.0]


async def test_an_event_without_readings_has_none(storage: Storage) -> None:
    event = await new_event(storage)
    assert await shown(storage, event) == []
    await storage.append(await commit(storage, 1, noise(event, 1000, SECOND)))
    assert await shown(storage, event, T0 + 2 * DAY, T0 + 3 * DAY) == []


SPANS = [HOUR, 5 * HOUR, DAY, 10 * DAY]


@pytest.mark.parametrize("span_us", SPANS, ids=["hour", "five hours", "day", "ten days"])
@pytest.mark.parametrize("max_points", [10, 11, 99, 500])
async def test_many_readings_are_thinned_to_the_extremes_of_equal_intervals(
    storage: Storage, span_us: int, max_points: int
) -> None:
    event = await new_event(storage)
    readings = noise(event, 2000, span_us // 2000)
    await storage.append(await commit(storage, 1, readings))
    until_us = T0 + span_us
    everything = await shown(storage, event, until_us=until_us, max_points=5000)
    assert len(everything) == 2000
    raw = await shown(storage, event, until_us=until_us, max_points=max_points)
    await roll_up(storage, until_us)
    assert await shown(storage, event, until_us=until_us, max_points=max_points) == raw
    assert max_points / 4 <= len(raw) <= max_points
    assert raw == sorted(raw, key=lambda one: one.time_us)
    assert set(raw) <= set(everything)
    assert (raw[0], raw[-1]) == (everything[0], everything[-1])
    assert min(one.value for one in raw) == min(one.value for one in everything)
    assert max(one.value for one in raw) == max(one.value for one in everything)


async def test_a_single_outlier_in_ten_days_is_seen(storage: Storage) -> None:
    event = await new_event(storage)
    readings = [reading(20.0 + n % 7, event, T0 + n * 100 * SECOND) for n in range(8640)]
    for n, value in ((1234, 99.0), (7777, -99.0)):
        readings[n] = readings[n]._replace(value=value)
    await storage.append(await commit(storage, 1, readings))
    await roll_up(storage, T0 + 9 * DAY)
    found = await shown(storage, event, until_us=T0 + 10 * DAY, max_points=10)
    assert {99.0, -99.0} <= {one.value for one in found}


async def test_what_comes_late_is_shown_at_once(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, noise(event, 5000, 17 * SECOND)))
    await roll_up(storage, T0 + DAY)
    await storage.append(await commit(storage, 2, [reading(1e6, event, T0 + HOUR + 1)]))
    assert max(one.value for one in await shown(storage, event, max_points=20)) == 1e6


async def test_what_was_deleted_is_shown_no_more(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, noise(event, 5000, 17 * SECOND)))
    await roll_up(storage, T0 + DAY)
    largest = max(await shown(storage, event, max_points=20), key=lambda one: one.value)
    assert await history.remove(storage, largest, SOMEBODY, T0)
    found = await shown(storage, event, max_points=20)
    assert largest not in found
    assert await history.datapoint(storage, await snapshot(storage), Key(largest.id, event.id, largest.time_us)) is None


async def test_a_young_event_fills_its_chart_however_long_the_window_is(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, noise(event, 2000, SECOND, from_us=T0 + 9 * DAY)))
    for rolled_us in (T0, T0 + 10 * DAY):
        await roll_up(storage, rolled_us)
        assert len(await shown(storage, event, until_us=T0 + 10 * DAY, max_points=60)) > 25


async def test_readings_of_one_moment_are_thinned_too(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(float(n), event, T0) for n in range(50)]))
    found = [one.value for one in await shown(storage, event, max_points=10)]
    assert {0.0, 49.0} <= set(found)
    assert len(found) <= 4


@given(st.integers(0, 20 * DAY), st.integers(3, 999))
def test_intervals_cover_a_time_and_are_not_much_longer_than_they_have_to_be(span_us: int, intervals: int) -> None:
    width_us = history.length(span_us, intervals)
    assert width_us * intervals >= span_us
    assert width_us <= max(1, span_us / intervals * 1.13 + 1) + (MINUTE_US if span_us / intervals > 50 * SECOND else 0)
    assert width_us < MINUTE_US or width_us % MINUTE_US == 0


async def test_thinning_does_not_change_its_mind_while_the_window_moves_on(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, noise(event, 4000, 20 * SECOND)))
    await roll_up(storage, T0 + DAY)
    first = await shown(storage, event, T0, T0 + DAY // 2, max_points=100)
    moved = await shown(storage, event, T0 + 5 * MINUTE_US, T0 + DAY // 2 + 5 * MINUTE_US, max_points=100)
    inner = [one for one in first[5:-5] if one.time_us > T0 + HOUR]
    assert len(inner) > 50
    assert set(inner) <= set(moved)


# -- a page of all ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rolled_us", [0, 7 * HOUR, 2 * DAY], ids=["not rolled up", "in part", "rolled up"])
async def test_pages_have_all_readings_once_the_newest_first(storage: Storage, rolled_us: int) -> None:
    chance = random.Random(rolled_us)
    events = [await new_event(storage, name) for name in "abc"]
    times = [
        T0 + chance.choice((chance.randrange(9 * HOUR), 8 * HOUR, 5 * HOUR + chance.randrange(100))) for _ in range(700)
    ]
    readings = [reading(1.0, chance.choice(events), time_us) for time_us in times]
    done = await commit(storage, 1, readings)
    await storage.append(done)
    if rolled_us:
        await roll_up(storage, T0 + rolled_us)
        late = await commit(storage, 2, [reading(1.0, events[0], T0 + HOUR + n * SECOND) for n in range(30)])
        await storage.append(late)
        await records.drop_event(storage, events[2].public_id)
        kept = [(one.time_us, done.first_id + n) for n, one in enumerate(readings) if one.event != events[2]]
        kept += [(one.time_us, late.first_id + n) for n, one in enumerate(late.readings)]
    else:
        kept = [(one.time_us, done.first_id + n) for n, one in enumerate(readings)]
    ids = [row_id for _, row_id in sorted(kept, reverse=True)]
    for limit in (1, 25, 100):
        for offset in (0, 1, 24, 25, 99, 350, len(ids) - 1, len(ids)):
            assert await paged(storage, offset, limit) == ids[offset : offset + limit], (offset, limit)
    assert await paged(storage, len(ids) + 1, 25) == []
    assert await paged(storage, 2**38, 100) == []


async def test_pages_begin_with_what_a_clock_that_is_ahead_has_measured(storage: Storage) -> None:
    event = await new_event(storage)
    done = await commit(storage, 1, [reading(1.0, event, T0), reading(2.0, event, T0 + DAY + 400 * SECOND)])
    await storage.append(done)
    assert await paged(storage, 0, 25) == [done.first_id + 1, done.first_id]


async def test_pages_reach_what_was_measured_before_there_were_computers(storage: Storage) -> None:
    event = await new_event(storage)
    old = await commit(storage, 1, [reading(1.0, event, -(10**15) - n) for n in range(3)])
    await storage.append(old)
    assert await paged(storage, 0, 25) == [old.first_id, old.first_id + 1, old.first_id + 2]
    await roll_up(storage, T0)
    assert await paged(storage, 1, 25) == [old.first_id + 1, old.first_id + 2]


async def test_an_empty_storage_has_empty_pages(storage: Storage) -> None:
    assert await paged(storage, 0, 25) == []
    assert await history.total(storage) == 0


async def test_all_readings_are_counted_rolled_up_or_not(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, noise(event, 1000, 60 * SECOND)))
    for until_us in (T0, T0 + HOUR, T0 + 30 * DAY):
        await roll_up(storage, until_us)
        assert await history.total(storage) == 1000
    await storage.append(await commit(storage, 2, noise(event, 10, HOUR, from_us=T0 - 5 * HOUR)))
    assert await history.total(storage) == 1010


# -- a single one ----------------------------------------------------------------------------------------------------


async def test_a_reading_is_found_by_its_public_id(storage: Storage) -> None:
    event = await new_event(storage)
    times = [T0, T0, T0 + 1, -5, -(10**15)]
    await storage.append(await commit(storage, 1, [reading(float(n), event, time) for n, time in enumerate(times)]))
    known = await snapshot(storage)
    everything = await storage.history(known, event.id, limit=10)
    assert len(everything) == 5
    for one in everything:
        key = Key.of(one.public_id)
        assert key == Key(one.id, event.id, one.time_us)
        assert await history.datapoint(storage, known, key) == one


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "abc",
            "-",
            "--",
            "1-1-1",
            "00000001-1",
            "00000001-1-",
            "00000001-1-g",
            "00000001-1-1-1",
            "00000001--1",
        ),
        *("ffffffffffffffff-1-1", "00000001-ffffffff-1", "00000001-1-fffffffffffffff", "00000001-1--fffffffffffffff"),
        *("00000001-1-1\n", "\uff100000001-1-1", "00000001-1-1" + "0" * 1000),
    ],
)
def test_what_is_no_public_id_is_no_key(text: str) -> None:
    assert Key.of(text) is None


async def test_a_key_of_nothing_finds_nothing(storage: Storage) -> None:
    event = await new_event(storage)
    done = await commit(storage, 1, [reading(1.0, event)])
    await storage.append(done)
    known = await snapshot(storage)
    for key in (Key(done.first_id, event.id, T0 + 1), Key(done.first_id + 1, event.id, T0), Key(done.first_id, 99, T0)):
        assert await history.datapoint(storage, known, key) is None
        nothing = Datapoint(key.id, replace(event, id=key.event_id), key.time_us, 1.0, None)
        assert not await history.remove(storage, nothing, SOMEBODY, T0)
    assert await audit.page(storage, Wanted(kind="datapoint"), limit=1) == []
    assert await storage.count() == 1


async def test_the_newest_reading_of_an_event(storage: Storage) -> None:
    event = await new_event(storage)
    assert await history.newest(storage, await snapshot(storage), event.id) is None
    await storage.append(
        await commit(storage, 1, [reading(float(n), event, T0 + time) for n, time in enumerate((1, 5, 5, 2))])
    )
    found = await history.newest(storage, await snapshot(storage), event.id)
    assert found is not None
    assert (found.time_us, found.value) == (T0 + 5, 2.0)
