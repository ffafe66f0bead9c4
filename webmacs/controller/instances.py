"""Which instances of plugins there are, their channels, and the events those are linked to: as a server says it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webmacs.model import Direction
from webmacs.plugins.base import ADOPTED

MAX_INSTANCES: Final = 1_000


class State(enum.StrEnum):
    """How an instance is doing, in the words of the contract."""

    INACTIVE = "inactive"
    CONNECTED = "connected"
    DEMO = "demo"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LinkedChannel:
    """A channel that is linked to an event."""

    channel_id: str
    name: str
    direction: Direction
    event: str
    unit: str = ""

    @property
    def readable(self) -> bool:
        """Whether the device measures it."""
        return self.direction is not Direction.OUTPUT

    @property
    def settable(self) -> bool:
        """Whether it can be written."""
        return self.direction is not Direction.INPUT


@dataclass(frozen=True, slots=True)
class Instance:
    """One device, as it is configured. Channels that are linked to nothing are left out."""

    public_id: str
    plugin_id: str
    name: str
    demo: bool
    config_json: str | None
    channels: tuple[LinkedChannel, ...]

    def same_device(self, other: Instance) -> bool:
        """Whether it can go on with the device that is open for the other one."""
        return (self.plugin_id, self.demo, self.config_json) == (other.plugin_id, other.demo, other.config_json)


def enabled_instances(listed: Iterable[Any]) -> list[Instance]:
    """Those that are switched on, from the items of `GET /plugins`. What is no instance is left out, and so is what
    nobody serves.

    Raises:
        ValueError: not one of them can be understood.

    """
    items = list(listed)[:MAX_INSTANCES]
    found = []
    understood = 0
    for item in items:
        try:
            instance = _instance(item)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        understood += 1
        if item["enabled"] and instance.plugin_id != ADOPTED:
            found.append(instance)
    if items and not understood:
        raise ValueError("the list of instances is not what the contract says")
    return found


def as_document(instances: Iterable[Instance]) -> dict[str, Any]:
    """To be kept, so that a controller knows what to measure before it has met a server."""
    return {
        "instances": [
            {
                "public_id": instance.public_id,
                "plugin_id": instance.plugin_id,
                "instance_name": instance.name,
                "demo_mode": instance.demo,
                "enabled": True,
                "config_json": instance.config_json,
                "channel_mappings": [
                    {
                        "channel_id": channel.channel_id,
                        "channel_name": channel.name,
                        "direction": channel.direction.value,
                        "unit": channel.unit,
                        "event_public_id": channel.event,
                    }
                    for channel in instance.channels
                ],
            }
            for instance in instances
        ]
    }


def _instance(item: Mapping[str, Any]) -> Instance:
    config = item.get("config_json")
    return Instance(
        public_id=str(item["public_id"]),
        plugin_id=str(item["plugin_id"]),
        name=str(item["instance_name"]),
        demo=bool(item["demo_mode"]),
        config_json=None if config is None else str(config),
        channels=tuple(
            LinkedChannel(
                channel_id=str(channel["channel_id"]),
                name=str(channel["channel_name"]),
                direction=Direction(channel["direction"]),
                event=str(channel["event_public_id"]),
                unit=str(channel.get("unit", "")),
            )
            for channel in item["channel_mappings"]
            if channel["event_public_id"] is not None
        ),
    )
