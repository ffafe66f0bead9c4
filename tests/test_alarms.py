"""Readings and what they cause are one transaction: the whole pipeline on real storages, in good and in bad times."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.outage import Outage
from tests.plant import settings_for
from tests.wire import until
from webmacs.catalog import Catalog
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_stages
from webmacs.hub import Hub
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.model import Action, Operator, Role, Write
from webmacs.pipeline.base import Batch, Outcome, Refused, StageContext, Stored
from webmacs.pipeline.runner import REFUSED, Pipeline
from webmacs.storage import accounts, plugins, records
from webmacs.storage.base import Commit, Storage
from webmacs.storage.rules import add_rule
from webmacs.storage.webhooks import add_webhook, remove_webhook, webhooks
from webmacs.testing import START_US, ManualClock
from webmacs.webhooks.outbox import Outbox

BAD = 666.0
"""A value that the storage has been made to refuse."""
HOT = 80.0
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Found:
    """What is stored: values of readings, of deliveries to webhooks, entries of the log; and how many rules fired."""

    readings: list[float]
    told: list[float]
    entries: int
    fired: int


async def found(storage: Storage) -> Found:
    readings = [value for (value,) in await storage.fetch("SELECT value FROM datapoints ORDER BY id")]
    payloads = [json.loads(text) for (text,) in await storage.fetch("SELECT payload FROM deliveries ORDER BY id")]
    [(entries, fired)] = await storage.fetch("SELECT (SELECT count(*) FROM logs), (SELECT count(*) FROM rule_states)")
    return Found(readings, [payload["value"] for payload in payloads], entries, fired)


class Line:
    """A pipeline with all of our own stages, and senders."""

    def __init__(self, storage: Storage, clock: ManualClock, **pipeline: object) -> None:
        settings = settings_for("sqlite:///unused.db", Path(), pipeline=dict(pipeline))
        self.storage, self.clock, self.metrics = storage, clock, Metrics()
        self.catalog = Catalog(lambda: records.snapshot(storage, clock.now_us()))
        hub, logger = Hub(5.0, self.metrics), logging.getLogger("test")
        latest, self.outbox = LatestValues(), Outbox()
        self._context = StageContext(
            clock, self.catalog, latest, hub, self.metrics, self.outbox, settings.pipeline, logger
        )
        self.pipeline = Pipeline(load_stages(settings), storage, self._context)

    async def start(self) -> None:
        await self.catalog.reload()
        self._context.latest.load(await self.storage.latest(self.catalog.current))
        await self.pipeline.start()

    async def send(self, *values: float, user_id: int = 1) -> asyncio.Future[Outcome]:
        """A batch of one event's values; what becomes of it comes later."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        items = [{"event_public_id": "tank", "value": value} for value in values]
        batch = Batch(
            json.dumps({"datapoints": items}),
            user_id,
            self.clock.now_us(),
            reply=lambda _batch, outcome: told.set_result(outcome),
        )
        await self.pipeline.submit(batch)
        return told

    async def ask(self, *values: float) -> Outcome:
        return await asyncio.wait_for(await self.send(*values), DEADLINE_S)


@asynccontextmanager
async def line_on(storage: Storage, clock: ManualClock, **pipeline: object) -> AsyncIterator[Line]:
    line = Line(storage, clock, **pipeline)
    await line.start()
    try:
        yield line
    finally:
        await line.pipeline.close(DEADLINE_S)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def tank(storage: Storage) -> str:
    """An event that is linked, by its public id; a webhook that hears of thresholds, and an operator."""
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.OPERATOR, now_us=START_US)
    plugin = await plugins.add_plugin(storage, plugin_id="test", instance_name="Rig", now_us=START_US)
    event = await records.add_event(storage, name="Tank", unit="°C", now_us=START_US, public_id="tank")
    await plugins.add_channel(
        storage, plugin=plugin, channel_id="0", channel_name="0", unit="°C", event=event, now_us=START_US
    )
    await add_webhook(storage, url="https://example.org", events=["sensor.threshold_exceeded"], now_us=START_US)
    return event


async def rules_on(storage: Storage, event: str, cooldown_s: int = 0) -> None:
    """One that calls and one that writes to the log, each for every value above `HOT`."""
    user, _ = await accounts.user_by_email(storage, "a@b")
    for action in Action:
        await add_rule(
            storage,
            name=action.value,
            event=event,
            operator=Operator.GT,
            threshold=HOT,
            action=action,
            cooldown_s=cooldown_s,
            user_id=user.id,
            now_us=START_US,
        )


