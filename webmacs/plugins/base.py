"""What a device plugin is: a class that says what it can measure and set, and does it. All that its author needs.

A package of its own names the class in its entry points, under the plugin's id:

    [options.entry_points]
    webmacs.plugins =
        weather = weather_station:WeatherStation

`docs/plugins.md` shows one with its test.
"""

from __future__ import annotations

from webmacs.errors import DeviceError
from webmacs.model import Direction
from webmacs.plugins.blocking import BlockingDevice
from webmacs.plugins.description import (
    ADOPTED,
    MAX_CHANNELS,
    MAX_ID,
    MAX_NAME,
    MAX_UNIT,
    ChannelDescription,
    PluginDescription,
)
from webmacs.plugins.device import Device, DeviceConfig, Health, Sample

__all__ = (
    "ADOPTED",
    "MAX_CHANNELS",
    "MAX_ID",
    "MAX_NAME",
    "MAX_UNIT",
    "BlockingDevice",
    "ChannelDescription",
    "Device",
    "DeviceConfig",
    "DeviceError",
    "Direction",
    "Health",
    "PluginDescription",
    "Sample",
)
