"""The outbox: deliveries that wait, and what becomes of them; on every storage."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.plant import settings_for
from tests.storage.rows import SECOND, T0, commit, new_delivery, new_event, new_rule, new_webhook, reading
from webmacs.errors import Conflict, InvalidRows, NotFound, StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Actor, Delivery, DeliveryStatus, NewDelivery, Webhook, Write
from webmacs.storage import deliveries as statements
from webmacs.storage import webhooks
from webmacs.storage.base import Row, Storage
from webmacs.storage.deliveries import (
    TOO_MANY,
    Agenda,
    Outcome,
    agendas,
    attempted,
    deliver,
    deliver_if,
    deliver_now,
    deliveries,
    due,
    prune,
    redeliver,
    redeliver_dead,
)
from webmacs.storage.rules import fired, remove_rule
from webmacs.storage.sqlite import SqliteStorage
from webmacs.storage.webhooks import enable_webhook, remove_webhook

PENDING, DELIVERED, DEAD = DeliveryStatus.PENDING, DeliveryStatus.DELIVERED, DeliveryStatus.DEAD_LETTER
LATER = T0 + 3600 * SECOND


@pytest.fixture
async def webhook(storage: Storage) -> Webhook:
    return await new_webhook(storage)


@pytest.fixture
async def other(storage: Storage, webhook: Webhook) -> Webhook:
    return await new_webhook(storage, "https://other.example")


async def ask(storage: Storage, webhook: Webhook | int, *created_us: int) -> list[Delivery]:
    """Ask for deliveries, and return them with what the storage has made of them."""
    made = [new_delivery(webhook, at) for at in created_us]
    await storage.write(deliver(made))
    return [await one(storage, delivery.public_id) for delivery in made]


async def everything(storage: Storage) -> list[Delivery]:
    """All deliveries there are, the oldest first."""
    found: list[Delivery] = []
    for (webhook_id,) in await storage.fetch("SELECT DISTINCT webhook_id FROM deliveries"):
        found += await deliveries(storage, webhook_id, limit=1_000_000)
    return sorted(found, key=lambda delivery: delivery.id)


async def one(storage: Storage, public_id: str) -> Delivery:
    [delivery] = [delivery for delivery in await everything(storage) if delivery.public_id == public_id]
    return delivery


async def numbers(storage: Storage, webhook: Webhook, now_us: int = LATER, limit: int = 100) -> list[int]:
    """The ids of what is due."""
    return [delivery.id for delivery in await due(storage, webhook.id, now_us, limit)]


def outcome(
    delivery: Delivery,
    status: DeliveryStatus = PENDING,
    due_us: int = T0 + 60 * SECOND,
    error: str | None = "HTTP 500",
    code: int | None = 500,
    time_us: int = T0 + SECOND,
) -> Outcome:
    return Outcome(delivery, status, error, code, due_us, time_us)


def delivered(delivery: Delivery) -> Outcome:
    return outcome(delivery, DELIVERED, delivery.due_us, None, 204)


def dead(delivery: Delivery) -> Outcome:
    return outcome(delivery, DEAD)


# -- asking for deliveries -------------------------------------------------------------------------------------------


async def test_what_is_asked_for_waits_and_may_be_attempted_at_once(storage: Storage, webhook: Webhook) -> None:
    payload = json.dumps({"type": "x", "text": "it's 100% «ü» 😀 :name \\"}, ensure_ascii=False)
    asked = [NewDelivery("a-1", webhook.id, "sensor_reading", payload, T0), new_delivery(webhook, T0 + 1)]
    await storage.append(await commit(storage, 1, [reading()], writes=[deliver(asked)]))
    first, second = await due(storage, webhook.id, T0 + 1, 10)
    nothing_yet = (PENDING, 0, T0, None, None, T0, None)
    assert first == Delivery(first.id, "a-1", webhook.id, "sensor_reading", payload, *nothing_yet)
    assert (second.public_id, second.due_us) == (asked[1].public_id, T0 + 1)


async def test_nothing_may_be_asked_for(storage: Storage, webhook: Webhook) -> None:
    assert await storage.write(deliver([])) == 0
    assert await everything(storage) == []


async def test_many_deliveries_are_asked_for_at_once(storage: Storage, webhook: Webhook) -> None:
    asked = [new_delivery(webhook, T0 + n) for n in range(50_000)]
    await storage.append(await commit(storage, 1, [reading()], writes=[deliver(asked)]))
    found = await everything(storage)
    assert [delivery.public_id for delivery in found] == [delivery.public_id for delivery in asked]


async def test_the_same_delivery_is_not_asked_for_twice(storage: Storage, webhook: Webhook) -> None:
    [delivery] = await ask(storage, webhook, T0)
    again = NewDelivery(delivery.public_id, webhook.id, "x", "{}", T0)
    with pytest.raises(Conflict):
        await storage.write(deliver([again]))
    with pytest.raises(InvalidRows):
        await storage.append(await commit(storage, 1, [reading()], writes=[deliver([again])]))
    assert (await everything(storage), await storage.count()) == ([delivery], 0)


async def test_a_delivery_may_depend_on_what_is_there_when_it_is_asked_for(storage: Storage, webhook: Webhook) -> None:
    event = await new_event(storage)
    there = "EXISTS (SELECT 1 FROM events WHERE id = :event_id AND name = :name)"
    asked = [new_delivery(webhook, T0 + n) for n in range(6)]
    await storage.write(
        deliver_if(there, asked[:2], event_id=event.id, name="Sensor"),
        deliver_if(there, asked[2:3], event_id=event.id, name="it's"),
        deliver_if(there, [], event_id=event.id, name="Sensor"),
        Write("DELETE FROM events"),
        deliver_if(there, asked[3:4], event_id=event.id, name="Sensor"),
        deliver_if(f"NOT {there}", asked[4:], event_id=event.id, name="Sensor"),
    )
    found = await everything(storage)
    expected = [asked[n] for n in (0, 1, 4, 5)]
    assert [delivery.public_id for delivery in found] == [delivery.public_id for delivery in expected]
    assert [delivery.due_us for delivery in found] == [delivery.created_us for delivery in expected]


# -- what is due -----------------------------------------------------------------------------------------------------


async def test_what_has_been_due_for_longest_comes_first(storage: Storage, webhook: Webhook) -> None:
    made = await ask(storage, webhook, T0 + 3, T0 + 1, T0 + 2, T0 + 1)
    expected = [made[n].id for n in (1, 3, 2, 0)]
    assert await numbers(storage, webhook) == expected
    assert await numbers(storage, webhook, limit=3) == expected[:3]
    assert [await numbers(storage, webhook, T0 + n) for n in range(3)] == [[], expected[:2], expected[:3]]


async def test_only_what_waits_for_that_webhook_is_due(storage: Storage, webhook: Webhook, other: Webhook) -> None:
    first, second, third = await ask(storage, webhook, T0, T0, T0)
    [theirs] = await ask(storage, other, T0)
    await storage.write(attempted([delivered(first), dead(second)]))
    assert await numbers(storage, webhook) == [third.id]
    assert await numbers(storage, other) == [theirs.id]


async def test_of_a_webhook_that_is_switched_off_or_gone_nothing_is_due(
    storage: Storage, webhook: Webhook, other: Webhook
) -> None:
    [delivery] = await ask(storage, webhook, T0)
    await ask(storage, other, T0)
    await enable_webhook(storage, webhook.public_id, enabled=False)
    assert await numbers(storage, webhook) == []
    await enable_webhook(storage, webhook.public_id, enabled=True)
    assert await numbers(storage, webhook) == [delivery.id]
    await storage.write(Write("DELETE FROM webhooks"))
    assert await numbers(storage, webhook) == await numbers(storage, other) == []


async def test_an_agenda_tells_how_much_is_due_and_when_more_will_be(
    storage: Storage, webhook: Webhook, other: Webhook
) -> None:
    await ask(storage, webhook, T0, T0 + 1, T0 + 2, T0 + 3, T0 + 4)
    nothing = Agenda(0, None)
    expected = {
        T0 - 1: Agenda(0, T0),
        T0: Agenda(1, T0 + 1),
        T0 + 2: Agenda(3, T0 + 3),
        T0 + 3: Agenda(3, T0 + 4),  # counted no further than asked for
        T0 + 4: Agenda(3, None),
    }
    for now_us, agenda in expected.items():
        assert await agendas(storage, now_us, 3) == {webhook.id: agenda, other.id: nothing}, now_us - T0


async def test_on_an_agenda_is_what_waits_for_webhooks_that_are_switched_on(
    storage: Storage, webhook: Webhook, other: Webhook
) -> None:
    assert await agendas(storage, T0, 10) == {webhook.id: Agenda(0, None), other.id: Agenda(0, None)}
    first, second, third = await ask(storage, webhook, T0, T0, T0)
    await ask(storage, other, T0)
    await ask(storage, 99, T0)
    await storage.write(attempted([delivered(first), dead(second), outcome(third, due_us=T0 + 7)]))
    await enable_webhook(storage, other.public_id, enabled=False)
    assert await agendas(storage, T0, 10) == {webhook.id: Agenda(0, T0 + 7)}


async def test_without_webhooks_there_is_no_agenda(storage: Storage) -> None:
    assert await agendas(storage, T0, 10) == {}


# -- attempts --------------------------------------------------------------------------------------------------------


async def test_what_attempts_have_come_to_is_kept(storage: Storage, webhook: Webhook) -> None:
    first, second, third, fourth = await ask(storage, webhook, T0, T0, T0, T0)
    changed = await storage.write(
        attempted([delivered(first), outcome(second, error="Timeout", code=None), dead(third)]),
    )
    assert changed == 3

    def found(delivery: Delivery) -> Row:
        result = (delivery.attempts, delivery.last_error, delivery.response_code)
        return (delivery.status, *result, delivery.due_us - T0, delivery.delivered_us)

    assert [found(delivery) for delivery in await everything(storage)] == [
        (DELIVERED, 1, None, 204, 0, T0 + SECOND),
        (PENDING, 1, "Timeout", None, 60 * SECOND, None),
        (DEAD, 1, "HTTP 500", 500, 60 * SECOND, None),
        (PENDING, 0, None, None, 0, None),
    ]
    assert await one(storage, fourth.public_id) == fourth
    assert await storage.write(attempted([])) == 0


async def test_attempts_are_counted_and_the_last_one_is_told(storage: Storage, webhook: Webhook) -> None:
    [delivery] = await ask(storage, webhook, T0)
    for number in range(1, 4):
        await storage.write(attempted([outcome(delivery, error=f"HTTP {500 + number}", code=500 + number)]))
        delivery = await one(storage, delivery.public_id)
        assert (delivery.attempts, delivery.last_error) == (number, f"HTTP {500 + number}")
    await storage.write(attempted([delivered(delivery)]))
    delivery = await one(storage, delivery.public_id)
    assert (delivery.attempts, delivery.last_error, delivery.response_code) == (4, None, 204)


async def test_what_is_done_with_is_not_changed_by_an_attempt_that_ends_late(
    storage: Storage, webhook: Webhook
) -> None:
    first, second = await ask(storage, webhook, T0, T0)
    await storage.write(attempted([delivered(first), dead(second)]))
    before = await everything(storage)
    assert await storage.write(attempted([dead(first), delivered(second), outcome(first), outcome(second)])) == 0
    assert await everything(storage) == before


async def test_what_was_given_up_during_its_first_attempt_stays_so(storage: Storage, webhook: Webhook) -> None:
    under_way, _ = await ask(storage, webhook, T0, T0)
    await prune(storage, max_pending=1, before_us=None)
    assert await storage.write(attempted([delivered(under_way)])) == 0
    found = await one(storage, under_way.public_id)
    assert (found.status, found.attempts, found.delivered_us) == (DEAD, 0, None)


async def test_the_same_outcome_given_again_counts_once(storage: Storage, webhook: Webhook) -> None:
    [delivery] = await ask(storage, webhook, T0)
    for _ in range(2):
        await storage.write(attempted([outcome(delivery)]))
    assert (await one(storage, delivery.public_id)).attempts == 1


async def test_an_attempt_at_what_is_not_there_any_more_changes_nothing(storage: Storage, webhook: Webhook) -> None:
    [delivery] = await ask(storage, webhook, T0)
    await remove_webhook(storage, webhook.public_id)
    assert await storage.write(attempted([delivered(delivery)])) == 0
    assert await everything(storage) == []


# -- looking at them -------------------------------------------------------------------------------------------------


async def test_the_deliveries_of_a_webhook_are_told_the_newest_first_page_by_page(
    storage: Storage, webhook: Webhook, other: Webhook
) -> None:
    made = await ask(storage, webhook, *range(T0, T0 + 7))
    await ask(storage, other, T0)
    newest_first = made[::-1]
    assert await deliveries(storage, webhook.id, limit=10) == newest_first
    pages = [await deliveries(storage, webhook.id, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:], []]


async def test_deliveries_of_one_status_can_be_looked_at(storage: Storage, webhook: Webhook) -> None:
    made = await ask(storage, webhook, *[T0] * 6)
    await storage.write(attempted([delivered(made[0]), dead(made[2]), dead(made[4])]))
    found = {
        status: [delivery.id for delivery in await deliveries(storage, webhook.id, status=status, limit=2)]
        for status in DeliveryStatus
    }
    assert found == {PENDING: [made[5].id, made[3].id], DELIVERED: [made[0].id], DEAD: [made[4].id, made[2].id]}


# -- once more -------------------------------------------------------------------------------------------------------


async def test_whatever_became_of_a_delivery_it_can_begin_again_under_the_same_id(
    storage: Storage, webhook: Webhook
) -> None:
    made = await ask(storage, webhook, T0, T0, T0, T0)
    await storage.write(attempted([delivered(made[0]), dead(made[1]), outcome(made[2])]))
    for delivery in made:
        await redeliver(storage, delivery.public_id, LATER)
    assert await numbers(storage, webhook, LATER - 1) == []
    again = await due(storage, webhook.id, LATER, 10)
    assert [delivery.public_id for delivery in again] == [delivery.public_id for delivery in made]
    assert {(delivery.attempts, delivery.delivered_us, delivery.status) for delivery in again} == {(0, None, PENDING)}
    assert {(delivery.last_error, delivery.response_code) for delivery in again} == {(None, None)}
    assert [delivery.payload for delivery in again] == [delivery.payload for delivery in made]


async def test_one_that_is_asked_for_again_leaves_the_others_as_they_are(storage: Storage, webhook: Webhook) -> None:
    first, second = await ask(storage, webhook, T0, T0)
    await storage.write(attempted([delivered(first), delivered(second)]))
    await redeliver(storage, first.public_id, LATER)
    assert await numbers(storage, webhook) == [first.id]


async def test_what_was_asked_for_again_during_its_last_attempt_begins_from_the_beginning(
    storage: Storage, webhook: Webhook
) -> None:
    [delivery] = await ask(storage, webhook, T0)
    await storage.write(attempted([outcome(delivery)]))
    under_way = await one(storage, delivery.public_id)
    await redeliver(storage, delivery.public_id, LATER)
    await storage.write(attempted([dead(under_way)]))
    assert (await one(storage, delivery.public_id)).status is PENDING
    assert await numbers(storage, webhook) == [delivery.id]


async def test_a_delivery_may_be_asked_for_again_as_one_of_its_webhook(
    storage: Storage, webhook: Webhook, other: Webhook
) -> None:
    [delivery] = await ask(storage, webhook, T0)
    await storage.write(attempted([dead(delivery)]))
    with pytest.raises(NotFound, match=f"there is no delivery {delivery.public_id}"):
        await redeliver(storage, delivery.public_id, LATER, other.id)
    assert await numbers(storage, webhook) == []
    await redeliver(storage, delivery.public_id, LATER, webhook.id)
    assert await numbers(storage, webhook) == [delivery.id]


async def test_one_delivery_is_asked_for_unless_its_webhook_is_switched_off_or_gone(
    storage: Storage, webhook: Webhook
) -> None:
    first, second, third = (new_delivery(webhook) for _ in range(3))
    assert await deliver_now(storage, first)
    await enable_webhook(storage, webhook.public_id, enabled=False)
    assert not await deliver_now(storage, second)
    await enable_webhook(storage, webhook.public_id, enabled=True)
    assert [one.public_id for one in await due(storage, webhook.id, LATER, 10)] == [first.public_id]
    await remove_webhook(storage, webhook.public_id)
    assert not await deliver_now(storage, third)


async def test_a_delivery_that_is_not_there_cannot_be_asked_for_again(storage: Storage) -> None:
    with pytest.raises(NotFound, match="there is no delivery abc"):
        await redeliver(storage, "abc", T0)


async def test_the_dead_letters_of_a_webhook_are_asked_for_again_in_steps_and_no_others(
    storage: Storage, webhook: Webhook, other: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CHUNK", 4)
    made = await ask(storage, webhook, *[T0] * 12)
    theirs = await ask(storage, other, T0)
    await storage.write(attempted([delivered(made[0]), outcome(made[1]), *map(dead, [*made[2:], *theirs])]))
    assert await redeliver_dead(storage, webhook.id, LATER) == 10
    found = {delivery.id: delivery.status for delivery in await everything(storage)}
    assert found == {
        made[0].id: DELIVERED,
        **{delivery.id: PENDING for delivery in made[1:]},
        theirs[0].id: DEAD,
    }
    again = [delivery for delivery in await due(storage, webhook.id, LATER, 100) if delivery.due_us == LATER]
    assert [(delivery.id, delivery.attempts) for delivery in again] == [(delivery.id, 0) for delivery in made[2:]]
    assert await redeliver_dead(storage, webhook.id, LATER) == 0


async def test_dead_letters_that_die_again_at_once_do_not_hold_up_those_that_wait_for_their_turn(
    storage: Storage, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CHUNK", 2)
    made = await ask(storage, webhook, *[T0] * 7)
    await storage.write(attempted([dead(delivery) for delivery in made]))
    write = storage.write

    async def write_and_fail(*writes: Write, actor: Actor | None = None) -> int:
        changed = await write(*writes, actor=actor)
        await write(Write("UPDATE deliveries SET status = 'dead_letter'"))
        return changed

    monkeypatch.setattr(storage, "write", write_and_fail)
    assert await redeliver_dead(storage, webhook.id, LATER) == 7


# -- in bounds -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "CHUNK", 4)
    monkeypatch.setattr(webhooks, "CHUNK", 4)


async def keep(storage: Storage, *, max_pending: int = 100, before_us: int | None = None) -> None:
    await prune(storage, max_pending=max_pending, before_us=before_us)


async def ids(storage: Storage, status: DeliveryStatus | None = None) -> list[int]:
    return [delivery.id for delivery in await everything(storage) if status in {None, delivery.status}]


@pytest.mark.usefixtures("small_chunks")
async def test_what_is_done_with_goes_when_its_time_is_over_and_what_waits_stays(
    storage: Storage, webhook: Webhook
) -> None:
    old = await ask(storage, webhook, *[T0 - 1] * 12)
    new = await ask(storage, webhook, *[T0] * 12)
    for made in (old, new):
        await storage.write(attempted([*map(delivered, made[:5]), *map(dead, made[5:10])]))
    await keep(storage)
    assert len(await ids(storage)) == 24
    await keep(storage, before_us=T0)
    assert await ids(storage) == [delivery.id for delivery in (*old[10:], *new)]


@pytest.mark.usefixtures("small_chunks")
async def test_of_more_than_may_wait_for_a_receiver_the_oldest_are_given_up_and_that_is_said(
    storage: Storage, webhook: Webhook, other: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "webmacs")
    made = await ask(storage, webhook, *(T0 - n for n in range(30)))  # the oldest was asked for first
    await storage.write(attempted([delivered(made[0]), outcome(made[1])]))
    theirs = await ask(storage, other, *[T0] * 20)
    await keep(storage, max_pending=20)
    assert await ids(storage, PENDING) == [delivery.id for delivery in (*made[10:], *theirs)]
    assert await ids(storage, DEAD) == [delivery.id for delivery in made[1:10]]
    [error] = {delivery.last_error for delivery in await everything(storage) if delivery.status is DEAD}
    assert error == TOO_MANY
    assert caplog.messages == [f"webhook {webhook.public_id}: 9 deliveries more than may wait are dead letters"]
    await keep(storage, max_pending=20)
    assert len(caplog.messages) == 1


@pytest.mark.usefixtures("small_chunks")
async def test_deliveries_of_webhooks_that_are_gone_go(storage: Storage, webhook: Webhook, other: Webhook) -> None:
    await ask(storage, webhook, *[T0] * 10)
    [theirs] = await ask(storage, other, T0)
    for webhook_id in (other.id + 7, other.id + 100):
        made = await ask(storage, webhook_id, *[T0] * 10)
        await storage.write(attempted([*map(delivered, made[:3]), *map(dead, made[3:6])]))
    await storage.write(Write("DELETE FROM webhooks WHERE id = :id", ({"id": webhook.id},)))
    await keep(storage)
    assert await ids(storage) == [theirs.id]


async def test_a_webhook_that_is_added_meanwhile_keeps_its_deliveries(
    storage: Storage, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(storage, webhook, T0)
    fetch, added = storage.fetch, list[Webhook]()

    async def fetch_and_add_another(statement: str, **parameters: object) -> list[Row]:
        rows = await fetch(statement, **parameters)  # type: ignore[arg-type]
        monkeypatch.setattr(storage, "fetch", fetch)
        added.append(await new_webhook(storage, "https://new.example"))
        await ask(storage, added[0], T0)
        return rows

    monkeypatch.setattr(storage, "fetch", fetch_and_add_another)
    await keep(storage)
    assert [delivery.webhook_id for delivery in await everything(storage)] == [webhook.id, added[0].id]


async def test_when_a_rule_fired_is_forgotten_with_the_rule(storage: Storage) -> None:
    event = await new_event(storage)
    gone, kept = await new_rule(storage, event, "gone"), await new_rule(storage, event, "kept")
    await remove_rule(storage, gone.public_id)
    await storage.write(fired({gone.id: T0, kept.id: T0}))
    await keep(storage)
    assert await storage.fetch("SELECT rule_id FROM rule_states") == [(kept.id,)]


async def test_an_empty_outbox_is_kept_in_bounds_too(storage: Storage) -> None:
    for _ in range(2):
        await keep(storage, before_us=T0)
    assert await everything(storage) == []


async def test_what_could_not_be_pruned_is_pruned_the_next_time(
    storage: Storage, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await ask(storage, webhook, *[T0 - 1] * 3)
    await storage.write(attempted(list(map(delivered, made))))

    async def away(*_writes: Write) -> int:
        raise StorageUnavailable("away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(storage, "write", away)
        with pytest.raises(StorageUnavailable):
            await keep(storage, before_us=T0)
    await keep(storage, before_us=T0)
    assert await everything(storage) == []


# -- how they are found ----------------------------------------------------------------------------------------------


def plans(path: Path, statements: Sequence[str]) -> dict[str, list[str]]:
    """How SQLite would run each, step by step."""
    with closing(sqlite3.connect(path)) as db:
        return {text: [str(step[-1]) for step in db.execute(f"EXPLAIN QUERY PLAN {text}")] for text in statements}


async def test_none_of_the_outboxs_statements_reads_all_deliveries(tmp_path: Path) -> None:
    storage = load_storage(settings_for(f"sqlite:///{tmp_path / 'a.db'}", tmp_path, storage={"pool_size": 1}))
    assert isinstance(storage, SqliteStorage)
    await storage.open()
    said: list[str] = []
    for workers in (storage._writer, storage._readers):
        await workers.run(lambda db: db.set_trace_callback(said.append))
    webhook = await new_webhook(storage)
    made = await ask(storage, webhook, T0, T0)
    said.clear()

    await agendas(storage, T0, 10)
    looking, waiting = said[:], len(said)
    await due(storage, webhook.id, T0, 10)
    looking_for_what_is_due = [*looking, *said[waiting:]]
    await storage.write(attempted([delivered(made[0]), dead(made[1])]))
    await deliveries(storage, webhook.id, limit=10)
    await redeliver(storage, made[1].public_id, T0)
    await redeliver_dead(storage, webhook.id, T0)
    await prune(storage, max_pending=1, before_us=T0)
    await prune(storage, max_pending=1, before_us=T0)
    await remove_webhook(storage, webhook.public_id)
    await storage.close()

    used = [text for text in said if text.startswith(("SELECT", "UPDATE", "DELETE", "WITH")) and "deliveries" in text]
    found = plans(tmp_path / "a.db", used)
    assert len(found) >= 10
    for text, plan in found.items():
        assert not any(step == "SCAN deliveries" for step in plan), (text, plan)
    for text in looking_for_what_is_due:
        steps = [step for step in found[text] if "deliveries" in step]
        assert steps
        assert all("INDEX deliveries_pending (webhook_id=?" in step for step in steps), (text, steps)
        assert not any("TEMP B-TREE" in step for step in found[text]), (text, found[text])
