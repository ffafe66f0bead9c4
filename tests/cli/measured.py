"""Readings for the tests of commands, and what a storage holds in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.plant import settings_for
from webmacs.catalog import Snapshot
from webmacs.cli.setting import opened_storage
from webmacs.extensions import load_storage
from webmacs.model import Reading
from webmacs.storage import records
from webmacs.storage.base import Commit, Storage

T = TypeVar("T")

T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000


class Held(NamedTuple):
    """A reading as it is stored."""

    time_us: int
    event: str
    value: float
    experiment: str | None


def inside(url: str, work: Callable[[Storage, Snapshot], Awaitable[T]]) -> T:
    """What `work` returns, done on the storage there, with what is configured."""

    async def do() -> T:
        async with opened_storage(settings_for(url, Path()), new=True) as storage:
            return await work(storage, await records.snapshot(storage, T0))

    return asyncio.run(do())


async def put(storage: Storage, snapshot: Snapshot, rows: Sequence[tuple[str, int, float]]) -> None:
    """Store readings: the name of the event, the time, the value."""
    events = {event.name: event for event in snapshot.events.values()}
    readings = [Reading(events[name], time_us, value, snapshot.experiment_at(time_us)) for name, time_us, value in rows]
    await storage.append(Commit(1, await storage.reserve(len(readings)), readings))


def store(url: str, rows: Sequence[tuple[str, int, float]]) -> None:
    """The same, on the storage there."""
    inside(url, lambda storage, snapshot: put(storage, snapshot, rows))


async def found(storage: Storage, snapshot: Snapshot) -> list[Held]:
    """All readings of a small storage, in order of time, then id."""
    points = [
        point for event_id in snapshot.events_by_id for point in await storage.history(snapshot, event_id, limit=10**6)
    ]
    points.sort(key=lambda point: (point.time_us, point.id))
    return [
        Held(point.time_us, point.event.name, point.value, point.experiment.name if point.experiment else None)
        for point in points
    ]


def held(url: str) -> list[Held]:
    """The same, of the storage there."""
    return inside(url, found)


def kind_of(url: str) -> type[Storage]:
    """The class of a storage."""
    return type(load_storage(settings_for(url, Path())))
