"""Events and experiments, and the whole configuration as a snapshot: the statements, once for every backend."""

from __future__ import annotations

import uuid
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.errors import NotFound
from webmacs.model import Event, Experiment, Scalar, Write
from webmacs.storage import accounts, plugins
from webmacs.storage.base import Storage, Tables
from webmacs.storage.rules import rules
from webmacs.storage.statements import delete, on_one, update
from webmacs.storage.webhooks import webhooks

_EVENTS: Final = (
    "SELECT e.id, e.public_id, e.name, e.unit, e.type, e.min_value, e.max_value, u.public_id"
    " FROM events AS e LEFT JOIN users AS u ON u.id = e.user_id ORDER BY e.id"
)
_EXPERIMENTS: Final = "SELECT id, public_id, name, started_us, stopped_us, user_id FROM experiments"

# Of two who stop an experiment at the same moment, the second has changed nothing, and this is how it can tell.
STOPPED_THEN: Final = "EXISTS (SELECT 1 FROM experiments WHERE public_id = :experiment AND stopped_us = :stopped_us)"


async def snapshot(storage: Tables, now_us: int) -> Snapshot:
    """The configuration as it is now."""
    events = [Event(*row) for row in await storage.fetch(_EVENTS)]
    instances, links = await plugins.plugins(storage), await plugins.channels(storage)
    enabled = {plugin.id for plugin in instances if plugin.enabled}
    linked = {channel.event_id for channel in links if channel.plugin_id in enabled}
    experiments = [Experiment(*row) for row in await storage.fetch(f"{_EXPERIMENTS} ORDER BY started_us, id")]
    users = await accounts.users(storage)
    tokens = await accounts.tokens(storage)
    return Snapshot(
        events={event.public_id: event for event in events},
        linked={event.public_id: event for event in events if event.id in linked},
        plugins=tuple(instances),
        channels=tuple(links),
        experiments=tuple(experiments),
        users={user.public_id: user for user in users},
        tokens={token.digest: token for token in tokens},
        revoked=await accounts.revoked(storage, now_us),
        rules=tuple(await rules(storage)),
        webhooks=tuple(await webhooks(storage)),
    )


def make_event(
    public_id: str,
    *,
    name: str,
    unit: str,
    now_us: int,
    type: str = "sensor",  # noqa: A002 - the contract's name
    min_value: float = 0.0,
    max_value: float = 100.0,
    user_id: int | None = None,
    unless_taken: bool = False,
) -> Write:
    """Add an event. When written, raises `Conflict` if the name is taken; with `unless_taken` nothing changes then."""
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "name": name,
        "min_value": float(min_value),
        "max_value": float(max_value),
        "unit": unit,
        "type": type,
        "user_id": user_id,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO events (public_id, name, min_value, max_value, unit, type, user_id, created_us)"
        " VALUES (:public_id, :name, :min_value, :max_value, :unit, :type, :user_id, :now_us)"
        + (" ON CONFLICT (name) DO NOTHING" if unless_taken else ""),
        (row,),
    )


async def add_event(
    storage: Tables,
    *,
    name: str,
    unit: str,
    now_us: int,
    type: str = "sensor",  # noqa: A002 - the contract's name
    min_value: float = 0.0,
    max_value: float = 100.0,
    user_id: int | None = None,
    public_id: str | None = None,
) -> str:
    """Add an event; returns the public id. Raises `Conflict` when the name is taken."""
    public_id = public_id or str(uuid.uuid4())
    await storage.write(
        make_event(
            public_id,
            name=name,
            unit=unit,
            now_us=now_us,
            type=type,
            min_value=min_value,
            max_value=max_value,
            user_id=user_id,
        )
    )
    return public_id


async def change_event(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change columns of an event. Raises `Conflict` when the name is taken, `NotFound`."""
    await on_one(storage, "event", public_id, update("events", public_id, changed))


async def drop_event(storage: Tables, public_id: str) -> None:
    """Remove an event; no query shows its readings any more, which the house-keeping deletes. Raises `NotFound`."""
    await on_one(storage, "event", public_id, delete("events", public_id))


async def remove_event(storage: Storage, public_id: str, *, chunk: int = 10_000) -> None:
    """Remove an event and, in chunks, its readings. From the first statement on no query shows them."""
    rows = await storage.fetch("SELECT id FROM events WHERE public_id = :public_id", public_id=public_id)
    await storage.write(Write("DELETE FROM events WHERE public_id = :public_id", ({"public_id": public_id},)))
    for (event_id,) in rows:
        while await storage.forget_event(event_id, chunk):
            continue


async def experiment(storage: Tables, public_id: str) -> Experiment:
    """One experiment. Raises `NotFound`."""
    rows = await storage.fetch(f"{_EXPERIMENTS} WHERE public_id = :public_id", public_id=public_id)
    if not rows:
        raise NotFound(f"there is no experiment {public_id}")
    return Experiment(*rows[0])


async def change_experiment(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change columns of an experiment. Raises `Conflict` when the name is taken, `NotFound`."""
    await on_one(storage, "experiment", public_id, update("experiments", public_id, changed))


async def remove_experiment(storage: Tables, public_id: str) -> None:
    """Remove an experiment; its readings stay, and belong to none. Raises `NotFound`."""
    await on_one(storage, "experiment", public_id, delete("experiments", public_id))


def start_experiment(public_id: str, name: str, *, now_us: int, user_id: int | None) -> Write:
    """Start an experiment. Raises `Conflict`, when written, if the name is taken or another one runs."""
    return Write(
        "INSERT INTO experiments (public_id, name, started_us, user_id) VALUES (:public_id, :name, :now_us, :user_id)",
        ({"public_id": public_id, "name": name, "now_us": now_us, "user_id": user_id},),
    )


def stop_experiment(public_id: str, *, now_us: int) -> Write:
    """Stop an experiment; one that is stopped already stays as it is."""
    return Write(
        "UPDATE experiments SET stopped_us = :now_us WHERE public_id = :public_id AND stopped_us IS NULL",
        ({"now_us": now_us, "public_id": public_id},),
    )
