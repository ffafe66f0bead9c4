"""What tests give a storage: readings, identities of batches, commits of them; and what they find in it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from webmacs import experiments
from webmacs.catalog import Snapshot
from webmacs.errors import StorageUnavailable
from webmacs.model import (
    Action,
    Actor,
    BatchKey,
    BatchRecord,
    Event,
    Experiment,
    NewDelivery,
    Operator,
    Reading,
    Rule,
    Webhook,
    Write,
)
from webmacs.storage import logbook, records, rules, webhooks
from webmacs.storage.base import Commit, Row, Storage

T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000
DAY = 86_400 * SECOND

SOMEBODY = Actor("somebody@example.org", "an-id-of-somebody")

UNKNOWN_EVENT = Event(2_000_000_000, "nobody-knows", "Nobody knows", "V", "sensor", 0.0, 1.0)


def reading(
    value: float = 1.0, event: Event = UNKNOWN_EVENT, time_us: int = T0, experiment: Experiment | None = None
) -> Reading:
    return Reading(event, time_us, value, experiment)


def record(batch_id: str, user_id: int = 7, **numbers: int) -> BatchRecord:
    answer = {"accepted": 1, "invalid": 2, "unlinked": 3, "skewed": 4, "time_us": T0, **numbers}
    return BatchRecord(BatchKey(user_id, batch_id), f"digest of {batch_id}", **answer)


async def commit(
    storage: Storage,
    seq: int,
    readings: Sequence[Reading] = (),
    batches: Sequence[BatchRecord] = (),
    writes: Sequence[Write] = (),
) -> Commit:
    """A commit with ids reserved for its readings."""
    return Commit(seq, await storage.reserve(len(readings)), readings, batches, writes)


async def new_event(storage: Storage, name: str = "Sensor") -> Event:
    public_id = await records.add_event(storage, name=name, unit="V", now_us=T0)
    return (await snapshot(storage)).events[public_id]


async def new_experiment(storage: Storage, name: str = "Run") -> Experiment:
    public_id = await experiments.start(storage, name=name, now_us=T0)
    found = [one for one in (await snapshot(storage)).experiments if one.public_id == public_id]
    return found[0]


async def new_rule(storage: Storage, event: Event, name: str = "Hot", **more: Any) -> Rule:
    """Above 80: written to the log, once a minute; keywords say otherwise."""
    limits = {"operator": Operator.GT, "threshold": 80.0, "action": Action.LOG, "now_us": T0, **more}
    public_id = await rules.add_rule(storage, name=name, event=event.public_id, **limits)
    return next(rule for rule in await rules.rules(storage) if rule.public_id == public_id)


async def new_webhook(
    storage: Storage, url: str = "https://example.org", events: Sequence[str] = ("sensor.reading",), **more: Any
) -> Webhook:
    public_id = await webhooks.add_webhook(storage, url=url, events=events, now_us=T0, **more)
    return next(webhook for webhook in await webhooks.webhooks(storage) if webhook.public_id == public_id)


def new_delivery(webhook: Webhook | int, created_us: int = T0, payload: str = "{}") -> NewDelivery:
    webhook_id = webhook if isinstance(webhook, int) else webhook.id
    return NewDelivery(str(uuid.uuid4()), webhook_id, "sensor.reading", payload, created_us)


async def snapshot(storage: Storage) -> Snapshot:
    return await records.snapshot(storage, T0)


async def values(storage: Storage) -> list[float]:
    """The values of all datapoints, in the order of their ids."""
    return [value for (value,) in await storage.fetch("SELECT value FROM datapoints ORDER BY id")]


async def ids(storage: Storage) -> list[int]:
    return [row_id for (row_id,) in await storage.fetch("SELECT id FROM datapoints ORDER BY id")]


async def shown(storage: Storage) -> list[Row]:
    """What people see who query the view."""
    return await storage.fetch("SELECT event, value FROM readings ORDER BY value")


def log_entry(content: str = "said") -> Write:
    return logbook.log_entry(content, now_us=T0, user_id=None)


def log_entries(contents: Iterable[str]) -> Write:
    return logbook.log_entries(logbook.LogEntry(content, T0, None) for content in contents)


async def logged(storage: Storage) -> list[str]:
    return [content for (content,) in await storage.fetch("SELECT content FROM logs ORDER BY id")]


async def eventually(call: Callable[[], Coroutine[Any, Any, object]], within_s: float = 5.0) -> None:
    """Call again and again while the storage is unavailable, as the pipeline does."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await call()
            except StorageUnavailable:
                await asyncio.sleep(0.05)
            else:
                return
