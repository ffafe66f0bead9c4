"""Experiments start and stop together with their entry in the log and the word to webhooks, on every storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.plant import settings_for
from tests.storage.rows import SECOND, T0, new_webhook, snapshot
from webmacs import experiments
from webmacs.errors import Conflict, InvalidRows, NotFound
from webmacs.extensions import load_storage
from webmacs.model import Actor, Experiment, Role, Write
from webmacs.storage import accounts
from webmacs.storage.base import Row, Storage

BOTH = ("experiment.started", "experiment.stopped")


async def told(storage: Storage) -> list[tuple[int, dict[str, Any]]]:
    """Who is told what."""
    rows = await storage.fetch("SELECT webhook_id, payload FROM deliveries ORDER BY id")
    return [(webhook_id, json.loads(payload)) for webhook_id, payload in rows]


async def entries(storage: Storage) -> list[Row]:
    return await storage.fetch("SELECT content, logging_type, user_id, created_us FROM logs ORDER BY id")


async def times(storage: Storage) -> list[tuple[str, int, int | None]]:
    found = (await snapshot(storage)).experiments
    return [(experiment.name, experiment.started_us, experiment.stopped_us) for experiment in found]


async def new_user(storage: Storage) -> int:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.OPERATOR, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    return user.id


async def refuse(storage: Storage, table: str) -> None:
    """No row can be added to that table any more."""
    if storage.scheme == "sqlite":
        full = f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
    else:
        full = f"ALTER TABLE {table} ADD CHECK (id < 0) NOT VALID"
    await storage.write(Write(full))


# -- start -----------------------------------------------------------------------------------------------------------


async def test_a_start_is_stored_written_to_the_log_and_told(storage: Storage) -> None:
    user_id = await new_user(storage)
    dotted = await new_webhook(storage, "https://a.example", BOTH)
    await new_webhook(storage, "https://b.example", ["experiment.stopped", "sensor.reading"])
    underscored = await new_webhook(storage, "https://c.example", ["experiment_started"])
    await new_webhook(storage, "https://d.example", BOTH, enabled=False)
    public_id = await experiments.start(storage, name="Run «1»", now_us=T0 + 5, user_id=user_id)
    [experiment] = (await snapshot(storage)).experiments
    assert experiment == Experiment(experiment.id, public_id, "Run «1»", T0 + 5, None, user_id)
    assert await storage.fetch("SELECT user_id FROM experiments") == [(user_id,)]
    assert await entries(storage) == [("experiment 'Run «1»' started", "info", user_id, T0 + 5)]
    rest = {"time": "2026-01-01T00:00:00.000005+00:00", "experiment": "Run «1»"}
    assert await told(storage) == [
        (dotted.id, {"type": "experiment.started", **rest}),
        (underscored.id, {"type": "experiment_started", **rest}),
    ]


async def test_what_is_told_of_an_experiment_is_in_the_order_of_the_contract(storage: Storage) -> None:
    await new_webhook(storage, events=BOTH)
    public_id = await experiments.start(storage, name="Run", now_us=T0)
    await experiments.stop(storage, public_id, now_us=T0 + SECOND)
    assert await storage.fetch(
        "SELECT event_type, payload, status, due_us, created_us FROM deliveries ORDER BY id"
    ) == [
        (
            "experiment.started",
            '{"type":"experiment.started","time":"2026-01-01T00:00:00.000000+00:00","experiment":"Run"}',
            *("pending", T0, T0),
        ),
        (
            "experiment.stopped",
            '{"type":"experiment.stopped","time":"2026-01-01T00:00:01.000000+00:00","experiment":"Run"}',
            *("pending", T0 + SECOND, T0 + SECOND),
        ),
    ]


async def test_without_webhooks_and_users_it_starts_and_stops_too(storage: Storage) -> None:
    public_id = await experiments.start(storage, name="Run", now_us=T0)
    await experiments.stop(storage, public_id, now_us=T0 + 1)
    assert await times(storage) == [("Run", T0, T0 + 1)]
    assert await told(storage) == []


async def test_a_start_with_a_name_that_is_taken_is_told_to_nobody(storage: Storage) -> None:
    first = await experiments.start(storage, name="Run", now_us=T0)
    await experiments.stop(storage, first, now_us=T0 + 1)
    await new_webhook(storage, events=BOTH)
    with pytest.raises(Conflict):
        await experiments.start(storage, name="Run", now_us=T0 + 2)
    assert await times(storage) == [("Run", T0, T0 + 1)]
    assert (len(await entries(storage)), await told(storage)) == (2, [])


async def test_a_start_while_another_runs_is_told_to_nobody(storage: Storage) -> None:
    await experiments.start(storage, name="Run 1", now_us=T0)
    await new_webhook(storage, events=BOTH)
    with pytest.raises(Conflict):
        await experiments.start(storage, name="Run 2", now_us=T0 + 2)
    assert await times(storage) == [("Run 1", T0, None)]
    assert (len(await entries(storage)), await told(storage)) == (1, [])


@pytest.mark.parametrize("table", ["logs", "deliveries"])
async def test_a_start_that_cannot_be_told_is_none(storage: Storage, table: str) -> None:
    await new_webhook(storage, events=BOTH)
    await refuse(storage, table)
    with pytest.raises(InvalidRows):
        await experiments.start(storage, name="Run", now_us=T0)
    assert (await times(storage), await entries(storage), await told(storage)) == ([], [], [])


# -- stop ------------------------------------------------------------------------------------------------------------


async def test_a_stop_is_stored_written_to_the_log_and_told(storage: Storage) -> None:
    user_id, name = await new_user(storage), "it's 100% :name %s"
    public_id = await experiments.start(storage, name=name, now_us=T0)
    first = await new_webhook(storage, "https://a.example", BOTH)
    second = await new_webhook(storage, "https://b.example", ["experiment_stopped"])
    await new_webhook(storage, "https://c.example", ["experiment.started"])
    await experiments.stop(storage, public_id, now_us=T0 + 5, user_id=user_id)
    assert await times(storage) == [(name, T0, T0 + 5)]
    assert (await entries(storage))[1:] == [(f'experiment "{name}" stopped', "info", user_id, T0 + 5)]
    rest = {"time": "2026-01-01T00:00:00.000005+00:00", "experiment": name}
    assert await told(storage) == [
        (first.id, {"type": "experiment.stopped", **rest}),
        (second.id, {"type": "experiment_stopped", **rest}),
    ]


@pytest.mark.parametrize("later_us", [0, 1])
async def test_a_second_stop_changes_nothing_and_is_told_to_nobody(storage: Storage, later_us: int) -> None:
    await new_webhook(storage, events=BOTH)
    public_id = await experiments.start(storage, name="Run", now_us=T0)
    await experiments.stop(storage, public_id, now_us=T0 + 5)
    before = await entries(storage), await told(storage)
    await experiments.stop(storage, public_id, now_us=T0 + 5 + later_us)
    assert await times(storage) == [("Run", T0, T0 + 5)]
    assert (await entries(storage), await told(storage)) == before


@pytest.fixture
async def stoppers(storage_url: str, tmp_path: Path) -> AsyncIterator[list[Storage]]:
    """Several who have opened the same storage."""
    several = [load_storage(settings_for(storage_url, tmp_path)) for _ in range(4)]
    for one in several:
        await one.open()
    yield several
    for one in several:
        await one.close()


async def test_of_stops_at_the_same_moment_one_is_told(stoppers: list[Storage]) -> None:
    storage = stoppers[0]
    await new_webhook(storage, events=BOTH)
    for number in range(10):
        public_id = await experiments.start(storage, name=f"Run {number}", now_us=T0 + 1_000 * number)
        ends_us = T0 + 1_000 * number + 1
        await asyncio.gather(
            *(experiments.stop(one, public_id, now_us=ends_us + at) for at, one in enumerate(stoppers))
        )
    kept = await times(storage)
    assert [name for name, _, _ in kept] == [f"Run {number}" for number in range(10)]
    stopped = [entry for entry in await entries(storage) if entry[0].endswith("stopped")]
    assert [entry[-1] for entry in stopped] == [stopped_us for _, _, stopped_us in kept]
    ends = [payload for _, payload in await told(storage) if payload["type"] == "experiment.stopped"]
    assert [payload["experiment"] for payload in ends] == [name for name, _, _ in kept]


async def test_who_comes_second_because_the_first_has_not_committed_yet_tells_nobody(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that it runs before either wrote."""
    await new_webhook(storage, events=BOTH)
    public_id = await experiments.start(storage, name="Run", now_us=T0)
    write, seen, go = storage.write, list[int](), asyncio.Event()

    async def wait_for_the_other(*writes: Write, actor: Actor | None = None) -> int:
        seen.append(len(writes))
        if len(seen) == 2:
            go.set()
        await go.wait()
        return await write(*writes, actor=actor)

    monkeypatch.setattr(storage, "write", wait_for_the_other)
    await asyncio.gather(*(experiments.stop(storage, public_id, now_us=T0 + at) for at in (5, 6)))
    assert len(seen) == 2
    [(_, _, stopped_us)] = await times(storage)
    assert [entry[-1] for entry in await entries(storage)] == [T0, stopped_us]
    assert len(await told(storage)) == 2


@pytest.mark.parametrize("table", ["logs", "deliveries"])
async def test_a_stop_that_cannot_be_told_is_none(storage: Storage, table: str) -> None:
    await new_webhook(storage, events=["experiment.stopped"])
    public_id = await experiments.start(storage, name="Run", now_us=T0)
    await refuse(storage, table)
    with pytest.raises(InvalidRows):
        await experiments.stop(storage, public_id, now_us=T0 + 1)
    assert await times(storage) == [("Run", T0, None)]
    assert (len(await entries(storage)), await told(storage)) == (1, [])


async def test_an_experiment_that_is_not_there_cannot_be_stopped(storage: Storage) -> None:
    await new_webhook(storage, events=BOTH)
    with pytest.raises(NotFound, match="there is no experiment abc"):
        await experiments.stop(storage, "abc", now_us=T0)
    assert (await entries(storage), await told(storage)) == ([], [])
