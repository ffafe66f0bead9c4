"""A Modbus device that exists in this process alone, for trying the plugin `modbus`: docs/modbus.md.

    python examples/modbus_server.py            Modbus TCP on 127.0.0.1:5020, until Ctrl-C

A tank: its temperature is input register 0 (tenths of a degree), its level holding registers 10 and 11 (a float), and
coil 0 is its heater. While the heater is on, it gets warmer.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

READ_INPUT, READ_HOLDING, WRITE_COIL, WRITE_COILS = 4, 3, 5, 15
ROOM, WARMEST, WARMING_S = 21.0, 80.0, 60.0


class Tank:
    """What the registers show, as of the moment in which they are read."""

    def __init__(self) -> None:
        self.heating = False
        self._degrees, self._at = ROOM, time.monotonic()

    def degrees(self) -> float:
        """On its way to the warmest, or back to the room's."""
        now = time.monotonic()
        goal = WARMEST if self.heating else ROOM
        self._degrees = goal + (self._degrees - goal) * math.exp(-(now - self._at) / WARMING_S)
        self._at = now
        return self._degrees

    async def answer(
        self,
        code: int,
        _start: int,
        _address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called before each request is answered."""
        degrees = self.degrees()
        if code == READ_INPUT:
            registers[0] = round(degrees * 10)
        elif code in {WRITE_COIL, WRITE_COILS} and values:
            self.heating = bool(values[0])
            print(f"heater {'on' if self.heating else 'off'} at {degrees:.1f} °C", flush=True)
        return None


def device(tank: Tank) -> SimDevice:
    """The device number 1."""
    coils = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    holding = [SimData(10, values=1.75, datatype=DataType.FLOAT32)]
    inputs = [SimData(0, values=210, datatype=DataType.UINT16)]
    return SimDevice(1, (coils, discrete, holding, inputs), action=tank.answer)


async def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="A Modbus device for trying things out.")
    parser.add_argument("--port", type=int, default=5020)
    port = parser.parse_args().port
    server = ModbusTcpServer([device(Tank())], address=("127.0.0.1", port))
    print(f"a tank with a heater listens on 127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
