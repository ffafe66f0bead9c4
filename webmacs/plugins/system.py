"""`system`: the computer that a controller runs on.

The channels are those that every controller with this plugin has. What else the machine of a demonstration can
measure belongs to its instance alone: events that no controller ever sends would only be in the way.
"""

from __future__ import annotations

from typing import ClassVar

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription


class System(Device):
    """Processor, memory and disk."""

    description: ClassVar = PluginDescription(
        "system",
        "System Monitor",
        "0.1.0",
        "WebMACS",
        "Processor, memory and disk of the computer that the controller runs on",
        None,
        (
            ChannelDescription("cpu_percent", "CPU Usage", Direction.INPUT, "%", 0.0, 100.0),
            ChannelDescription("memory_percent", "Memory Usage", Direction.INPUT, "%", 0.0, 100.0),
            ChannelDescription("memory_used_gb", "Memory Used", Direction.INPUT, "GB", 0.0, 128.0),
            ChannelDescription("disk_percent", "Disk Usage", Direction.INPUT, "%", 0.0, 100.0),
            ChannelDescription("disk_used_gb", "Disk Used", Direction.INPUT, "GB", 0.0, 10_000.0),
            ChannelDescription("load_avg_1m", "Load Average (1 min)", Direction.INPUT, "load", 0.0, 256.0),
            ChannelDescription("cpu_temp", "CPU Temperature", Direction.INPUT, "°C", 0.0, 110.0),
        ),
    )
