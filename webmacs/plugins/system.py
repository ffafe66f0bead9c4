"""`system`: the computer that a controller runs on.

An instance has the channels that every controller with this plugin has and, with `{"extra": true}`, some more. Those
that the machine does not have are left out when it is read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from webmacs.errors import DeviceError
from webmacs.model import Direction
from webmacs.plugins.base import BlockingDevice, ChannelDescription, DeviceConfig, PluginDescription, Sample
from webmacs.plugins.pretence import Pretence

if TYPE_CHECKING:
    from webmacs.plugins.machine import Source

_log = logging.getLogger(__name__)


def _input(channel_id: str, name: str, unit: str, most: float) -> ChannelDescription:
    return ChannelDescription(channel_id, name, Direction.INPUT, unit, 0.0, most)


EXTRA: Final = (
    _input("cpu_mhz", "CPU Frequency", "MHz", 10_000.0),
    _input("network_received", "Network Received", "kB/s", 1e6),
    _input("network_sent", "Network Sent", "kB/s", 1e6),
    _input("disk_read", "Disk Read", "kB/s", 1e7),
    _input("disk_written", "Disk Written", "kB/s", 1e7),
    _input("battery_percent", "Battery", "%", 100.0),
)


class SystemConfig(DeviceConfig):
    """`extra`: frequency, network, drives and battery, too."""

    extra: bool = False


class System(BlockingDevice):
    """Processor, memory and disk."""

    Config = SystemConfig
    description: ClassVar = PluginDescription(
        "system",
        "System Monitor",
        "0.1.0",
        "WebMACS",
        "Processor, memory and disk of the computer that the controller runs on",
        None,
        (
            _input("cpu_percent", "CPU Usage", "%", 100.0),
            _input("memory_percent", "Memory Usage", "%", 100.0),
            _input("memory_used_gb", "Memory Used", "GB", 128.0),
            _input("disk_percent", "Disk Usage", "%", 100.0),
            _input("disk_used_gb", "Disk Used", "GB", 10_000.0),
            _input("load_avg_1m", "Load Average (1 min)", "load", 256.0),
            _input("cpu_temp", "CPU Temperature", "°C", 110.0),
        ),
    )

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        super().__init__(config, demo=demo)
        self._sources: dict[str, Source] = {}
        self._pretence = Pretence()

    @classmethod
    def channels_of(cls, config: Any) -> Sequence[ChannelDescription]:
        """Those of every controller, and the others if they are wanted."""
        return (*cls.description.channels, *(EXTRA if config.extra else ()))

    @classmethod
    def present(cls) -> list[ChannelDescription]:
        """Those of all channels that this machine really has, each asked once. Blocks for some milliseconds."""
        every = cls(SystemConfig(extra=True))
        every.open_blocking()
        answered = {sample.channel_id for sample in every._measured(every.channels)}
        return [channel for channel in every.channels.values() if channel.channel_id in answered]

    def open_blocking(self) -> None:
        """Begin to count what is measured from one reading to the next."""
        if not self.demo:
            self._sources = {channel_id: source for channel_id in self.channels if (source := _made(channel_id))}

    def read_blocking(self, channel_ids: Sequence[str]) -> list[Sample]:
        """What this machine has of it, now."""
        channels = self.known(channel_ids)
        if self.demo:
            return self._pretence.read(channels)
        samples = list(self._measured(channel.channel_id for channel in channels))
        if channels and not samples:
            raise DeviceError(f"this machine has no {', '.join(channel.name for channel in channels)}")
        return samples

    def _measured(self, channel_ids: Iterable[str]) -> Iterator[Sample]:
        from webmacs.plugins import machine

        for channel_id in channel_ids:
            try:
                value = self._sources[channel_id]()
            except machine.MISSING as error:
                _log.debug("this machine has no %s just now: %s", channel_id, error)
                continue
            if math.isfinite(value):
                yield Sample(channel_id, round(value, 3))


def _made(channel_id: str) -> Source | None:
    from webmacs.plugins import machine  # psutil is for those who measure, not for a server

    try:
        return machine.SOURCES[channel_id]()
    except machine.MISSING as error:
        _log.debug("this machine has no %s: %s", channel_id, error)
        return None
