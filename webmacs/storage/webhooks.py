"""Webhooks, their receivers and secrets: the statements, once for every backend."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Final

from webmacs.errors import NotFound
from webmacs.model import Scalar, Webhook, Write
from webmacs.storage.base import Row, Tables
from webmacs.storage.logbook import LogEntry, log_if
from webmacs.storage.statements import delete, on_one, update

_WEBHOOKS: Final = (
    "SELECT id, public_id, url, events, enabled, user_id, created_us, secret, old_secret, old_secret_until_us"
    " FROM webhooks"
)
CHUNK: Final = 5_000


async def webhooks(storage: Tables) -> list[Webhook]:
    """All webhooks, the oldest first."""
    return [_webhook(row) for row in await storage.fetch(f"{_WEBHOOKS} ORDER BY id")]


async def webhook(storage: Tables, public_id: str) -> Webhook:
    """One webhook. Raises `NotFound`."""
    rows = await storage.fetch(f"{_WEBHOOKS} WHERE public_id = :public_id", public_id=public_id)
    if not rows:
        raise NotFound(f"there is no webhook {public_id}")
    return _webhook(rows[0])


async def change_webhook(
    storage: Tables, public_id: str, *, events: Sequence[str] | None = None, **changed: Scalar
) -> None:
    """Change columns of a webhook. Raises `Conflict`, `NotFound`."""
    if events is not None:
        changed["events"] = written(events)
    await on_one(storage, "webhook", public_id, update("webhooks", public_id, changed))


def make_webhook(
    public_id: str,
    *,
    url: str,
    events: Sequence[str],
    now_us: int,
    secret: str | None = None,
    enabled: bool = True,
    user_id: int | None = None,
) -> Write:
    """Add a webhook. Raises `Conflict`, when written, if that receiver has one already."""
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "url": url,
        "events": written(events),
        "enabled": int(enabled),
        "secret": secret,
        "user_id": user_id,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO webhooks (public_id, url, events, enabled, secret, user_id, created_us)"
        " VALUES (:public_id, :url, :events, :enabled, :secret, :user_id, :now_us)",
        (row,),
    )


def written(events: Sequence[str]) -> str:
    """What a webhook wants to hear of, as its row has it."""
    return json.dumps(list(events))


async def add_webhook(
    storage: Tables,
    *,
    url: str,
    events: Sequence[str],
    now_us: int,
    secret: str | None = None,
    enabled: bool = True,
    user_id: int | None = None,
) -> str:
    """Add a webhook; returns its public id. Raises `Conflict` when that receiver has one already."""
    public_id = str(uuid.uuid4())
    await storage.write(
        make_webhook(public_id, url=url, events=events, secret=secret, enabled=enabled, user_id=user_id, now_us=now_us)
    )
    return public_id


async def enable_webhook(storage: Tables, public_id: str, *, enabled: bool) -> None:
    """Switch a webhook on or off; deliveries that wait for it stay where they are. Raises `NotFound`."""
    await on_one(storage, "webhook", public_id, update("webhooks", public_id, {"enabled": int(enabled)}))


def switch_off(webhook_id: int, entry: LogEntry) -> list[Write]:
    """Switch a webhook off and say so in the log, unless it is off already; for whichever transaction it belongs to."""
    row = {"webhook_id": webhook_id}
    return [
        log_if("EXISTS (SELECT 1 FROM webhooks WHERE id = :webhook_id AND enabled = 1)", entry, **row),
        Write("UPDATE webhooks SET enabled = 0 WHERE id = :webhook_id AND enabled = 1", (row,)),
    ]


async def change_secret(storage: Tables, public_id: str, secret: str, *, old_until_us: int) -> None:
    """Give a webhook a new secret; the one it had stays good beside it until then. Raises `NotFound`."""
    row: dict[str, Scalar] = {"public_id": public_id, "secret": secret, "until_us": old_until_us}
    change = Write(
        "UPDATE webhooks SET old_secret = secret, old_secret_until_us = :until_us, secret = :secret"
        " WHERE public_id = :public_id",
        (row,),
    )
    await on_one(storage, "webhook", public_id, change)


async def remove_webhook(storage: Tables, public_id: str) -> None:
    """Remove a webhook and, in chunks, its deliveries, of which none is attempted from the first statement on.

    Raises `NotFound`.
    """
    rows = await storage.fetch("SELECT id FROM webhooks WHERE public_id = :public_id", public_id=public_id)
    await on_one(storage, "webhook", public_id, delete("webhooks", public_id))
    for (webhook_id,) in rows:
        while await storage.write(forget_deliveries(webhook_id)):
            continue


def forget_deliveries(webhook_id: int) -> Write:
    """Delete some deliveries of a webhook that is gone."""
    return Write(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE webhook_id = :webhook_id LIMIT :limit)",
        ({"webhook_id": webhook_id, "limit": CHUNK},),
    )


def _webhook(row: Row) -> Webhook:
    number, public_id, url, events, enabled, *rest = row
    return Webhook(number, public_id, url, tuple(json.loads(events)), bool(enabled), *rest)
