"""A device that tests hold in their hands: what it measures, what it was set to, and how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from webmacs.errors import DeviceError
from webmacs.plugins.base import ChannelDescription, Device, DeviceConfig, Direction, Health, PluginDescription, Sample

CHANNELS = (
    *(ChannelDescription(f"in{number}", f"In {number}", Direction.INPUT, "V", 0.0, 1e9) for number in range(3)),
    ChannelDescription("heater", "Heater", Direction.OUTPUT, "%", 0.0, 100.0, safe_value=0.0),
    ChannelDescription("valve", "Valve", Direction.OUTPUT, "%", 0.0, 100.0),
)


class RigConfig(DeviceConfig):
    """Anything will do."""

    note: str = ""


@dataclass
class Bench:
    """What all rigs of a test have done, and what they are to do."""

    log: list[str] = field(default_factory=list)
    """Openings, closings and settings, in order."""
    measured: list[float] = field(default_factory=list)
    """Each value is measured once."""
    fails: dict[str, Exception] = field(default_factory=dict)
    """What a method is to raise."""
    hangs: set[str] = field(default_factory=set)
    """Methods that never answer."""
    read_back: Callable[[float], float | None] = lambda value: value
    pushed: asyncio.Queue[Sample] = field(default_factory=asyncio.Queue)
    health: Health = field(default_factory=lambda: Health(ok=True))

    async def meet(self, method: str) -> None:
        if method in self.hangs:
            await asyncio.Event().wait()
        if method in self.fails:
            raise self.fails[method]

    def find(self, plugin_id: str) -> type[Device]:
        """As the controller looks for plugins."""
        if plugin_id not in {"rig", "pushing", "test"}:
            raise DeviceError(f"the plugin {plugin_id!r} is not installed here")
        base = PushingRig if plugin_id == "pushing" else Rig
        return type(base.__name__, (base,), {"bench": self})


class Rig(Device):
    """Three inputs that count, two outputs."""

    description: ClassVar = PluginDescription("rig", "Rig", "1", "Tests", "A rig", None, CHANNELS)
    Config: ClassVar = RigConfig
    bench: ClassVar[Bench]

    async def open(self) -> None:
        await self.bench.meet("open")
        self.bench.log.append(f"open{' demo' if self.demo else ''}")

    async def close(self) -> None:
        self.bench.log.append("close")
        await self.bench.meet("close")

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        await self.bench.meet("read")
        found = []
        for channel in self.known(channel_ids):
            self.bench.measured.append(float(len(self.bench.measured)))
            found.append(Sample(channel.channel_id, self.bench.measured[-1]))
        return found

    async def write(self, channel_id: str, value: float) -> float | None:
        self.settable(channel_id, value)
        await self.bench.meet("write")
        self.bench.log.append(f"{channel_id}={value:g}")
        return self.bench.read_back(value)

    async def health(self) -> Health:
        await self.bench.meet("health")
        return self.bench.health


class PushingRig(Rig):
    """The same, that says by itself what it measures."""

    description: ClassVar = PluginDescription("pushing", "Rig", "1", "Tests", "A rig", None, CHANNELS)
    pushes: ClassVar[bool] = True

    async def samples(self) -> AsyncIterator[Sample]:
        while True:
            await self.bench.meet("samples")
            yield await self.bench.pushed.get()
