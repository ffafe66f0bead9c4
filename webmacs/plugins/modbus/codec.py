"""From registers to numbers and back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from webmacs.plugins.modbus.config import BITS, LIMITS, ModbusChannel, Type

_FORMATS: Final = {Type.INT16: "h", Type.UINT16: "H", Type.INT32: "i", Type.UINT32: "I", Type.FLOAT32: "f"}


def decode(channel: ModbusChannel, found: Sequence[int | bool]) -> float:
    """The value of what was found at the channel's address: as many registers, or bits, as it is wide."""
    if channel.table in BITS:
        return float(found[0])
    (raw,) = struct.unpack(f">{_FORMATS[channel.type]}", _ordered(channel, struct.pack(f">{len(found)}H", *found)))
    return float(raw * channel.scale + channel.offset)


def encode(channel: ModbusChannel, value: float) -> list[int]:
    """The registers, or the bit, that mean the value, or what is nearest to it. Raises `ValueError`: none do."""
    if channel.table in BITS:
        return [int(value >= 0.5)]  # noqa: PLR2004 - nearer to on than to off
    raw: float = (value - channel.offset) / channel.scale
    if channel.type in LIMITS:
        least, most = LIMITS[channel.type]
        raw = round(raw)
        if not least <= raw <= most:
            raise ValueError(f"{value} is {raw} in its registers, and a {channel.type} goes from {least} to {most}")
    try:
        packed = struct.pack(f">{_FORMATS[channel.type]}", raw)
    except OverflowError:
        raise ValueError(f"{value} is {raw} in its registers, and no {channel.type} is as large") from None
    return list(struct.unpack(f">{channel.width}H", _ordered(channel, packed)))


def _ordered(channel: ModbusChannel, data: bytes) -> bytes:
    """Words and the bytes in them turned round where the device has them so; the same in both directions."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if channel.word_order == "little":
        words.reverse()
    return b"".join(words if channel.byte_order == "big" else (word[::-1] for word in words))
