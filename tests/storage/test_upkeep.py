"""House-keeping, on every storage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.storage.rows import DAY, T0, UNKNOWN_EVENT, commit, new_event, reading, record, shown, values
from webmacs.config import StorageSettings
from webmacs.model import Write
from webmacs.storage import upkeep
from webmacs.storage.base import Storage
from webmacs.storage.logbook import LogEntry, log_entries
from webmacs.storage.upkeep import keep_house


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CHUNK", 4)


async def keep(storage: Storage, now_us: int = T0, batches_kept_us: int = 7 * DAY, **settings: Any) -> None:
    await keep_house(storage, StorageSettings(**settings), now_us, batches_kept_us)


async def test_identities_of_batches_are_forgotten_when_their_time_is_over(storage: Storage) -> None:
    old = [record(f"old {n}", time_us=T0 - 7 * DAY - 1) for n in range(10)]
    kept = [record(f"kept {n}", time_us=T0 - 7 * DAY) for n in range(10)]
    await storage.append(await commit(storage, 1, batches=[*old, *kept]))
    await keep(storage)
    assert set(await storage.recall([one.key for one in (*old, *kept)])) == {one.key for one in kept}


async def test_runs_that_have_been_silent_for_long_are_forgotten(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, [reading()]))
    runs = [("long-ago", T0 - 7 * DAY - 1), ("lately", T0 - 7 * DAY)]
    await storage.write(
        Write(
            "INSERT INTO commits (run, seq, committed_us) VALUES (:run, 1, :us)",
            tuple({"run": run, "us": at} for run, at in runs),
        )
    )
    await keep(storage)
    assert dict(await storage.fetch("SELECT run, seq FROM commits")) == {storage.run: 1, "lately": 1}


async def test_a_run_is_known_by_its_last_commit_however_long_ago_it_began(storage: Storage) -> None:
    await storage.append(await commit(storage, 1, [reading()]))
    await storage.write(Write("UPDATE commits SET committed_us = 0"))
    again = await commit(storage, 2, [reading()])
    await storage.append(again)
    [(committed_us,)] = await storage.fetch("SELECT committed_us FROM commits")
    assert committed_us > T0 - 365 * DAY


async def test_our_own_run_is_never_forgotten(storage: Storage) -> None:
    same = await commit(storage, 1, [reading(1.0, await new_event(storage))])
    await storage.append(same)
    await storage.write(Write("UPDATE commits SET committed_us = 0"))
    await keep(storage)
    await storage.append(same)
    assert await values(storage) == [1.0]


async def test_readings_past_retention_go(storage: Storage) -> None:
    event = await new_event(storage)
    readings = [reading(float(days), event, T0 - days * DAY) for days in range(20)]
    await storage.append(await commit(storage, 1, readings))
    await keep(storage, retention_days=10)
    assert sorted(await values(storage)) == [float(days) for days in range(11)]


async def test_without_retention_readings_stay_for_ever(storage: Storage) -> None:
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0 - 20_000 * DAY)]))
    await keep(storage)
    assert await values(storage) == [1.0]


async def test_readings_of_events_that_are_gone_go(storage: Storage) -> None:
    first, event = await new_event(storage, "first"), await new_event(storage)
    gone = [reading(1.0, UNKNOWN_EVENT, T0 + n) for n in range(10)]
    kept = [reading(2.0, event), reading(3.0, first)]
    await storage.append(await commit(storage, 1, [*gone, *kept]))
    await storage.write(Write("DELETE FROM events WHERE id = :id", ({"id": first.id},)))
    await keep(storage)
    assert await values(storage) == [2.0]
    assert await shown(storage) == [("Sensor", 2.0)]


async def test_an_empty_house_is_kept_too(storage: Storage) -> None:
    for _ in range(2):
        await keep(storage, retention_days=1)
    assert await storage.count() == 0


async def entries(storage: Storage) -> list[str]:
    return [str(content) for (content,) in await storage.fetch("SELECT content FROM logs ORDER BY id")]


async def test_log_entries_older_than_so_many_days_are_forgotten(storage: Storage) -> None:
    written = [LogEntry(f"{days} days old", T0 - days * DAY, None) for days in range(20, 0, -1)]
    await storage.write(log_entries(written))
    await keep(storage)
    assert len(await entries(storage)) == 20  # nothing else is asked for
    await keep(storage, log_retention_days=7)
    assert await entries(storage) == [f"{days} days old" for days in range(7, 0, -1)]


async def test_of_more_log_entries_than_there_may_be_the_newest_stay(storage: Storage) -> None:
    await storage.write(log_entries([LogEntry(f"entry {number}", T0, None) for number in range(20)]))
    await keep(storage, max_log_entries=20)
    assert len(await entries(storage)) == 20
    await keep(storage, max_log_entries=3)
    assert await entries(storage) == ["entry 17", "entry 18", "entry 19"]
    await keep(storage, max_log_entries=0)
    assert len(await entries(storage)) == 3
