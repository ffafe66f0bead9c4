"""What a plugin says of itself and of the channels of its device."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from webmacs.model import Direction

MAX_ID: Final = 100
MAX_UNIT: Final = 50
MAX_NAME: Final = 255
MAX_CHANNELS: Final = 1_000
ADOPTED: Final = "adopted"
"""The plugin of instances that no controller serves: their readings are sent by whoever measures them."""


@dataclass(frozen=True, slots=True)
class ChannelDescription:
    """One quantity of a device. Raises `ValueError` for what no channel can be.

    `safe_value`, of what can be set: written when the server is away, when the controller stops and when what was set
    is too old; None: left as it is. `interval_s`: how often it makes sense to read it; None: as often as the
    controller reads.
    """

    channel_id: str
    name: str
    direction: Direction
    unit: str
    min_value: float
    max_value: float
    safe_value: float | None = None
    interval_s: float | None = None

    def __post_init__(self) -> None:
        _check_text("channel_id", self.channel_id, 1, MAX_ID)
        _check_text("name", self.name, 1, MAX_NAME)
        _check_text("unit", self.unit, 0, MAX_UNIT)
        Direction(self.direction)
        if not (math.isfinite(self.min_value) and math.isfinite(self.max_value) and self.min_value <= self.max_value):
            raise ValueError(
                f"channel {self.channel_id!r} goes from {self.min_value} to {self.max_value}, which is no range"
            )
        if self.safe_value is not None:
            self._check_safe_value(self.safe_value)
        if self.interval_s is not None and not (math.isfinite(self.interval_s) and self.interval_s > 0):
            raise ValueError(f"channel {self.channel_id!r} has the interval_s {self.interval_s}; give seconds above 0")

    @property
    def settable(self) -> bool:
        """Whether it can be written."""
        return self.direction is not Direction.INPUT

    @property
    def readable(self) -> bool:
        """Whether the device measures it; what was written to an output comes back from the write alone."""
        return self.direction is not Direction.OUTPUT

    def _check_safe_value(self, value: float) -> None:
        if not self.settable:
            raise ValueError(f"channel {self.channel_id!r} is an input and cannot have a safe_value")
        if not self.min_value <= value <= self.max_value:
            raise ValueError(
                f"channel {self.channel_id!r} has the safe_value {value}, which is not within"
                f" {self.min_value} to {self.max_value}"
            )


@dataclass(frozen=True, slots=True)
class PluginDescription:
    """A plugin and the channels of its device, in order. Raises `ValueError` for what no plugin can be.

    `url` is where people read more about it. Of a plugin whose channels are known by the configuration of an instance
    alone, `channels` is empty.
    """

    id: str
    name: str
    version: str
    vendor: str
    description: str
    url: str | None
    channels: tuple[ChannelDescription, ...]

    def __post_init__(self) -> None:
        _check_text("id", self.id, 1, MAX_ID)
        for field in ("name", "version", "vendor", "description"):
            _check_text(field, getattr(self, field), 0, MAX_NAME)
        if self.url is not None:
            _check_text("url", self.url, 0, MAX_NAME)
        check_channels(self.id, self.channels)


def check_channels(plugin_id: str, channels: Iterable[ChannelDescription]) -> None:
    """Raises `ValueError` when one device cannot have all these channels."""
    channels = tuple(channels)
    if len(channels) > MAX_CHANNELS:
        raise ValueError(f"plugin {plugin_id!r} has {len(channels)} channels, more than {MAX_CHANNELS:,}")
    for field in ("channel_id", "name"):  # by the name, events are called
        counted = Counter(getattr(channel, field) for channel in channels)
        twice = [text for text, count in counted.items() if count > 1]
        if twice:
            raise ValueError(f"plugin {plugin_id!r} has two channels with the {field} {twice[0]!r}")


def _check_text(field: str, text: object, least: int, most: int) -> None:
    if not (isinstance(text, str) and least <= len(text) <= most and "\0" not in text):
        raise ValueError(f"{field} is {text!r}, which is no text of {least} to {most} characters")
