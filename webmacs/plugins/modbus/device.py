"""Devices that speak Modbus: what stands in their registers, as values of channels."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from webmacs.errors import DeviceError
from webmacs.plugins.base import ChannelDescription, Device, Health, PluginDescription, Sample
from webmacs.plugins.modbus.blocks import Block, blocks
from webmacs.plugins.modbus.codec import decode, encode
from webmacs.plugins.modbus.config import BITS, ModbusConfig, Table
from webmacs.plugins.modbus.link import Link, Refused
from webmacs.plugins.pretence import Pretence

if TYPE_CHECKING:
    from pymodbus.client.base import ModbusBaseClient
    from pymodbus.pdu import ModbusPDU

_log = logging.getLogger(__name__)

MAX_APART: Final = 1_000


class Modbus(Device):
    """One Modbus TCP server, or one serial line with its devices."""

    Config = ModbusConfig
    description: ClassVar = PluginDescription(
        "modbus",
        "Modbus",
        "1.0.0",
        "WebMACS",
        "Registers and bits of devices that speak Modbus, over TCP or a serial line",
        "https://www.modbus.org/modbus-specifications",
        (),
    )

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        super().__init__(config, demo=demo)
        self._link = Link(config)
        self._pretence = Pretence()
        self._places = {channel.channel_id: channel for channel in config.channels}
        self._apart = set[Block]()  # blocks that the device refuses as a whole, and not in parts
        self._troubles: dict[str, str] = {}

    @classmethod
    def channels_of(cls, config: Any) -> Sequence[ChannelDescription]:
        """As the configuration says."""
        return [channel.description for channel in config.channels]

    async def open(self) -> None:
        """Connect; no device is asked yet."""
        if not self.demo:
            await self._link.open()

    async def close(self) -> None:
        """Disconnect."""
        self._link.close()
        self._troubles.clear()

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:
        """Ask for neighbours together. What a device refuses, and devices that do not answer, are left out."""
        channels = self.known(channel_ids)
        if self.demo:
            return self._pretence.read(channels)
        samples: list[Sample] = []
        self._troubles = {}
        places = [self._places[channel.channel_id] for channel in channels]
        for block in blocks(places, self.config.device_id, self.config.max_gap):
            samples += await self._whole(block)
        if channels and not samples:
            raise DeviceError(next(iter(self._troubles.values())))
        return samples

    async def write(self, channel_id: str, value: float) -> float | None:
        """Write, and read it back: None if it cannot be read."""
        channel = self.settable(channel_id, value)
        if self.demo:
            return self._pretence.write(channel, value)
        place = self._places[channel_id]
        try:
            raw = encode(place, value)
        except ValueError as error:
            raise DeviceError(f"channel {channel_id!r}: {error}") from error
        (block,) = blocks([place], self.config.device_id, 0)
        await self._link.ask(block, _writing(block, raw))
        try:
            return decode(place, await self._found(block))
        except DeviceError as error:
            _log.info("channel %s is set, and cannot be read back: %s", channel_id, error)
            return None

    async def health(self) -> Health:
        """Whether all channels could be read the last time."""
        if not self._troubles:
            return Health(ok=True)
        channel_id, trouble = next(iter(self._troubles.items()))
        return Health(
            ok=False, message=f"{len(self._troubles)} of {len(self.channels)} channels: {channel_id}: {trouble}"
        )

    async def _whole(self, block: Block) -> list[Sample]:
        """The values of a block; part by part if the device will not have it as a whole."""
        if block in self._apart:
            return [sample for part in block.parts() for sample in await self._whole(part)]
        try:
            found = await self._found(block)
        except Refused as error:
            if len(block.channels) > 1:
                samples = [sample for part in block.parts() for sample in await self._whole(part)]
                if samples:
                    if len(self._apart) >= MAX_APART:
                        self._apart.clear()
                    self._apart.add(block)
                return samples
            self._troubles[block.channels[0].channel_id] = str(error)
            return []
        except DeviceError as error:
            self._troubles |= dict.fromkeys((channel.channel_id for channel in block.channels), str(error))
            return []
        samples = []
        for channel in block.channels:
            at = channel.address - block.address
            value = decode(channel, found[at : at + channel.width])
            if math.isfinite(value):
                samples.append(Sample(channel.channel_id, value))
            else:
                self._troubles[channel.channel_id] = f"its registers hold {value}"
        return samples

    async def _found(self, block: Block) -> Sequence[int | bool]:
        answer = await self._link.ask(block, _reading(block))
        found: Sequence[int | bool] = answer.bits if block.table in BITS else answer.registers
        if len(found) < block.count:
            raise DeviceError(f"device {block.device_id} has answered with {len(found)} of {block.count} values")
        return found


def _reading(block: Block) -> Callable[[ModbusBaseClient], Awaitable[ModbusPDU]]:
    def ask(client: ModbusBaseClient) -> Awaitable[ModbusPDU]:
        methods = {
            Table.HOLDING: client.read_holding_registers,
            Table.INPUT: client.read_input_registers,
            Table.COIL: client.read_coils,
            Table.DISCRETE: client.read_discrete_inputs,
        }
        return methods[block.table](block.address, count=block.count, device_id=block.device_id)

    return ask


def _writing(block: Block, raw: list[int]) -> Callable[[ModbusBaseClient], Awaitable[ModbusPDU]]:
    def ask(client: ModbusBaseClient) -> Awaitable[ModbusPDU]:
        if block.table is Table.COIL:
            return client.write_coil(block.address, bool(raw[0]), device_id=block.device_id)
        if block.count == 1:
            return client.write_register(block.address, raw[0], device_id=block.device_id)
        return client.write_registers(block.address, raw, device_id=block.device_id)

    return ask
