"""Devices behind an MQTT broker: what is said on topics, as values of channels, as it comes."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Final

from webmacs.plugins.base import ChannelDescription, Device, Health, PluginDescription, Sample
from webmacs.plugins.mqtt.config import MqttChannel, MqttConfig
from webmacs.plugins.mqtt.link import Link
from webmacs.plugins.mqtt.payload import Payload, command
from webmacs.plugins.pretence import Pretence

DEMO_S: Final = 1.0


class Mqtt(Device):
    """Some topics of one broker."""

    Config = MqttConfig
    pushes = True
    description: ClassVar = PluginDescription(
        "mqtt",
        "MQTT",
        "1.0.0",
        "WebMACS",
        "Topics of an MQTT broker, read as they come and published to",
        "https://mqtt.org",
        (),
    )

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        super().__init__(config, demo=demo)
        self._places = {channel.channel_id: channel for channel in config.channels}
        self._by_topic = defaultdict[str, list[MqttChannel]](list)
        for channel in config.channels:
            if channel.topic is not None:
                self._by_topic[channel.topic].append(channel)
        self._link = Link(config, self._by_topic, self._take)
        self._waiting = asyncio.Queue[Sample](config.queue_size)
        self._dropped = 0
        self._troubles: dict[str, str] = {}
        self._written: tuple[str, asyncio.Queue[float]] | None = None  # the channel whose read-back is waited for
        self._pretence = Pretence()

    @classmethod
    def channels_of(cls, config: Any) -> Sequence[ChannelDescription]:
        """As the configuration says."""
        return [channel.description for channel in config.channels]

    async def open(self) -> None:
        """Connect and subscribe."""
        self._troubles.clear()
        if not self.demo:
            await self._link.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._link.close()

    async def samples(self) -> AsyncIterator[Sample]:
        """What comes on the topics, with the time at which it came or the one it says itself."""
        while self.demo:
            for sample in self._pretence.read(one for one in self.channels.values() if one.readable):
                yield sample
            await asyncio.sleep(DEMO_S)
        while True:
            yield await self._waiting.get()

    async def write(self, channel_id: str, value: float) -> float | None:
        """Publish, and wait for the device to say on the channel's topic what it has now, if there is such a topic."""
        channel = self.settable(channel_id, value)
        if self.demo:
            return self._pretence.write(channel, value)
        place = self._places[channel_id]
        said = asyncio.Queue[float](1)
        self._written = (channel_id, said)
        try:
            await self._link.publish(place.command_topic or "", command(place, value), retain=place.retain)
            return None if place.topic is None else await self._read_back(said, value)
        finally:
            self._written = None

    async def health(self) -> Health:
        """Whether there is a connection, and all that came could be understood."""
        if self.demo:
            return Health(ok=True)
        if self._link.trouble:
            return Health(ok=False, message=self._link.trouble)
        if self._troubles:
            channel_id, trouble = next(iter(self._troubles.items()))
            return Health(
                ok=False, message=f"{len(self._troubles)} of {len(self.channels)} channels: {channel_id}: {trouble}"
            )
        return Health(
            ok=True, message=f"{self._dropped:,} values were dropped, as too many waited" if self._dropped else ""
        )

    async def _read_back(self, said: asyncio.Queue[float], value: float) -> float | None:
        """The value, once the device has it; or the last one that it had in the time it may take."""
        last = None
        try:
            async with asyncio.timeout(self.config.readback_s):
                while last is None or not math.isclose(last, value, rel_tol=1e-6, abs_tol=1e-9):
                    last = await said.get()
        except TimeoutError:
            pass
        return last

    def _take(self, topic: str, data: bytes, kept: bool) -> None:
        now_ns, payload = time.time_ns(), Payload(data)
        for place in self._by_topic.get(topic, ()):
            if kept and not place.retained and place.time_pointer is None:
                continue  # nobody knows how old it is
            try:
                value, time_ns = payload.value(place), payload.time_ns(place)
            except ValueError as error:
                self._troubles[place.channel_id] = str(error)
                continue
            self._troubles.pop(place.channel_id, None)
            self._note(Sample(place.channel_id, value, now_ns if time_ns is None else time_ns))

    def _note(self, sample: Sample) -> None:
        if self._written is not None and self._written[0] == sample.channel_id:
            _put(self._written[1], sample.value)
        if self.channels[sample.channel_id].readable:
            self._dropped += _put(self._waiting, sample)


def _put(waiting: asyncio.Queue[Any], item: object) -> bool:
    """Put it in, in place of the oldest one if there is no room; whether that was so."""
    full = waiting.full()
    if full:
        waiting.get_nowait()
    waiting.put_nowait(item)
    return full
