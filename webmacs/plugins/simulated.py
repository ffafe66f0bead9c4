"""`simulated`: a small process plant that exists in memory alone."""

from __future__ import annotations

from typing import ClassVar

from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription


class Simulated(Device):
    """A reactor with a heater and a valve."""

    description: ClassVar = PluginDescription(
        "simulated",
        "Simulated Device",
        "0.2.0",
        "WebMACS",
        "A reactor with a heater and a valve, for trying things out without hardware",
        None,
        (
            ChannelDescription("temp_reactor", "Temperature Reactor", Direction.INPUT, "°C", 20.0, 500.0),
            ChannelDescription("temp_inlet", "Temperature Inlet", Direction.INPUT, "°C", 15.0, 200.0),
            ChannelDescription("temp_outlet", "Temperature Outlet", Direction.INPUT, "°C", 15.0, 300.0),
            ChannelDescription("pressure_chamber", "Pressure Chamber", Direction.INPUT, "bar", 0.0, 6.0),
            ChannelDescription("pressure_diff", "Pressure Differential", Direction.INPUT, "mbar", 0.0, 100.0),
            ChannelDescription("volume_flow", "Volume Flow", Direction.INPUT, "m³/h", 0.0, 40.0),
            ChannelDescription("humidity", "Humidity", Direction.INPUT, "%", 0.0, 100.0),
            ChannelDescription("heater_power", "Heater Power", Direction.OUTPUT, "%", 0.0, 100.0),
            ChannelDescription("valve_position", "Valve Position", Direction.OUTPUT, "%", 0.0, 100.0),
        ),
    )