async def test_an_alarm_is_stored_with_its_reading(storage: Storage, tank: str, clock: ManualClock) -> None:
    await rules_on(storage, tank)
    async with line_on(storage, clock) as line:
        assert [await line.ask(value) for value in (79.0, 81.0)] == [Stored(1, 0, 0, 0)] * 2
        assert await found(storage) == Found([79.0, 81.0], [81.0], entries=1, fired=2)
        assert await storage.fetch("SELECT content, logging_type FROM logs") == [
            ("rule 'log': Tank is 81 °C, above 80", "warning")
        ]


async def test_at_no_moment_can_anybody_see_a_reading_without_its_alarm_or_an_alarm_without_its_reading(
    storage: Storage, tank: str, clock: ManualClock
) -> None:
    await rules_on(storage, tank)
    seen = set[int]()

    async def watch() -> None:
        while True:
            [(readings, told, entries)] = await storage.fetch(
                "SELECT (SELECT count(*) FROM datapoints), (SELECT count(*) FROM deliveries),"
                " (SELECT count(*) FROM logs)"
            )
            assert readings == told == entries
            seen.add(readings)

    async with line_on(storage, clock, commit_rows=7) as line:
        watching = asyncio.create_task(watch())
        for _ in range(20):
            sent = [await line.send(81.0 + number) for number in range(20)]
            await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert len(seen) > 2
    assert (await found(storage)).entries == 400


async def refuse_at_once(storage: Storage) -> None:
    """The row of a bad value is refused."""
    if storage.scheme == "sqlite":
        await storage.write(
            Write(
                f"CREATE TRIGGER bad BEFORE INSERT ON datapoints WHEN NEW.value = {BAD}"
                " BEGIN SELECT RAISE(ABORT, 'a bad value'); END"
            )
        )
    else:
        await storage.write(Write(f"ALTER TABLE datapoints ADD CHECK (value <> {BAD})"))


