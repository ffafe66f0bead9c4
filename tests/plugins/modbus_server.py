"""A Modbus server of pymodbus as a process of its own, on TCP or a serial line: two devices whose registers tests know.

Each request is a line in the file `--log`: device, function code, address, count. Reading holding register 900 takes
longer than anybody waits; device 3 is there and never answers.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SLOW = 900
SILENCE_S = 2.0
NAN = float("nan")


async def note(
    device_id: int,
    log: Path,
    code: int,
    _start: int,
    address: int,
    count: int,
    _registers: list[int],
    _values: list[int] | list[bool] | None,
) -> ExcCodes | None:
    with log.open("a") as file:
        file.write(f"{device_id} {code} {address} {count}\n")
    if device_id == 3 or address == SLOW:
        await asyncio.sleep(SILENCE_S)
    return None


def device(device_id: int, log: Path) -> SimDevice:
    coils = [SimData(0, values=[False, True] * 8, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    holding = [
        SimData(0, values=-50, datatype=DataType.INT16),
        SimData(1, values=60_000, datatype=DataType.UINT16),
        SimData(2, values=-100_000, datatype=DataType.INT32),
        SimData(4, values=21.5, datatype=DataType.FLOAT32),
        SimData(6, values=[0x0000, 0x41AC], datatype=DataType.REGISTERS),  # 21.5, the low word first
        SimData(8, values=[0xAC41, 0x0000], datatype=DataType.REGISTERS),  # 21.5, the bytes of each word turned round
        SimData(10, values=[0] * 6, datatype=DataType.REGISTERS),
        SimData(20, values=20 + device_id, datatype=DataType.UINT16),  # there is no register 21
        SimData(22, values=22 + device_id, datatype=DataType.UINT16),
        SimData(40, values=7, datatype=DataType.UINT16, readonly=True),
        SimData(SLOW, values=1, datatype=DataType.UINT16),
    ]
    inputs = [
        SimData(0, values=[1.0, 2.0, NAN], datatype=DataType.FLOAT32),
        SimData(10, values=4_000_000_000, datatype=DataType.UINT32),
    ]
    action = functools.partial(note, device_id, log)
    return SimDevice(device_id, (coils, discrete, holding, inputs), action=action)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--line", default="")
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    devices = [device(number, arguments.log) for number in (1, 2, 3)]
    server = (
        ModbusSerialServer(devices, port=arguments.line, baudrate=9600)
        if arguments.line
        else ModbusTcpServer(devices, address=("127.0.0.1", arguments.port))
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
