"""Webhooks, their receivers and secrets, on every storage."""

from __future__ import annotations

import pytest

from tests.storage.rows import T0, commit, logged, new_delivery, new_event, new_webhook, reading, snapshot
from webmacs.errors import Conflict, InvalidRows, NotFound
from webmacs.model import Role, Webhook, WebhookEvent, Write
from webmacs.storage import accounts
from webmacs.storage import webhooks as statements
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import deliver
from webmacs.storage.logbook import LogEntry
from webmacs.storage.webhooks import (
    add_webhook,
    change_secret,
    enable_webhook,
    forget_deliveries,
    remove_webhook,
    switch_off,
    webhooks,
)


async def waiting(storage: Storage) -> list[int]:
    """The webhooks of all deliveries there are."""
    return [number for (number,) in await storage.fetch("SELECT webhook_id FROM deliveries ORDER BY id")]


async def test_a_webhook_comes_back_as_it_was_added(storage: Storage) -> None:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    events = ["sensor.reading", "experiment_started", 'of «a» "later" version, it\'s 100% so']
    url = "https://example.org/a?b=%20c&d='e'#f"
    public_id = await add_webhook(
        storage, url=url, events=events, secret="s3cret\\", enabled=False, user_id=user.id, now_us=T0 + 1
    )
    [webhook] = await webhooks(storage)
    expected = Webhook(webhook.id, public_id, url, tuple(events), False, user.id, T0 + 1, "s3cret\\", None, 0)
    assert webhook == expected
    assert webhook.enabled is False


async def test_of_a_webhook_little_has_to_be_said(storage: Storage) -> None:
    public_id = await add_webhook(storage, url="https://example.org", events=[], now_us=T0)
    [webhook] = await webhooks(storage)
    assert webhook == Webhook(webhook.id, public_id, "https://example.org", (), True, None, T0)


async def test_webhooks_are_told_the_oldest_first_also_in_the_catalog(storage: Storage) -> None:
    made = [await new_webhook(storage, f"https://{name}.example") for name in ("c", "a", "b")]
    assert await webhooks(storage) == made
    now = await snapshot(storage)
    assert now.webhooks == tuple(made)
    assert now.subscribers[WebhookEvent.READING] == made


async def test_a_receiver_that_has_a_webhook_is_a_conflict(storage: Storage) -> None:
    made = await new_webhook(storage, "https://example.org/a", secret="s")
    with pytest.raises(Conflict):
        await new_webhook(storage, "https://example.org/a", ["experiment.started"])
    assert await webhooks(storage) == [made]


@pytest.mark.parametrize("impossible", [{"url": "a\0b"}, {"secret": "a\0b"}, {"user_id": 99}])
async def test_a_webhook_that_cannot_be_stored_is_refused(storage: Storage, impossible: dict[str, object]) -> None:
    with pytest.raises(InvalidRows):
        await add_webhook(storage, **{"url": "u", "events": [], "now_us": T0, **impossible})  # type: ignore[arg-type]
    assert await webhooks(storage) == []


async def test_a_webhook_is_switched_off_and_on_and_what_waits_for_it_stays(storage: Storage) -> None:
    webhook, other = await new_webhook(storage), await new_webhook(storage, "https://other.example")
    await storage.write(deliver([new_delivery(webhook)]))
    for enabled in (False, False, True):
        await enable_webhook(storage, webhook.public_id, enabled=enabled)
        assert {one.id: one.enabled for one in await webhooks(storage)} == {webhook.id: enabled, other.id: True}
    assert await waiting(storage) == [webhook.id]


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    webhook = await new_webhook(storage)
    await remove_webhook(storage, webhook.public_id)
    for attempt in (
        enable_webhook(storage, webhook.public_id, enabled=True),
        change_secret(storage, webhook.public_id, "s", old_until_us=0),
        remove_webhook(storage, webhook.public_id),
    ):
        with pytest.raises(NotFound, match=f"there is no webhook {webhook.public_id}"):
            await attempt


