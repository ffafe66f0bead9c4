"""Plugin instances, their channels and what those are linked to: the statements, once for every backend."""

from __future__ import annotations

import uuid
from typing import Final

from webmacs.model import Channel, Direction, Plugin, Scalar, Write
from webmacs.storage.base import Row, Tables
from webmacs.storage.statements import delete, on_one, update

_PLUGINS: Final = (
    "SELECT id, public_id, plugin_id, instance_name, demo_mode, enabled, config_json, user_id, created_us, updated_us"
    " FROM plugins ORDER BY id"
)
_CHANNELS: Final = (
    "SELECT id, public_id, plugin_id, channel_id, channel_name, direction, unit, event_id, created_us"
    " FROM channels ORDER BY id"
)
_REMOVE_IDLE: Final = (
    "DELETE FROM events WHERE id IN (SELECT c.event_id FROM channels AS c JOIN plugins AS p ON p.id = c.plugin_id"
    " WHERE p.public_id = :public_id)"
    " AND NOT EXISTS (SELECT 1 FROM channels AS c JOIN plugins AS p ON p.id = c.plugin_id"
    " WHERE c.event_id = events.id AND p.public_id <> :public_id)"
    " AND NOT EXISTS (SELECT 1 FROM datapoints WHERE event_id = events.id)"
    " AND NOT EXISTS (SELECT 1 FROM rollups WHERE event_id = events.id)"
    " AND NOT EXISTS (SELECT 1 FROM rules WHERE event_id = events.id)"
    " AND NOT EXISTS (SELECT 1 FROM widgets WHERE event_id = events.id)"
)


async def plugins(storage: Tables) -> list[Plugin]:
    """All plugin instances, the oldest first."""
    return [_plugin(row) for row in await storage.fetch(_PLUGINS)]


async def channels(storage: Tables) -> list[Channel]:
    """All channels of all plugin instances, the oldest first."""
    return [_channel(row) for row in await storage.fetch(_CHANNELS)]


async def plugin_named(storage: Tables, instance_name: str) -> str | None:
    """The public id of the plugin instance of that name; None when there is none."""
    rows = await storage.fetch("SELECT public_id FROM plugins WHERE instance_name = :name", name=instance_name)
    return str(rows[0][0]) if rows else None


def make_plugin(
    public_id: str,
    *,
    plugin_id: str,
    instance_name: str,
    now_us: int,
    demo_mode: bool = False,
    enabled: bool = True,
    config_json: str | None = None,
    user_id: int | None = None,
    unless_taken: bool = False,
) -> Write:
    """Add a plugin instance. When written, raises `Conflict` if the name is taken; with `unless_taken` nothing changes
    then.
    """
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "plugin_id": plugin_id,
        "instance_name": instance_name,
        "demo_mode": int(demo_mode),
        "enabled": int(enabled),
        "config_json": config_json,
        "user_id": user_id,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO plugins (public_id, plugin_id, instance_name, demo_mode, enabled, config_json, user_id,"
        " created_us) VALUES (:public_id, :plugin_id, :instance_name, :demo_mode, :enabled, :config_json, :user_id,"
        " :now_us)" + (" ON CONFLICT (instance_name) DO NOTHING" if unless_taken else ""),
        (row,),
    )


async def add_plugin(
    storage: Tables,
    *,
    plugin_id: str,
    instance_name: str,
    now_us: int,
    demo_mode: bool = False,
    enabled: bool = True,
    user_id: int | None = None,
) -> str:
    """Add a plugin instance; returns the public id. Raises `Conflict` when the name is taken."""
    public_id = str(uuid.uuid4())
    await storage.write(
        make_plugin(
            public_id,
            plugin_id=plugin_id,
            instance_name=instance_name,
            now_us=now_us,
            demo_mode=demo_mode,
            enabled=enabled,
            user_id=user_id,
        )
    )
    return public_id


