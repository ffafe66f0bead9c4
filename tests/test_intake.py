"""Readings from elsewhere: each is stored once, however often and in whatever pieces it comes."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from tests.storage.rows import T0, new_event, new_experiment, snapshot
from webmacs import experiments, intake
from webmacs.errors import StorageUnavailable
from webmacs.intake import CHUNK, Intake, Measured
from webmacs.model import Event
from webmacs.storage.base import Commit, Storage


@pytest.fixture
async def event(storage: Storage) -> Event:
    return await new_event(storage)


async def begin(storage: Storage, commit_rows: int = 1_000) -> Intake:
    storage.run = uuid.uuid4().hex  # as in another process
    return Intake(storage, await snapshot(storage), commit_rows)


async def stored(storage: Storage, event: Event) -> list[tuple[int, float]]:
    points = await storage.history(await snapshot(storage), event.id, limit=100_000)
    return [(point.time_us, point.value) for point in points]


def measured(event: Event, *values: float, start_us: int = T0) -> list[Measured]:
    """A reading each microsecond."""
    return [Measured(event, start_us + number, value, "") for number, value in enumerate(values)]


async def test_what_is_given_twice_is_stored_once(storage: Storage, event: Event) -> None:
    rows = measured(event, *range(5_000))
    assert await (await begin(storage)).take(rows) == 5_000
    again = await begin(storage)
    assert [await again.take(rows[:3_000]), await again.take(rows[2_000:])] == [0, 0]
    assert await stored(storage, event) == [(row.time_us, row.value) for row in rows]


async def test_what_broke_off_is_completed(storage: Storage, event: Event) -> None:
    rows = measured(event, *range(5_000))
    assert await (await begin(storage)).take(rows[:1_234]) == 1_234
    assert await (await begin(storage)).take(rows) == 5_000 - 1_234
    assert len(await stored(storage, event)) == 5_000


async def test_another_event_time_or_value_is_another_reading(storage: Storage, event: Event) -> None:
    other = await new_event(storage, "Other")
    await (await begin(storage)).take([Measured(event, T0, 1.0, "")])
    near = [Measured(event, T0, 2.0, ""), Measured(event, T0 + 1, 1.0, ""), Measured(other, T0, 1.0, "")]
    assert await (await begin(storage)).take(near) == 3


async def test_readings_that_are_alike_are_one_unless_their_origins_differ(storage: Storage, event: Event) -> None:
    alike = [Measured(event, T0, 1.0, origin) for origin in ("a", "b", "b", "c")]
    assert await (await begin(storage)).take(alike) == 3
    assert await (await begin(storage)).take(alike) == 0
    assert await (await begin(storage)).take([Measured(event, T0, 1.0, "")] * 2) == 0
    assert await (await begin(storage)).take([Measured(event, T0 + 1, 1.0, "")] * 2) == 1


async def test_those_that_are_alike_may_come_in_pieces(storage: Storage, event: Event) -> None:
    alike = [Measured(event, T0, 1.0, str(number)) for number in range(5)]
    for _ in range(2):
        taken = await begin(storage)
        for row in alike:
            await taken.take([row])
        await taken.take([Measured(event, T0, 2.0, "")])
        await taken.take(alike[:1])
    assert sorted(await stored(storage, event)) == [(T0, 1.0)] * 5 + [(T0, 2.0)]


async def test_order_does_not_matter(storage: Storage, event: Event) -> None:
    rows = measured(event, *range(3 * CHUNK))
    mixed = random.Random(7).sample(rows, len(rows))
    assert await (await begin(storage)).take(mixed[:CHUNK]) == CHUNK
    taken = await begin(storage)
    assert sum([await taken.take(mixed[at : at + 999]) for at in range(0, len(mixed), 999)]) == 2 * CHUNK
    assert await stored(storage, event) == [(row.time_us, row.value) for row in rows]


async def test_what_lies_between_is_passed_over(
    storage: Storage, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await begin(storage, 8_000)).take(measured(event, *range(10 * CHUNK)))
    asked: list[object] = []
    read = type(storage).history

    async def history(self: Storage, *arguments: Any, **options: Any) -> list[Any]:
        asked.append(options["after"])
        return await read(self, *arguments, **options)

    monkeypatch.setattr(type(storage), "history", history)
    ends = [Measured(event, T0, 0.0, ""), Measured(event, T0 + 10 * CHUNK - 1, 10.0 * CHUNK - 1, "")]
    assert await (await begin(storage)).take(ends) == 0
    assert len(asked) == 2


async def test_many_readings_at_one_moment_are_all_looked_at(storage: Storage, event: Event) -> None:
    rows = [Measured(event, T0, float(number), "") for number in range(2 * CHUNK + 1)]
    assert await (await begin(storage)).take(rows) == len(rows)
    assert await (await begin(storage)).take(rows) == 0


async def test_readings_belong_to_the_experiment_of_their_time(storage: Storage, event: Event) -> None:
    run = await new_experiment(storage)
    await experiments.stop(storage, run.public_id, now_us=T0 + 2)
    await (await begin(storage)).take(measured(event, 1.0, 2.0, 3.0, 4.0, start_us=T0 - 1))
    points = await storage.history(await snapshot(storage), event.id, limit=10)
    assert [point.experiment and point.experiment.name for point in points] == [None, "Run", "Run", None]


async def test_no_commit_holds_more_than_it_may(
    storage: Storage, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    append = type(storage).append

    async def noted(self: Storage, commit: Commit) -> None:
        sizes.append(len(commit.readings))
        await append(self, commit)

    monkeypatch.setattr(type(storage), "append", noted)
    await (await begin(storage, 300)).take(measured(event, *range(700)))
    assert sizes == [300, 300, 100]


async def test_an_answer_that_is_lost_stores_nothing_twice(
    storage: Storage, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = type(storage).append, list[Commit]()

    async def lost(self: Storage, commit: Commit) -> None:
        calls.append(commit)
        await append(self, commit)
        if len(calls) < 3:
            raise StorageUnavailable("the answer was lost")

    monkeypatch.setattr(type(storage), "append", lost)
    monkeypatch.setattr(intake, "RETRY_S", 0.0)
    await (await begin(storage)).take(measured(event, 1.0, 2.0))
    assert len(calls) == 3
    assert len(await stored(storage, event)) == 2


async def test_a_storage_that_stays_away_is_given_up(
    storage: Storage, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_self: Storage, _commit: Commit) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(type(storage), "append", away)
    monkeypatch.setattr(intake, "RETRY_S", 0.0)
    with pytest.raises(StorageUnavailable, match="away"):
        await (await begin(storage)).take(measured(event, 1.0))