async def refuse_at_commit(storage: Storage) -> None:
    """All rows are taken; it is the COMMIT of a transaction with a bad value that fails."""
    await storage.write(
        Write("CREATE TABLE doomed (user_id integer REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
    )
    if storage.scheme == "sqlite":
        await storage.write(
            Write(
                f"CREATE TRIGGER bad AFTER INSERT ON datapoints WHEN NEW.value = {BAD}"
                " BEGIN INSERT INTO doomed VALUES (99); END"
            )
        )
    else:
        await storage.write(
            Write(
                "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN INSERT INTO doomed VALUES (99); RETURN NULL; END'"
            ),
            Write(
                f"CREATE TRIGGER bad AFTER INSERT ON datapoints FOR EACH ROW WHEN (NEW.value = {BAD})"
                " EXECUTE FUNCTION doom()"
            ),
        )


@pytest.mark.parametrize("refuse", [refuse_at_once, refuse_at_commit])
async def test_of_a_transaction_that_is_refused_nothing_is_stored_and_what_is_not_at_fault_comes_again(
    storage: Storage, tank: str, clock: ManualClock, refuse: Callable[[Storage], Awaitable[None]]
) -> None:
    await rules_on(storage, tank)
    await refuse(storage)
    outage = Outage(storage, pytest.MonkeyPatch())
    async with line_on(storage, clock) as line:
        with outage.held():  # what waits meanwhile is one transaction
            sent = [await line.send(value) for value in (81.0, 82.0, BAD, 70.0, 84.0)]
        outcomes = await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
    fine = Stored(1, 0, 0, 0)
    assert outcomes == [fine, fine, Refused(REFUSED, retry=False), fine, fine]
    assert await found(storage) == Found([81.0, 82.0, 70.0, 84.0], [81.0, 82.0, 84.0], entries=3, fired=2)


@pytest.mark.parametrize("refuse", [refuse_at_once, refuse_at_commit])
async def test_a_refused_alarm_begins_no_cooldown(
    storage: Storage, tank: str, clock: ManualClock, refuse: Callable[[Storage], Awaitable[None]]
) -> None:
    await rules_on(storage, tank, cooldown_s=60)
    await refuse(storage)
    async with line_on(storage, clock) as line:
        assert await line.ask(BAD) == Refused(REFUSED, retry=False)
        assert await found(storage) == Found([], [], entries=0, fired=0)
        assert await line.ask(81.0) == Stored(1, 0, 0, 0)
    assert await found(storage) == Found([81.0], [81.0], entries=1, fired=2)


async def test_through_an_outage_each_alarm_is_stored_once(
    storage: Storage, tank: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rules_on(storage, tank)
    outage = Outage(storage, monkeypatch)
    async with line_on(storage, clock, commit_rows=5, max_retry_delay_s=0.1) as line:
        sent = [await line.send(100.0 + number) for number in range(20)]
        with outage():
            sent += [await line.send(120.0 + number) for number in range(20)]
            await until(lambda: outage.refused > 2)
        sent += [await line.send(140.0 + number) for number in range(20)]
        await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
    expected = [100.0 + number for number in range(60)]
    assert await found(storage) == Found(expected, expected, entries=60, fired=2)


async def test_when_the_answers_to_commits_are_lost_each_alarm_is_stored_once(
    storage: Storage, tank: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rules_on(storage, tank)
    append, answers = storage.append, list[Commit]()

    async def append_and_lose_every_other_answer(commit: Commit) -> None:
        await append(commit)
        answers.append(commit)
        if len(answers) % 2:
            raise StorageUnavailable("the answer was lost")

    monkeypatch.setattr(storage, "append", append_and_lose_every_other_answer)
    async with line_on(storage, clock, commit_rows=5, max_retry_delay_s=0.1) as line:
        sent = [await line.send(100.0 + number) for number in range(20)]
        await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
    assert len(answers) >= 8
    expected = [100.0 + number for number in range(20)]
    assert await found(storage) == Found(expected, expected, entries=20, fired=2)


async def test_the_cooldown_goes_on_after_a_restart(storage: Storage, tank: str, clock: ManualClock) -> None:
    await rules_on(storage, tank, cooldown_s=60)
    async with line_on(storage, clock) as line:
        await line.ask(81.0)
    clock.advance(59.0)
    storage.run = "another"
    async with line_on(storage, clock) as line:
        await line.ask(82.0)
        assert (await found(storage)).told == [81.0]
        clock.advance(1.0)
        await line.ask(83.0)
    assert await found(storage) == Found([81.0, 82.0, 83.0], [81.0, 83.0], entries=2, fired=2)


async def remove_the_webhook(storage: Storage) -> None:
    [webhook] = await webhooks(storage)
    await remove_webhook(storage, webhook.public_id)


DEPARTURES: dict[str, Callable[[Storage], Awaitable[Any]]] = {
    "webhook": remove_the_webhook,
    "owner": lambda storage: storage.write(Write("DELETE FROM users")),
    "rules": lambda storage: storage.write(Write("DELETE FROM rules")),
    "event": lambda storage: storage.write(Write("DELETE FROM events")),
}


@pytest.mark.parametrize("what", DEPARTURES)
async def test_what_goes_between_the_decision_and_the_commit_keeps_no_reading_from_being_stored(
    storage: Storage, tank: str, clock: ManualClock, what: str
) -> None:
    """The catalog does not know of it yet."""
    await rules_on(storage, tank)
    async with line_on(storage, clock) as line:
        await DEPARTURES[what](storage)
        assert await line.ask(81.0) == Stored(1, 0, 0, 0)
    assert await found(storage) == Found([81.0], [81.0], entries=1, fired=2)
    assert line.metrics.counter("contributions_left_out", "").value == 0


async def test_readings_are_told_to_webhooks_beside_what_rules_tell(
    storage: Storage, tank: str, clock: ManualClock
) -> None:
    await rules_on(storage, tank)
    await add_webhook(storage, url="https://b.example", events=["sensor_reading"], now_us=START_US)
    async with line_on(storage, clock) as line:
        for value in (81.0, 82.0):
            await line.ask(value)
            clock.advance(4.0)
        await line.ask(70.0)
    rows = await storage.fetch("SELECT webhook_id, event_type, status, due_us, created_us FROM deliveries ORDER BY id")
    ours, theirs = [webhook.id for webhook in await webhooks(storage)]
    exceeded, reading = "sensor.threshold_exceeded", "sensor_reading"
    assert rows == [
        (theirs, reading, "pending", START_US, START_US),
        (ours, exceeded, "pending", START_US, START_US),
        (ours, exceeded, "pending", START_US + 4_000_000, START_US + 4_000_000),
        (theirs, reading, "pending", START_US + 8_000_000, START_US + 8_000_000),
    ]
