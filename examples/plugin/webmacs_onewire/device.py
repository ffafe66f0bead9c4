"""`onewire`: a DS18B20 as Linux shows it, and the relay of a fan or heater as a file that takes 0 and 1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from webmacs.plugins.base import (
    BlockingDevice,
    ChannelDescription,
    DeviceConfig,
    DeviceError,
    Direction,
    Health,
    PluginDescription,
    Sample,
)
from webmacs_onewire.slave import celsius

FAMILY: Final = "28-*"  # what the kernel calls each DS18B20 begins with its family
TEMPERATURE: Final = ChannelDescription(
    "temperature", "Temperature", Direction.INPUT, "°C", -55.0, 125.0, interval_s=2.0
)  # it measures for 0.75 s
RELAY: Final = ChannelDescription("relay", "Relay", Direction.OUTPUT, "bool", 0.0, 1.0, safe_value=0.0)
DEMO_C: Final = 22.0
DEMO_SWING_K: Final = 3.0
DEMO_PERIOD_S: Final = 120.0


class OneWireConfig(DeviceConfig):
    """`sensor`: which thermometer, where there are several. `relay`: the file that switches it, where there is one."""

    directory: Path = Path("/sys/bus/w1/devices")
    sensor: Annotated[str, Field(pattern=r"^28-[0-9a-f]{12}$")] | None = None
    relay: Path | None = None


class OneWire(BlockingDevice):
    """One thermometer and, where the configuration names its file, one relay."""

    Config = OneWireConfig
    description: ClassVar = PluginDescription(
        "onewire",
        "DS18B20 Thermometer",
        "1.0.0",
        "Example",
        "A one-wire thermometer on a Linux machine, with a relay for a fan or a heater",
        "https://docs.kernel.org/w1/slaves/w1_therm.html",
        (TEMPERATURE,),
    )

    def __init__(self, config: Any, *, demo: bool = False, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config, demo=demo)
        self._monotonic = monotonic
        self._file: Path | None = None
        self._troubles: dict[str, str] = {}
        self._demo_relay = 0.0

    @classmethod
    def channels_of(cls, config: Any) -> Sequence[ChannelDescription]:
        """The temperature and, if there is one, the relay."""
        return (TEMPERATURE,) if config.relay is None else (TEMPERATURE, RELAY)

    def open_blocking(self) -> None:
        """Find the thermometer, and see that the relay is there."""
        if self.demo:
            return
        self._file = self._found() / "w1_slave"
        self._troubles.clear()
        if self.config.relay is not None:
            self._switched()

    def read_blocking(self, channel_ids: Sequence[str]) -> list[Sample]:
        """Measure, which takes a second; of the relay, what its file says."""
        samples = []
        for channel in self.known(channel_ids):
            self._troubles.pop(channel.channel_id, None)
            try:
                value = self._measured() if channel is TEMPERATURE else self._switched()
            except DeviceError as error:
                self._troubles[channel.channel_id] = str(error)
            else:
                samples.append(Sample(channel.channel_id, value))
        if channel_ids and not samples:
            raise DeviceError("; ".join(self._troubles.values()))
        return samples

    def write_blocking(self, channel_id: str, value: float) -> float:
        """Switch the relay, and read back how it is."""
        self.settable(channel_id, value)
        if value not in {0.0, 1.0}:
            raise DeviceError(f"the relay cannot be set to {value}: it is off or on, 0 or 1")
        if self.demo:
            self._demo_relay = value
            return value
        try:
            with self.config.relay.open("r+b", buffering=0) as file:  # which does not make it where it is not
                file.write(b"%d" % value)
        except OSError as error:
            raise self._relay_error(error) from error
        return self._switched()

    async def health(self) -> Health:
        """How the last reading went: to ask the thermometer would take too long."""
        troubles = list(self._troubles.values())
        return Health(not troubles, "; ".join(troubles))

    # -- the files ---------------------------------------------------------------------------------------------------

    def _found(self) -> Path:
        """The directory of the thermometer."""
        directory: Path = self.config.directory
        wanted = self.config.sensor or FAMILY
        found = sorted(path for path in directory.glob(wanted) if (path / "w1_slave").exists())
        if not found:
            raise DeviceError(
                f"there is no thermometer {directory / wanted}; look at its wires, and whether the modules"
                " w1-gpio and w1-therm are loaded"
            )
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:8])
            raise DeviceError(f"there are {len(found)} thermometers; name one in the configuration as sensor: {names}")
        return found[0]

    def _measured(self) -> float:
        if self.demo:
            return round(DEMO_C + DEMO_SWING_K * math.sin(math.tau * self._monotonic() / DEMO_PERIOD_S), 3)
        if self._file is None:
            raise DeviceError("the thermometer is not open")
        name = self._file.parent.name
        try:
            value = celsius(self._file.read_text(encoding="ascii", errors="replace"))
        except OSError as error:
            raise DeviceError(f"the thermometer {name} cannot be read: {error.strerror}; look at its wires") from error
        except DeviceError as error:
            raise DeviceError(f"the thermometer {name}: {error}") from error
        if not TEMPERATURE.min_value <= value <= TEMPERATURE.max_value:
            raise DeviceError(f"the thermometer {name} says {value} °C, which it cannot measure")
        return value

    def _switched(self) -> float:
        if self.demo:
            return self._demo_relay
        try:
            said = self.config.relay.read_bytes().strip()
        except OSError as error:
            raise self._relay_error(error) from error
        if said not in {b"0", b"1"}:
            raise DeviceError(f"the relay {self.config.relay} says {said[:20]!r} instead of 0 or 1")
        return float(said)

    def _relay_error(self, error: OSError) -> DeviceError:
        return DeviceError(
            f"the relay {self.config.relay} cannot be used: {error.strerror}; is its line exported, its direction out,"
            " and may this user write to it?"
        )
