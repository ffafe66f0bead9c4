"""An instance of a plugin, with its channels and the events that those are linked to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from webmacs.errors import InvalidMessage
from webmacs.model import Direction, Write
from webmacs.plugins.base import MAX_NAME, ChannelDescription
from webmacs.storage import plugins, records
from webmacs.storage.base import Tables

EVENT_TYPES: Final = {Direction.INPUT: "sensor", Direction.OUTPUT: "actuator", Direction.BIDIRECTIONAL: "range"}


async def add_instance(
    storage: Tables,
    *,
    plugin_id: str,
    instance_name: str,
    channels: Iterable[ChannelDescription],
    now_us: int,
    events: bool = True,
    demo_mode: bool = False,
    enabled: bool = True,
    config_json: str | None = None,
    user_id: int | None = None,
) -> str:
    """Add an instance with its channels, and with `events` those, all or nothing; returns its public id.

    Raises `Conflict` when the name is taken, `InvalidMessage` when it is too long for the names of its events.
    """
    public_id = str(uuid.uuid4())
    instance = plugins.make_plugin(
        public_id,
        plugin_id=plugin_id,
        instance_name=instance_name,
        now_us=now_us,
        demo_mode=demo_mode,
        enabled=enabled,
        config_json=config_json,
        user_id=user_id,
    )
    linked = make_channels(public_id, instance_name, channels, now_us=now_us, events=events, user_id=user_id)
    await storage.write(instance, *linked)
    return public_id


def make_channels(
    plugin: str,
    instance_name: str,
    channels: Iterable[ChannelDescription],
    *,
    now_us: int,
    events: bool = True,
    user_id: int | None = None,
) -> list[Write]:
    """Add channels to the instance of that public id and, with `events`, link each to the event named for it.

    An event of that name is made unless there is one. Raises `InvalidMessage` when its name would be too long.
    """
    writes: list[Write] = []
    for channel in channels:
        name = event_name(instance_name, channel) if events else None
        if name is not None:
            writes.append(
                records.make_event(
                    str(uuid.uuid4()),
                    name=name,
                    unit=channel.unit,
                    type=EVENT_TYPES[channel.direction],
                    min_value=channel.min_value,
                    max_value=channel.max_value,
                    user_id=user_id,
                    now_us=now_us,
                    unless_taken=True,
                )
            )
        writes.append(
            plugins.make_channel(
                str(uuid.uuid4()),
                plugin=plugin,
                channel_id=channel.channel_id,
                channel_name=channel.name,
                direction=channel.direction,
                unit=channel.unit,
                event_name=name,
                now_us=now_us,
            )
        )
    return writes


def event_name(instance_name: str, channel: ChannelDescription) -> str:
    """What the event of an instance's channel is called. Raises `InvalidMessage` when that would be too long."""
    name = f"{instance_name} \N{EN DASH} {channel.name}"
    if len(name) > MAX_NAME:
        raise InvalidMessage(
            f"instance_name: the event of channel {channel.channel_id!r} would have a name of {len(name)} characters,"
            f" more than {MAX_NAME}; shorten it by {len(name) - MAX_NAME}, or make no events"
        )
    return name
