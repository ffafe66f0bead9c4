"""Events, experiments and log entries, on every storage."""

from __future__ import annotations

import asyncio

import pytest

from tests.storage.rows import T0, commit, log_entry, logged, new_event, new_experiment, reading, shown, snapshot
from webmacs import experiments
from webmacs.errors import Conflict, InvalidRows
from webmacs.model import Event, Experiment
from webmacs.storage import records
from webmacs.storage.base import Commit, Storage


async def test_an_event_comes_back_as_it_was_added(storage: Storage) -> None:
    public_id = await records.add_event(
        storage, name="Tank 1", unit="°C", now_us=T0, type="actuator", min_value=-273, max_value=1e300
    )
    [event] = (await snapshot(storage)).events.values()
    assert event == Event(event.id, public_id, "Tank 1", "°C", "actuator", -273.0, 1e300, None)


async def test_an_event_may_bring_its_own_public_id(storage: Storage) -> None:
    assert await records.add_event(storage, name="a", unit="V", now_us=T0, public_id="abc-123") == "abc-123"
    assert set((await snapshot(storage)).events) == {"abc-123"}


async def test_names_and_public_ids_that_are_taken_are_conflicts(storage: Storage) -> None:
    await records.add_event(storage, name="a", unit="V", now_us=T0, public_id="x")
    await new_experiment(storage, "Run")
    for attempt in (
        records.add_event(storage, name="a", unit="V", now_us=T0),
        records.add_event(storage, name="b", unit="V", now_us=T0, public_id="x"),
        experiments.start(storage, name="Run", now_us=T0),
    ):
        with pytest.raises(Conflict):
            await attempt


async def test_the_id_of_a_removed_event_is_never_given_again(storage: Storage) -> None:
    before = await new_event(storage)
    await records.remove_event(storage, before.public_id)
    assert (await new_event(storage)).id > before.id


async def test_an_event_goes_with_its_readings_and_no_others(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    both = [reading(1.0, one, T0 + n) for n in range(25) for one in (event, other)]
    await storage.append(await commit(storage, 1, both))
    await records.remove_event(storage, event.public_id, chunk=10)
    assert await storage.count() == 25
    assert {name for name, _ in await shown(storage)} == {"b"}


async def test_from_the_first_moment_of_its_removal_no_query_shows_an_events_readings(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await new_event(storage)
    before = await snapshot(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event)]))
    seen: list[object] = []
    forget = storage.forget_event

    async def look(event_id: int, limit: int) -> int:
        seen.extend([await storage.count(), await shown(storage), await storage.latest(before)])
        return await forget(event_id, limit)

    monkeypatch.setattr(storage, "forget_event", look)
    await records.remove_event(storage, event.public_id)
    assert seen[:3] == [1, [], []]
    assert await storage.count() == 0


async def test_removing_an_event_that_is_not_there_changes_nothing(storage: Storage) -> None:
    await new_event(storage)
    await records.remove_event(storage, "abc")
    assert len((await snapshot(storage)).events) == 1


async def test_readings_committed_after_their_event_was_removed_are_never_shown(storage: Storage) -> None:
    event = await new_event(storage)
    late = await commit(storage, 1, [reading(1.0, event)])
    await records.remove_event(storage, event.public_id)
    await storage.append(late)
    assert await new_event(storage, "next") != event
    assert await shown(storage) == []


async def test_one_experiment_runs_at_a_time(storage: Storage) -> None:
    first = await experiments.start(storage, name="1", now_us=T0)
    with pytest.raises(Conflict):
        await experiments.start(storage, name="2", now_us=T0 + 1)
    await experiments.stop(storage, first, now_us=T0 + 2)
    await experiments.stop(storage, first, now_us=T0 + 3)
    second = await experiments.start(storage, name="2", now_us=T0 + 4)
    found = (await snapshot(storage)).experiments
    ids = [experiment.id for experiment in found]
    assert found == (Experiment(ids[0], first, "1", T0, T0 + 2), Experiment(ids[1], second, "2", T0 + 4, None))


async def test_of_experiments_started_at_the_same_moment_one_runs(storage: Storage) -> None:
    results = await asyncio.gather(
        *(experiments.start(storage, name=f"{n}", now_us=T0) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 4
    assert len((await snapshot(storage)).experiments) == 1


async def test_a_log_entry_is_part_of_the_transaction_it_is_given_to(storage: Storage) -> None:
    await storage.write(log_entry("written"))
    await storage.append(await commit(storage, 1, writes=[log_entry("x" * 600)]))
    with pytest.raises(InvalidRows):
        await storage.append(Commit(2, 0, (), (), [log_entry("lost"), log_entry("a\0b")]))
    assert await logged(storage) == ["written", "x" * 500]
