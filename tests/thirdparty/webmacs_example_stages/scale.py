"""The plugin: a laboratory scale."""

from __future__ import annotations

from typing import ClassVar

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription


class Scale(Device):
    """It weighs, and can be set to zero."""

    description: ClassVar = PluginDescription(
        "scale",
        "Laboratory Scale",
        "1.0",
        "Example",
        "Weighs up to 5 kg",
        "https://example.org/scale",
        (
            ChannelDescription("weight", "Weight", Direction.INPUT, "g", 0.0, 5_000.0),
            ChannelDescription("zero", "Zero", Direction.OUTPUT, "", 0.0, 1.0),
        ),
    )
