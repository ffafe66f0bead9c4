"""What a device plugin is: a class that says what it can measure and set.

A package of its own names the class in its entry points, under the plugin's id:

    [options.entry_points]
    webmacs.plugins =
        weather = weather_station:WeatherStation
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Final

from webmacs.model import Direction

MAX_ID: Final = 100
MAX_UNIT: Final = 50
MAX_NAME: Final = 255
MAX_CHANNELS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ChannelDescription:
    """One quantity of a device. Raises `ValueError` for what no channel can be."""

    channel_id: str
    name: str
    direction: Direction
    unit: str
    min_value: float
    max_value: float

    def __post_init__(self) -> None:
        _check_text("channel_id", self.channel_id, 1, MAX_ID)
        _check_text("name", self.name, 1, MAX_NAME)
        _check_text("unit", self.unit, 0, MAX_UNIT)
        Direction(self.direction)
        if not (math.isfinite(self.min_value) and math.isfinite(self.max_value) and self.min_value <= self.max_value):
            raise ValueError(
                f"channel {self.channel_id!r} goes from {self.min_value} to {self.max_value}, which is no range"
            )


@dataclass(frozen=True, slots=True)
class PluginDescription:
    """A plugin and the channels of its device, in order. Raises `ValueError` for what no plugin can be.

    `url` is where people read more about it.
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
        if len(self.channels) > MAX_CHANNELS:
            raise ValueError(f"plugin {self.id!r} has {len(self.channels)} channels, more than {MAX_CHANNELS:,}")
        for field in ("channel_id", "name"):  # by the name, events are called
            counted = Counter(getattr(channel, field) for channel in self.channels)
            twice = [text for text, count in counted.items() if count > 1]
            if twice:
                raise ValueError(f"plugin {self.id!r} has two channels with the {field} {twice[0]!r}")


class Device:
    """What plugins derive from."""

    description: ClassVar[PluginDescription]


def _check_text(field: str, text: object, least: int, most: int) -> None:
    if not (isinstance(text, str) and least <= len(text) <= most and "\0" not in text):
        raise ValueError(f"{field} is {text!r}, which is no text of {least} to {most} characters")
