"""Rollups are exact wherever they are said to be, whatever comes late, and catch up by themselves."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plant import settings_for
from tests.storage.rows import DAY, SECOND, SOMEBODY, T0, commit, new_event, reading, snapshot
from webmacs.extensions import load_storage
from webmacs.model import Actor, Datapoint, Event, Reading, Write
from webmacs.storage import records, rollups
from webmacs.storage.base import Commit, Row, Storage
from webmacs.storage.history import remove, total
from webmacs.storage.rollups import LAG_US, MINUTE_US, Rollups, minute
from webmacs.storage.upkeep import keep_house

NOW = T0 + DAY


async def rolled(storage: Storage) -> list[tuple[object, ...]]:
    """Everything that is rolled up: event, minute, and what is told of it."""
    return await storage.fetch(f"SELECT {rollups.COLUMNS} FROM rollups ORDER BY event_id, start_us")


async def noted(storage: Storage) -> int:
    return int((await storage.fetch("SELECT count(*) FROM rollup_gaps"))[0][0])


async def caught_up(storage: Storage, now_us: int = NOW) -> Rollups:
    maker = Rollups(storage)
    for _ in range(1000):
        if not await maker.advance(now_us):
            return maker
    raise AssertionError("it does not end")


def expected(readings: list[Reading], first_id: int = 1) -> list[tuple[object, ...]]:
    """The same, worked out here. Values are all different, so that there is one smallest and one largest."""
    groups: dict[tuple[int, int], list[tuple[float, int, int, int | None]]] = {}
    for row_id, (event, time_us, value, experiment) in enumerate(readings, first_id):
        key = (event.id, time_us // MINUTE_US * MINUTE_US)
        groups.setdefault(key, []).append((value, time_us, row_id, experiment.id if experiment else None))
    return [(*key, len(group), *min(group), *max(group)) for key, group in sorted(groups.items())]


def scattered(events: list[Event], count: int, seed: int, span_us: int = 3600 * SECOND) -> list[Reading]:
    """Readings at random times, with random values."""
    chance = random.Random(seed)
    return [
        reading(chance.uniform(-1e6, 1e6), chance.choice(events), T0 + chance.randrange(span_us)) for _ in range(count)
    ]


async def test_each_minute_tells_how_many_and_the_smallest_and_the_largest(storage: Storage) -> None:
    events = [await new_event(storage, name) for name in "ab"]
    readings = scattered(events, 2000, seed=1)
    first = await commit(storage, 1, readings)
    await storage.append(first)
    await caught_up(storage)
    assert await rolled(storage) == expected(readings, first.first_id)
    assert await noted(storage) == 0


async def test_a_reading_is_noted_when_its_minute_is_rolled_up_already_and_else_not(storage: Storage) -> None:
    event = await new_event(storage)
    await caught_up(storage, T0 + 10 * MINUTE_US + LAG_US)
    late = [reading(1.0, event, T0 + n * MINUTE_US + n) for n in range(3, 13)]
    await storage.append(await commit(storage, 1, late))
    found = await storage.fetch("SELECT event_id, start_us FROM rollup_gaps ORDER BY start_us")
    assert found == [(event.id, T0 + n * MINUTE_US) for n in range(3, 10)]


async def test_a_reading_is_noted_also_when_the_clock_was_set_back(storage: Storage) -> None:
    event = await new_event(storage)
    now_us = time.time_ns() // 1000
    await caught_up(storage, now_us + DAY)
    await storage.append(await commit(storage, 1, [reading(1.0, event, now_us)]))
    assert await storage.fetch("SELECT event_id, start_us FROM rollup_gaps") == [(event.id, minute(now_us))]


async def test_a_process_that_knows_nothing_of_rollups_notes_what_it_stores_late(
    storage: Storage, storage_url: str, tmp_path: Path
) -> None:
    event = await new_event(storage)
    await caught_up(storage)
    other = load_storage(settings_for(storage_url, tmp_path))
    await other.open()
    try:
        await other.append(await commit(other, 1, [reading(1.0, event, T0)]))
    finally:
        await other.close()
    assert await noted(storage) == 1
    await caught_up(storage)
    assert [row[2] for row in await rolled(storage)] == [1]


async def test_an_import_of_much_that_is_old_has_everything_rolled_up_in_order_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MANY_GAPS", 50)
    monkeypatch.setattr(rollups, "WITHDRAWN", 7)
    events = [await new_event(storage, name) for name in "ab"]
    before = scattered(events, 500, seed=1)
    await storage.append(await commit(storage, 1, before))
    await caught_up(storage)
    imported = scattered(events, 500, seed=2)
    done = await commit(storage, 2, imported)
    await storage.append(done)
    assert await noted(storage) > 50
    await caught_up(storage)
    assert await noted(storage) == 0
    assert await rolled(storage) == expected([*before, *imported], done.first_id - len(before))


async def test_what_was_measured_before_1970_is_rolled_up_however_much_it_is(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MANY_GAPS", 5)
    monkeypatch.setattr(rollups, "GAPS", 4)
    event = await new_event(storage)
    readings = [reading(float(n), event, -(10**15) + n * MINUTE_US) for n in range(30)]
    done = await commit(storage, 1, readings)
    await storage.append(done)
    await caught_up(storage)
    assert await rolled(storage) == expected(readings, done.first_id)


async def test_what_comes_late_or_goes_is_made_good(storage: Storage) -> None:
    event = await new_event(storage)
    readings = [reading(float(n), event, T0 + n * SECOND) for n in range(300)]
    await storage.append(await commit(storage, 1, readings))
    await caught_up(storage)
    more = [reading(1000.0 + n, event, T0 + n * 7 * SECOND + 1) for n in range(10)]
    await storage.append(await commit(storage, 2, more))
    gone = await storage.history(await snapshot(storage), event.id, after=(T0 + 239 * SECOND, 1 << 62), limit=100)
    for datapoint in gone:
        assert await remove(storage, datapoint, SOMEBODY, T0)
    assert not await remove(storage, gone[0], SOMEBODY, T0)
    await caught_up(storage)
    left = await storage.history(await snapshot(storage), event.id, limit=1000)
    assert len(left) == 250
    groups: dict[int, list[Datapoint]] = {}
    for datapoint in left:
        groups.setdefault(minute(datapoint.time_us), []).append(datapoint)
    assert [row[1:5] for row in await rolled(storage)] == [
        (start_us, len(group), low.value, low.time_us)
        for start_us, group in sorted(groups.items())
        for low in [min(group, key=lambda one: one.value)]
    ]
    assert await noted(storage) == 0


async def test_what_is_noted_while_it_is_being_rolled_up_is_rolled_up_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await new_event(storage)
    first = await commit(storage, 1, [reading(1.0, event, T0)])
    await storage.append(first)
    await caught_up(storage)
    await storage.append(await commit(storage, 2, [reading(2.0, event, T0 + 1)]))
    derive = storage.derive

    async def interrupted(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(storage, "derive", derive)
        fetched = storage.fetch

        async def fetch(statement: str, **parameters: Any) -> list[Row]:
            rows = await fetched(statement, **parameters)
            monkeypatch.setattr(storage, "fetch", fetched)
            await storage.append(await commit(storage, 3, [reading(3.0, event, T0 + 2)]))
            return rows

        if storage.scheme == "sqlite":  # between the query and the transaction
            monkeypatch.setattr(storage, "fetch", fetch)
        else:
            await storage.append(await commit(storage, 3, [reading(3.0, event, T0 + 2)]))
        await derive(*args, **options)

    monkeypatch.setattr(storage, "derive", interrupted)
    await Rollups(storage).advance(NOW)
    assert await noted(storage) == 1
    await caught_up(storage)
    assert [row[2] for row in await rolled(storage)] == [3]


async def test_a_minute_that_is_noted_again_and_again_is_rolled_up_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    maker = await caught_up(storage)
    for number in range(2, 12):
        await storage.append(await commit(storage, number, [reading(float(number), event, T0 + number)]))
    assert await noted(storage) == 10
    monkeypatch.setattr(rollups, "MANY_GAPS", 5)  # of minutes, not of notes
    rolled_us = maker.rolled_us
    assert not await maker.advance(NOW)
    assert maker.rolled_us == rolled_us
    assert await noted(storage) == 0
    assert [row[2] for row in await rolled(storage)] == [11]


async def test_minutes_that_are_noted_without_end_keep_nobody_busy_without_end(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await new_event(storage)
    times = [T0 + number * MINUTE_US for number in range(4)]
    await storage.append(await commit(storage, 1, [reading(1.0, event, at) for at in times]))
    maker = await caught_up(storage)
    monkeypatch.setattr(rollups, "GAPS", 2)
    more, steps = True, 0
    while more:
        steps += 1
        await storage.append(await commit(storage, 1 + steps, [reading(float(steps), event, at) for at in times]))
        more = await maker.advance(NOW)
        assert steps < 5
    assert steps == 2
    while await maker.advance(NOW):
        steps += 1
    assert [row[2] for row in await rolled(storage)] == [1 + 2] * 4


async def test_most_of_the_time_is_for_others(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    maker, pauses = Rollups(storage), list[float]()
    steps = iter((True, True, False, False))
    now_s = 0.0

    async def advance(_now_us: int) -> bool:
        nonlocal now_s
        now_s += 2.0
        return next(steps)

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    monkeypatch.setattr(maker, "advance", advance)
    monkeypatch.setattr(rollups, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(rollups, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await maker.follow(lambda: 0, 10.0)
    assert pauses == [2.0, 2.0, 9 * 6.0, 9 * 2.0]


async def test_what_is_stored_while_a_step_is_being_prepared_is_not_passed_over(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await new_event(storage)
    write = storage.write
    stored: list[Commit] = []

    async def interrupted(*writes: Write, actor: Actor | None = None) -> int:
        if not stored and "SET noted_until_us" in writes[0].statement:  # the first reading has been looked for
            stored.append(await commit(storage, 1, [reading(float(n), event, T0 + n * MINUTE_US) for n in range(3)]))
            await storage.append(stored[0])
        return await write(*writes, actor=actor)

    monkeypatch.setattr(storage, "write", interrupted)
    await caught_up(storage)
    assert await rolled(storage) == expected(list(stored[0].readings), stored[0].first_id)


async def test_a_minute_is_rolled_up_only_when_it_has_been_over_for_a_while(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0 + n * MINUTE_US) for n in range(5)]))
    maker = await caught_up(storage, T0 + 3 * MINUTE_US + LAG_US + 1)
    assert [row[1] for row in await rolled(storage)] == [T0, T0 + MINUTE_US, T0 + 2 * MINUTE_US]
    assert maker.rolled_us == T0 + 3 * MINUTE_US


async def test_where_commits_may_take_long_minutes_are_rolled_up_later(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0 + n * MINUTE_US) for n in range(10)]))
    storage.settings = storage.settings.model_copy(update={"statement_timeout_s": 40.0})
    maker = await caught_up(storage, T0 + 8 * MINUTE_US)
    assert maker.rolled_us == T0 + 5 * MINUTE_US  # three minutes: 20 s, and four times what a statement may take


async def test_what_was_rolled_up_by_a_clock_that_was_ahead_is_withdrawn(storage: Storage) -> None:
    event = await new_event(storage)
    readings = [reading(float(n), event, T0 + n * MINUTE_US) for n in range(60)]
    first = await commit(storage, 1, readings)
    await storage.append(first)
    await caught_up(storage, T0 + DAY)
    back_us = T0 + 30 * MINUTE_US + LAG_US
    maker = await caught_up(storage, back_us)
    assert maker.rolled_us == T0 + 30 * MINUTE_US
    assert await rolled(storage) == expected(readings, first.first_id)[:30]
    await caught_up(storage)
    assert await rolled(storage) == expected(readings, first.first_id)


async def test_two_servers_that_roll_up_the_same_readings_do_it_once(storage: Storage) -> None:
    events = [await new_event(storage, name) for name in "abc"]
    readings = scattered(events, 3000, seed=2)
    first = await commit(storage, 1, readings)
    await storage.append(first)
    await asyncio.gather(*(caught_up(storage) for _ in range(3)))
    await caught_up(storage)
    assert await rolled(storage) == expected(readings, first.first_id)


async def test_it_goes_on_where_it_was_after_a_restart(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0)]))
    before = await caught_up(storage)
    noted_us, storage.noted_us = storage.noted_us, 0
    after = Rollups(storage)
    await after.load()
    assert (after.rolled_us, storage.noted_us) == (before.rolled_us, noted_us)


async def test_years_without_readings_take_one_step(storage: Storage) -> None:
    event = await new_event(storage)
    readings = [reading(1.0, event, T0), reading(2.0, event, T0 + 3000 * DAY)]
    first = await commit(storage, 1, readings)
    await storage.append(first)
    steps = 1
    maker = Rollups(storage)
    while await maker.advance(T0 + 6000 * DAY):
        steps += 1
    assert await rolled(storage) == expected(readings, first.first_id)
    assert steps < 60  # by ever longer steps from the first reading to the second, and then to the end


async def test_what_is_rolled_up_goes_with_its_event_and_with_its_time(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    both = [reading(float(n), one, T0 + n * MINUTE_US) for n in range(20) for one in (event, other)]
    await storage.append(await commit(storage, 1, both))
    await caught_up(storage)
    await records.drop_event(storage, event.public_id)
    settings = storage.settings.model_copy(update={"retention_days": 1})
    await keep_house(storage, settings, T0 + DAY + 10 * MINUTE_US + 1, DAY)
    assert [row[:2] for row in await rolled(storage)] == [(other.id, T0 + n * MINUTE_US) for n in range(10, 20)]
    left = await storage.history(await snapshot(storage), other.id, limit=100)
    assert [datapoint.value for datapoint in left if datapoint.time_us >= T0 + 10 * MINUTE_US] == [
        *map(float, range(10, 20))
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_in_whatever_order_they_are_exact_in_the_end(storage: Storage, seed: int) -> None:
    chance = random.Random(seed)
    events = [await new_event(storage, name) for name in "ab"]
    maker, kept = Rollups(storage), dict[tuple[int, int, int], Reading]()
    for seq in range(1, 25):
        what = chance.random()
        if what < 0.5:
            some = scattered(events, chance.randrange(1, 30), seed=1000 * seed + seq)
            done = await commit(storage, seq, some)
            await storage.append(done)
            kept |= {(done.first_id + n, one.event.id, one.time_us): one for n, one in enumerate(some)}
        elif what < 0.6 and kept:
            key = chance.choice(sorted(kept))
            assert await remove(storage, Datapoint(key[0], kept[key].event, *kept[key][1:]), SOMEBODY, T0)
            del kept[key]
        else:
            await maker.advance(T0 + chance.randrange(2 * 3600 * SECOND))
    await caught_up(storage)
    groups: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
    for (row_id, event_id, time_us), one in kept.items():
        groups.setdefault((event_id, minute(time_us)), []).append((one.value, time_us, row_id))
    assert [(*row[:6], *row[7:10]) for row in await rolled(storage)] == [
        (*key, len(group), *min(group), *max(group)) for key, group in sorted(groups.items())
    ]


async def test_while_others_store_and_roll_up_every_count_is_exact(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MANY_GAPS", 200)
    monkeypatch.setattr(rollups, "GAPS", 20)
    monkeypatch.setattr(rollups, "WITHDRAWN", 15)
    chance = random.Random(7)
    events = [await new_event(storage, name) for name in "ab"]
    over = asyncio.Event()

    async def roll_up(seed: int) -> None:
        mine, maker = random.Random(seed), Rollups(storage)
        while not over.is_set():
            await maker.advance(T0 + mine.randrange(4 * 3600 * SECOND))
            await asyncio.sleep(0)

    rolling = asyncio.create_task(roll_up(1))
    readings: list[Reading] = []
    counted = []
    for seq in range(1, 61):
        some = scattered(events, chance.randrange(1, 40), seed=seq)
        done = await commit(storage, seq, some)
        await storage.append(done)
        readings += some
        counted.append((await total(storage), len(readings)))
    over.set()
    await rolling
    assert [found for found, _ in counted] == [there for _, there in counted]
    await caught_up(storage)
    assert [row[:3] for row in await rolled(storage)] == [row[:3] for row in expected(readings)]
