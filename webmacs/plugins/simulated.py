"""`simulated`: a small process plant that exists in memory alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from webmacs.model import Direction
from webmacs.plugins import reactor
from webmacs.plugins.base import ChannelDescription, Device, DeviceConfig, PluginDescription, Sample

NOISE: Final = {  # standard deviations
    "temp_reactor": 0.15,
    "temp_inlet": 0.1,
    "temp_outlet": 0.15,
    "pressure_chamber": 0.005,
    "pressure_diff": 0.2,
    "volume_flow": 0.08,
    "humidity": 0.3,
}
CYCLE_S: Final = 120.0  # in demo mode, of the plant's own time


class SimulatedConfig(DeviceConfig):
    """`seed`: the same noise each time. `speed`: the plant's seconds in one of ours. `noise`: 0 for none."""

    seed: int | None = None
    speed: Annotated[float, Field(gt=0, le=1000)] = 1.0
    noise: Annotated[float, Field(ge=0, le=100)] = 1.0


class Simulated(Device):
    """A reactor with a heater and a valve.

    In demo mode the heater goes on and off by itself, and the valve is half open, until somebody sets one of them.
    """

    Config = SimulatedConfig
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
            ChannelDescription("heater_power", "Heater Power", Direction.OUTPUT, "%", 0.0, 100.0, safe_value=0.0),
            ChannelDescription("valve_position", "Valve Position", Direction.OUTPUT, "%", 0.0, 100.0, safe_value=0.0),
        ),
    )

    def __init__(self, config: Any, *, demo: bool = False, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config, demo=demo)
        self._monotonic = monotonic
        self._random = random.Random(config.seed)  # noqa: S311 - noise
        self._state = reactor.State()
        self._inputs = reactor.Inputs(0.0, 50.0 if demo else 0.0)
        self._by_itself = demo
        self._at = self._began = monotonic()

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        """What the plant measures now, and what is set."""
        channels = self.known(channel_ids)
        self._catch_up()
        volume = reactor.flow(self._state, self._inputs)
        true = {
            "temp_reactor": self._state.reactor_c,
            "temp_inlet": self._state.inlet_c,
            "temp_outlet": self._state.outlet_c,
            "pressure_chamber": self._state.chamber_bar,
            "pressure_diff": reactor.orifice_mbar(volume),
            "volume_flow": volume,
            "humidity": self._state.humidity,
            "heater_power": self._inputs.heater,
            "valve_position": self._inputs.valve,
        }
        return [Sample(one.channel_id, self._measured(one, true[one.channel_id])) for one in channels]

    async def write(self, channel_id: str, value: float) -> float:
        """Set the heater or the valve."""
        self.settable(channel_id, value)
        self._catch_up()
        self._by_itself = False
        heater, valve = self._inputs.heater, self._inputs.valve
        self._inputs = reactor.Inputs(value, valve) if channel_id == "heater_power" else reactor.Inputs(heater, value)
        return value

    def _catch_up(self) -> None:
        """Let the plant's time pass up to now."""
        now = self._monotonic()
        passed_s = max(now - self._at, 0.0) * self.config.speed
        self._at = now
        if self._by_itself:
            within = (now - self._began) * self.config.speed % CYCLE_S
            self._inputs = reactor.Inputs(70.0 if within < CYCLE_S / 2 else 0.0, self._inputs.valve)
        self._state = reactor.advance(self._state, self._inputs, passed_s)

    def _measured(self, channel: ChannelDescription, value: float) -> float:
        noise = NOISE.get(channel.channel_id, 0.0) * self.config.noise
        if noise:
            value += self._random.gauss(0.0, noise)
        return round(min(max(value, channel.min_value), channel.max_value), 3)