async def change_plugin(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change columns of a plugin instance. Raises `Conflict` when the name is taken, `NotFound`."""
    await on_one(storage, "plugin instance", public_id, update("plugins", public_id, changed))


async def enable_plugin(storage: Tables, public_id: str, *, enabled: bool) -> None:
    """Switch a plugin instance on or off; readings of events linked only to disabled ones are dropped.

    Raises `NotFound`.
    """
    await change_plugin(storage, public_id, enabled=int(enabled))


async def remove_plugin(storage: Tables, public_id: str) -> None:
    """Remove a plugin instance with its channels, and the events of those that are of no use to anybody else.

    An event stays when something was measured, or when another channel, a rule or a widget is about it. Raises
    `NotFound`.
    """
    row = {"public_id": public_id}
    await on_one(storage, "plugin instance", public_id, Write(_REMOVE_IDLE, (row,)), delete("plugins", public_id))


def make_channel(
    public_id: str,
    *,
    plugin: str,
    channel_id: str,
    channel_name: str,
    unit: str,
    now_us: int,
    event: str | None = None,
    event_name: str | None = None,
    direction: str = "input",
) -> Write:
    """Add a channel of a plugin instance, by its public id, linked to an event by its public id or its name.

    Raises `Conflict`, when written, if the plugin instance has a channel of that id. One that is linked to an event
    which is not there is linked to none, and one of a plugin instance which is not there is none.
    """
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "plugin": plugin,
        "channel_id": channel_id,
        "channel_name": channel_name,
        "direction": direction,
        "unit": unit,
        "event": event,
        "event_name": event_name,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO channels (public_id, plugin_id, channel_id, channel_name, direction, unit, event_id, created_us)"
        " SELECT :public_id, id, :channel_id, :channel_name, :direction, :unit,"
        " (SELECT id FROM events WHERE public_id = :event OR name = :event_name), :now_us"
        " FROM plugins WHERE public_id = :plugin",
        (row,),
    )


async def add_channel(
    storage: Tables,
    *,
    plugin: str,
    channel_id: str,
    channel_name: str,
    unit: str,
    event: str | None,
    now_us: int,
    direction: str = "input",
) -> str:
    """Add a channel, as `make_channel` does; returns its public id. Raises `Conflict`, `NotFound`."""
    public_id = str(uuid.uuid4())
    channel = make_channel(
        public_id,
        plugin=plugin,
        channel_id=channel_id,
        channel_name=channel_name,
        unit=unit,
        event=event,
        now_us=now_us,
        direction=direction,
    )
    await on_one(storage, "plugin instance", plugin, channel)
    return public_id


def claim_channel(
    public_id: str, *, instance_name: str, channel_id: str, channel_name: str, unit: str, event: str, now_us: int
) -> Write:
    """Add an input of the plugin instance of that name, linked to an event by its public id. If there is a channel of
    that id which is linked to none, that one is linked.

    Raises `Conflict`, when written, if there is no such event, no such instance that is switched on, or the channel is
    linked already.
    """
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "instance_name": instance_name,
        "channel_id": channel_id,
        "channel_name": channel_name,
        "unit": unit,
        "event": event,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO channels (public_id, plugin_id, channel_id, channel_name, direction, unit, event_id, created_us)"
        " SELECT :public_id, p.id, :channel_id, :channel_name, 'input', :unit, e.id, :now_us"
        " FROM plugins AS p, events AS e"
        " WHERE p.instance_name = :instance_name AND p.enabled = 1 AND e.public_id = :event"
        " ON CONFLICT (plugin_id, channel_id) DO UPDATE SET event_id = excluded.event_id"
        " WHERE channels.event_id IS NULL",
        (row,),
        changes=1,
    )


def link_channel(public_id: str, event: str | None) -> Write:
    """Link a channel to an event, or to none; both by public id."""
    return Write(
        "UPDATE channels SET event_id = (SELECT id FROM events WHERE public_id = :event) WHERE public_id = :public_id",
        ({"public_id": public_id, "event": event},),
    )


async def change_link(storage: Tables, public_id: str, event: str | None) -> None:
    """Link a channel, as `link_channel` does. Raises `NotFound` when there is no such channel."""
    await on_one(storage, "channel", public_id, link_channel(public_id, event))


async def remove_channel(storage: Tables, public_id: str) -> None:
    """Remove a channel; its event stays. Raises `NotFound`."""
    await on_one(storage, "channel", public_id, delete("channels", public_id))


async def channel_events(storage: Tables, plugin: str) -> dict[str, str | None]:
    """The channels of a plugin instance: by channel id, the public id of the event that each is linked to, if any."""
    rows = await storage.fetch(
        "SELECT c.channel_id, e.public_id FROM channels AS c JOIN plugins AS p ON p.id = c.plugin_id"
        " LEFT JOIN events AS e ON e.id = c.event_id WHERE p.public_id = :plugin ORDER BY c.id",
        plugin=plugin,
    )
    return dict(rows)


def _plugin(row: Row) -> Plugin:
    number, public_id, plugin_id, instance_name, demo_mode, enabled, *rest = row
    return Plugin(number, public_id, plugin_id, instance_name, bool(demo_mode), bool(enabled), *rest)


def _channel(row: Row) -> Channel:
    number, public_id, plugin_id, channel_id, channel_name, direction, *rest = row
    return Channel(number, public_id, plugin_id, channel_id, channel_name, Direction(direction), *rest)
