"""What every storage promises of readings: the latest, the history, the view, forgetting (`webmacs.storage.base`)."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.storage.rows import (
    DAY,
    SECOND,
    T0,
    UNKNOWN_EVENT,
    commit,
    new_event,
    new_experiment,
    reading,
    shown,
    snapshot,
    values,
)
from webmacs.model import Experiment, to_us
from webmacs.storage.base import Commit, Part, Storage

SEQS = count(1)


async def test_the_latest_of_an_event_has_the_greatest_time_and_then_the_greatest_id(storage: Storage) -> None:
    event, other, empty = [await new_event(storage, name) for name in ("a", "b", "c")]
    now = await snapshot(storage)
    readings = [reading(1.0, event, T0 + 5), reading(2.0, event, T0 + 9), reading(3.0, event, T0 + 9)]
    await storage.append(await commit(storage, 1, [*readings, reading(4.0, other, T0)]))
    assert {point.event: point.value for point in await storage.latest(now)} == {event: 3.0, other: 4.0}
    assert empty not in {point.event for point in await storage.latest(now)}


async def test_of_readings_of_the_same_time_the_latest_has_the_greatest_id_whichever_came_first(
    storage: Storage,
) -> None:
    event = await new_event(storage)
    lower = await storage.reserve(1)
    higher = await storage.reserve(1)
    await storage.append(Commit(1, higher, [reading(2.0, event, T0)]))
    await storage.append(Commit(2, lower, [reading(1.0, event, T0)]))
    now = await snapshot(storage)
    assert [point.value for point in await storage.latest(now)] == [2.0]
    assert [point.value for point in await storage.history(now, event.id, limit=10)] == [1.0, 2.0]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from([0, 61 * SECOND, -DAY]), st.integers(0, 2), st.booleans()),
        min_size=1,
        max_size=5,
    )
)
async def test_what_was_prepared_is_stored_as_what_was_not(
    storage: Storage, parts: Sequence[tuple[int, int, int, bool]]
) -> None:
    event = await new_event(storage, f"Sensor {next(SEQS)}")
    runs = [None, *[Experiment(900 + n, f"run {n}", f"Run {n}", T0, None) for n in range(2)]]
    given_parts, numbers = [], count()
    for size, offset_us, run, prepared in parts:
        some = [reading(float(n := next(numbers)), event, T0 + offset_us + n, runs[run]) for _ in range(size)]
        given_parts.append(Part(some, storage.prepare(some) if prepared else None))
    readings = [one for part in given_parts for one in part.readings]
    first_id = await storage.reserve(len(readings))
    await storage.append(Commit(next(SEQS), first_id, readings, prepared=given_parts))
    stored = await storage.fetch(
        f"SELECT id, {storage.dialect.time_us}, value, experiment_id FROM datapoints"
        " WHERE event_id = :event ORDER BY id",
        event=event.id,
    )
    assert stored == [
        (first_id + n, one.time_us, one.value, one.experiment and one.experiment.id) for n, one in enumerate(readings)
    ]


async def test_a_late_reading_does_not_become_the_latest(storage: Storage) -> None:
    event = await new_event(storage)
    now = await snapshot(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    await storage.append(await commit(storage, 2, [reading(2.0, event, T0 - 400 * DAY)]))
    assert [point.value for point in await storage.latest(now)] == [1.0]
    assert [point.value for point in await storage.history(now, event.id, limit=10)] == [2.0, 1.0]


async def test_the_latest_is_found_among_readings_in_partitions_and_outside(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    now = await snapshot(storage)
    await storage.make_room(T0)
    times = [T0 - 400 * DAY, T0, T0 + 8 * DAY, T0 + 900 * DAY]
    await storage.append(await commit(storage, 1, [reading(float(n), event, at) for n, at in enumerate(times)]))
    await storage.append(await commit(storage, 2, [reading(float(n), other, at) for n, at in enumerate(times[:3])]))
    assert {point.event: point.value for point in await storage.latest(now)} == {event: 3.0, other: 2.0}


async def test_the_latest_is_found_of_events_that_have_been_silent_for_years(storage: Storage) -> None:
    busy, silent, ahead = [await new_event(storage, name) for name in ("a", "b", "c")]
    now, now_us = await snapshot(storage), time.time_ns() // 1000
    for ago in (900, 30, 0):
        await storage.make_room(now_us - ago * DAY)
    readings = [reading(float(ago), busy, now_us - ago * DAY) for ago in (900, 30, 1, 0)]
    readings += [reading(float(ago), silent, now_us - ago * DAY) for ago in (1_000, 899, 31)]
    readings += [reading(float(ago), ahead, now_us - ago * DAY) for ago in (31, -900)]
    await storage.append(await commit(storage, 1, readings))
    found = {point.event: point.value for point in await storage.latest(now)}
    assert found == {busy: 0.0, silent: 31.0, ahead: -900.0}


async def test_pages_of_a_long_history_join_without_gap_or_repetition(storage: Storage) -> None:
    event = await new_event(storage)
    now = await snapshot(storage)
    await storage.make_room(T0)
    # Not in order of time, some at the same time, on both sides of the beginning of the partitions.
    times = [T0 + (n * 7_919 % 12_500 - 6_000) * 10 * SECOND for n in range(25_000)]
    for seq in range(5):
        part = times[seq * 5_000 : (seq + 1) * 5_000]
        between = [reading(-1.0, UNKNOWN_EVENT, at) for at in part[:100]]
        await storage.append(
            await commit(storage, seq + 1, [*between, *(reading(float(at), event, at) for at in part)])
        )
    seen: list[tuple[int, int]] = []
    while page := await storage.history(now, event.id, after=seen[-1] if seen else (-(2**62), 0), limit=1_000):
        assert all(point.value == point.time_us for point in page)
        seen += [(point.time_us, point.id) for point in page]
    assert len(seen) == 25_000
    assert seen == sorted(set(seen))
    assert [at for at, _ in seen] == sorted(times)


async def test_a_history_may_begin_at_any_time(storage: Storage) -> None:
    event = await new_event(storage)
    now = await snapshot(storage)
    await storage.append(await commit(storage, 1, [reading(float(n), event, T0 + n) for n in range(3)]))
    for after, expected in {
        (T0 + 1, 0): [1.0, 2.0],
        (T0 + 1, 2**62): [2.0],
        (-(2**63), 0): [0.0, 1.0, 2.0],
        (-(2**60), 0): [0.0, 1.0, 2.0],
        (2**63 - 1, 0): [],
        (2**59, 0): [],
    }.items():
        points = await storage.history(now, event.id, after=after, limit=10)
        assert [point.value for point in points] == expected, after


SPECIAL = [
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1.7976931348623157e308,
    -1.7e308,
    0.0,
    -0.0,
    0.1,
]


def bits(number: float) -> bytes:
    """All of a double, but for the sign of zero, which SQLite does not keep."""
    return struct.pack("<d", number + 0.0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=400))
async def test_every_double_comes_back_bit_by_bit(storage: Storage, numbers: Sequence[float]) -> None:
    sent = [*SPECIAL, *numbers]
    one = await commit(storage, next(SEQS), [reading(number) for number in sent])
    await storage.append(one)
    found = await storage.fetch("SELECT value FROM datapoints WHERE id >= :first ORDER BY id", first=one.first_id)
    assert [bits(value) for (value,) in found] == [bits(number) for number in sent]


async def test_every_double_of_a_configuration_comes_back_bit_by_bit(storage: Storage) -> None:
    for number in SPECIAL:
        [(found,)] = await storage.fetch("SELECT CAST(:number AS double precision)", number=number)
        assert bits(found) == bits(number)


async def test_whole_numbers_come_back_as_doubles(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, [reading(3), reading(2**53)]))
    assert [(value, type(value)) for value in await values(storage)] == [(3.0, float), (2.0**53, float)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(1, to_us(datetime.fromisoformat("2200-01-01T00:00Z"))), max_size=200))
async def test_every_time_comes_back_to_the_microsecond(storage: Storage, times: Sequence[int]) -> None:
    event = await new_event(storage, f"event {next(SEQS)}")
    sent = [T0 + 1, T0 + 999_999, 4_102_444_800_000_001, *times]
    await storage.append(await commit(storage, next(SEQS), [reading(1.0, event, at) for at in sent]))
    found = await storage.history(await snapshot(storage), event.id, limit=1_000)
    assert [point.time_us for point in found] == sorted(sent)


async def test_the_readings_view_shows_what_people_query(storage: Storage) -> None:
    event, experiment = await new_event(storage, "Tank 1"), await new_experiment(storage, "Run 1")
    readings = [reading(1.5, event, T0 + 123_456, experiment), reading(2.5, event, T0 + 2 * SECOND)]
    await storage.append(await commit(storage, 1, readings))
    names = "CAST(time AS text), event, event_public_id, unit, value, experiment"
    rows = await storage.fetch(f"SELECT {names} FROM readings ORDER BY time")
    assert [row[1:] for row in rows] == [
        ("Tank 1", event.public_id, "V", 1.5, "Run 1"),
        ("Tank 1", event.public_id, "V", 2.5, None),
    ]
    assert [to_us(datetime.fromisoformat(row[0])) for row in rows] == [T0 + 123_456, T0 + 2 * SECOND]
    everything = await storage.fetch("SELECT * FROM readings ORDER BY time")
    assert [row[1:] for row in everything] == [row[1:] for row in rows]


async def test_forgetting_an_event_goes_in_steps_and_takes_nothing_else(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    await storage.make_room(T0)
    both = [reading(float(n), one, T0 + (n - 100) * 3_600 * SECOND) for n in range(250) for one in (event, other)]
    await storage.append(await commit(storage, 1, both))
    steps: list[int] = []
    while not steps or steps[-1]:
        steps.append(await storage.forget_event(event.id, 100))
    assert steps == [100, 100, 50, 0]
    assert {name for name, _ in await shown(storage)} == {"b"}
    assert await storage.count() == 250


async def test_forgetting_an_event_takes_readings_of_the_same_time_too(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, [reading(time_us=T0)] * 30))
    for _ in range(30):
        if not await storage.forget_event(UNKNOWN_EVENT.id, 10):
            break
    assert await storage.count() == 0


async def test_expiring_takes_the_old_readings_in_steps_and_leaves_the_others(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.make_room(T0)
    old = [reading(float(n), event, T0 - 30 * DAY + n) for n in range(25)]
    kept = [reading(100.0, event, T0 - 20 * DAY), reading(101.0, event, T0 + DAY)]
    await storage.append(await commit(storage, 1, [*old, *kept]))
    steps: list[int] = []
    while not steps or steps[-1]:
        steps.append(await storage.expire(T0 - 20 * DAY, 10))
    assert steps == [10, 10, 5, 0]
    assert await values(storage) == [100.0, 101.0]


async def test_making_room_again_and_again_changes_nothing(storage: Storage) -> None:
    event = await new_event(storage)
    for _ in range(3):
        await storage.make_room(T0)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    await storage.make_room(T0)
    await storage.make_room(T0 + 100 * DAY)
    assert await shown(storage) == [("Sensor", 1.0)]