async def test_the_id_of_a_removed_webhook_is_never_given_again(storage: Storage) -> None:
    before = await new_webhook(storage)
    await remove_webhook(storage, before.public_id)
    assert (await new_webhook(storage)).id > before.id


async def test_a_webhook_outlives_its_owner(storage: Storage) -> None:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    await new_webhook(storage, user_id=user.id)
    await storage.write(Write("DELETE FROM users"))
    assert [webhook.user_id for webhook in await webhooks(storage)] == [None]


# -- secrets ---------------------------------------------------------------------------------------------------------


async def test_after_a_change_the_old_secret_is_good_for_a_while(storage: Storage) -> None:
    webhook, other = await new_webhook(storage, secret="old"), await new_webhook(storage, "https://b", secret="b")
    await change_secret(storage, webhook.public_id, "new", old_until_us=T0 + 100)
    changed, unchanged = await webhooks(storage)
    assert [changed.secrets(now_us) for now_us in (T0 + 99, T0 + 100)] == [("new", "old"), ("new",)]
    assert unchanged == other


async def test_of_two_changes_the_secret_before_the_last_one_is_good(storage: Storage) -> None:
    webhook = await new_webhook(storage, secret="first")
    await change_secret(storage, webhook.public_id, "second", old_until_us=T0 + 100)
    await change_secret(storage, webhook.public_id, "third", old_until_us=T0 + 200)
    [changed] = await webhooks(storage)
    assert [changed.secrets(now_us) for now_us in (T0 + 199, T0 + 200)] == [("third", "second"), ("third",)]


async def test_a_webhook_without_a_secret_gets_one(storage: Storage) -> None:
    webhook = await new_webhook(storage)
    await change_secret(storage, webhook.public_id, "first", old_until_us=T0 + 100)
    assert [one.secrets(T0) for one in await webhooks(storage)] == [("first",)]


# -- removal ---------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_removed_with_its_deliveries_and_no_others(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CHUNK", 4)
    webhook, other = await new_webhook(storage), await new_webhook(storage, "https://other.example")
    await storage.write(deliver([new_delivery(one) for _ in range(10) for one in (webhook, other)]))
    await remove_webhook(storage, webhook.public_id)
    assert await webhooks(storage) == [other]
    assert await waiting(storage) == [other.id] * 10


async def test_deliveries_of_a_webhook_that_is_gone_are_deleted_in_steps(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CHUNK", 4)
    await storage.write(deliver([new_delivery(7) for _ in range(10)]))
    steps = [await storage.write(forget_deliveries(7)) for _ in range(4)]
    assert steps == [4, 4, 2, 0]


async def test_that_a_webhook_has_just_been_removed_fails_no_commit_with_deliveries_to_it(storage: Storage) -> None:
    event, webhook = await new_event(storage), await new_webhook(storage)
    alarm = await commit(storage, 1, [reading(1.0, event)], writes=[deliver([new_delivery(webhook)])])
    await remove_webhook(storage, webhook.public_id)
    await storage.append(alarm)
    assert await storage.count() == 1


# -- a receiver that wants no more -----------------------------------------------------------------------------------


async def test_a_receiver_that_is_gone_is_switched_off_and_that_is_said_once(storage: Storage) -> None:
    webhook, other = await new_webhook(storage), await new_webhook(storage, "https://other.example")
    for seq in range(2):
        await storage.write(*switch_off(webhook.id, LogEntry(f"gone {seq}", T0, None, "warning")))
    assert {one.id: one.enabled for one in await webhooks(storage)} == {webhook.id: False, other.id: True}
    assert await logged(storage) == ["gone 0"]


async def test_of_a_webhook_that_is_not_there_nothing_is_said(storage: Storage) -> None:
    await storage.write(*switch_off(99, LogEntry("gone", T0, None)))
    assert await logged(storage) == []
