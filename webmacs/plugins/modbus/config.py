"""What an instance of `modbus` is told: how to reach its devices, and what each of its channels is there."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from webmacs.model import Direction
from webmacs.plugins.base import MAX_CHANNELS, ChannelDescription, DeviceConfig

Address = Annotated[int, Field(ge=0, le=0xFFFF)]
DeviceId = Annotated[int, Field(ge=0, le=255)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.01, le=60)]
Order = Literal["big", "little"]


class Table(StrEnum):
    """The four kinds of things that a Modbus device has."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"


class Type(StrEnum):
    """What the registers of a channel hold."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    FLOAT32 = "float32"


BITS: Final = (Table.COIL, Table.DISCRETE)
WRITABLE: Final = (Table.HOLDING, Table.COIL)
WIDTHS: Final = {Type.INT16: 1, Type.UINT16: 1, Type.INT32: 2, Type.UINT32: 2, Type.FLOAT32: 2}
LIMITS: Final = {
    Type.INT16: (-(2**15), 2**15 - 1),
    Type.UINT16: (0, 2**16 - 1),
    Type.INT32: (-(2**31), 2**31 - 1),
    Type.UINT32: (0, 2**32 - 1),
}


class ModbusChannel(DeviceConfig):
    """One channel: where it is, and what number stands there. `value = raw * scale + offset`.

    `address` counts from 0, as on the wire. The range is, where it is not given, what the registers can hold.
    """

    channel_id: str
    name: str | None = None
    unit: str = ""
    direction: Direction = Direction.INPUT
    min_value: Finite | None = None
    max_value: Finite | None = None
    safe_value: Finite | None = None
    interval_s: float | None = None
    device_id: DeviceId | None = None
    table: Table = Table.HOLDING
    address: Address
    type: Type = Type.UINT16
    word_order: Order = "big"
    byte_order: Order = "big"
    scale: Finite = 1.0
    offset: Finite = 0.0

    @property
    def width(self) -> int:
        """How many registers, or bits, it takes."""
        return 1 if self.table in BITS else WIDTHS[self.type]

    @property
    def description(self) -> ChannelDescription:
        """The channel as everybody else knows it."""
        least, most = self._range()
        return ChannelDescription(
            self.channel_id,
            self.channel_id if self.name is None else self.name,
            self.direction,
            self.unit or ("bool" if self.table in BITS else ""),
            least if self.min_value is None else self.min_value,
            most if self.max_value is None else self.max_value,
            self.safe_value,
            self.interval_s,
        )

    @model_validator(mode="after")
    def _can_be_one(self) -> ModbusChannel:
        if self.direction is not Direction.INPUT and self.table not in WRITABLE:
            raise ValueError(f"direction: nothing can be written to {self.table}; there are {' and '.join(WRITABLE)}")
        if self.address + self.width > 2**16:
            raise ValueError(f"address: {self.address} is the last one, and {self.type} takes {self.width} registers")
        if self.scale == 0.0:
            raise ValueError("scale: is 0, by which no value could be told from another")
        if self.table in BITS and {"type", "scale", "offset", "word_order", "byte_order"} & self.model_fields_set:
            raise ValueError(f"type, scale, offset and orders: a {self.table} is on or off and has none of them")
        _ = self.description  # which raises for what no channel can be
        return self

    def _range(self) -> tuple[float, float]:
        if self.table in BITS:
            return 0.0, 1.0
        if self.type not in LIMITS:
            if self.min_value is None or self.max_value is None:
                raise ValueError(f"min_value and max_value: give both, as a {self.type} has hardly an end")
            return self.min_value, self.max_value
        ends = [raw * self.scale + self.offset for raw in LIMITS[self.type]]
        if not all(map(math.isfinite, ends)):
            raise ValueError("scale and offset: what the registers can hold becomes infinite")
        return min(ends), max(ends)


class SerialLine(DeviceConfig):
    """A serial line with Modbus RTU on it."""

    port: str
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    bytesize: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1


class ModbusConfig(DeviceConfig):
    """`host` for TCP, or `serial`. `device_id` is the device's, where a channel does not say another one.

    `timeout_s`: how long an answer may take, and a connection. `retry_s`: how long a device that did not answer, or
    cannot be reached, is left alone. `max_gap`: how many registers that nobody wants may be read between two others,
    to have both with one request.
    """

    host: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    serial: SerialLine | None = None
    device_id: DeviceId = 1
    timeout_s: Seconds = 1.0
    retry_s: Seconds = 2.0
    max_gap: Annotated[int, Field(ge=0, le=120)] = 8
    channels: Annotated[tuple[ModbusChannel, ...], Field(min_length=1, max_length=MAX_CHANNELS)]

    @property
    def where(self) -> str:
        """The other end, for people."""
        return self.serial.port if self.serial else f"{self.host}:{self.port}"

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> ModbusConfig:
        if (self.host is None) == (self.serial is None):
            raise ValueError('give "host" for Modbus TCP, or "serial" with the "port" of a line, and not both')
        return self
