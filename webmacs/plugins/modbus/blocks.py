"""Which registers are read together: neighbours, with a gap that is not too wide. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from webmacs.plugins.modbus.config import ModbusChannel, Table

MOST: Final = {Table.HOLDING: 125, Table.INPUT: 125, Table.COIL: 2000, Table.DISCRETE: 2000}  # what one answer holds


@dataclass(frozen=True, slots=True)
class Block:
    """What one request reads, for one or more channels."""

    device_id: int
    table: Table
    address: int
    count: int
    channels: tuple[ModbusChannel, ...]

    def parts(self) -> list[Block]:
        """The same without its gaps; if it has none, a block for each of its channels."""
        without = blocks(self.channels, self.device_id, 0)
        if len(without) > 1:
            return without
        return [
            Block(self.device_id, self.table, channel.address, channel.width, (channel,)) for channel in self.channels
        ]


def blocks(channels: Iterable[ModbusChannel], device_id: int, max_gap: int) -> list[Block]:
    """As few as may be. `device_id` is that of channels which say none; `max_gap` what lies between two at most."""
    found: list[Block] = []
    for channel in sorted(channels, key=lambda one: (_device(one, device_id), one.table, one.address)):
        last = found[-1] if found else None
        end = channel.address + channel.width
        if (
            last is not None
            and (last.device_id, last.table) == (_device(channel, device_id), channel.table)
            and channel.address - (last.address + last.count) <= max_gap
            and end - last.address <= MOST[channel.table]
        ):
            count = max(last.count, end - last.address)
            found[-1] = Block(last.device_id, last.table, last.address, count, (*last.channels, channel))
        else:
            first = _device(channel, device_id)
            found.append(Block(first, channel.table, channel.address, channel.width, (channel,)))
    return found


def _device(channel: ModbusChannel, otherwise: int) -> int:
    return otherwise if channel.device_id is None else channel.device_id
