"""The connection to Modbus devices: one request at a time, made anew after whatever went wrong with it.

After a request that was not answered, or given up, the connection is not used again: on a serial line a late answer
could be taken for that of the next request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from webmacs.errors import DeviceError
from webmacs.plugins.modbus.blocks import Block
from webmacs.plugins.modbus.config import ModbusConfig

if TYPE_CHECKING:
    from pymodbus.client.base import ModbusBaseClient
    from pymodbus.pdu import ModbusPDU

_LINE: Final = -1  # no device's: the connection itself
_GATEWAY: Final = (10, 11)  # a gateway says that it cannot reach the device, or that this one is silent
_MEANINGS: Final = {
    1: "it does not know this kind of request",
    2: "it has no such address",
    3: "it does not take this value",
    4: "it has failed",
    5: "it needs longer for it",
    6: "it is busy",
    10: "the gateway cannot reach it",
    11: "it does not answer the gateway",
}


class Refused(DeviceError):
    """A device has answered that it will not; the connection is sound."""


class Link:
    """A client of pymodbus, with what it lacks."""

    def __init__(self, config: ModbusConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config, self._monotonic = config, monotonic
        self._client: ModbusBaseClient | None = None
        self._turn = asyncio.Lock()
        self._resting: dict[int, tuple[float, str]] = {}  # until when, and why; by device, of which there are 256

    async def open(self) -> None:
        """Connect, at once. Raises `DeviceError`."""
        self._resting.clear()
        async with self._turn:
            await self._connected()

    def close(self) -> None:
        """Disconnect. Harmless when repeated."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def ask(self, block: Block, what: Callable[[ModbusBaseClient], Awaitable[ModbusPDU]]) -> ModbusPDU:
        """Send a request for the block, made by `what`, and wait for its answer.

        Raises:
            Refused: the device has answered with an exception.
            DeviceError: it has not answered, there is no connection, or one of this was so until shortly.

        """
        from pymodbus import ModbusException

        device_id, name = block.device_id, f"device {block.device_id} at {self._config.where}"
        asked = f"asked for {block.table} {block.address}"
        async with self._turn:
            self._check(_LINE)
            self._check(device_id)
            client = await self._connected()
            sound = False
            try:
                answer = await what(client)
                sound = True
            except ModbusException:
                raise self._rest(device_id, f"{name} does not answer, {asked}") from None
            finally:
                if not sound:
                    self.close()
        if answer.isError():
            reason = f"{name}, {asked}: {_meaning(answer.exception_code)}"
            raise self._rest(device_id, reason) if answer.exception_code in _GATEWAY else Refused(reason)
        return answer

    async def _connected(self) -> ModbusBaseClient:
        if self._client is None or not self._client.connected:
            self.close()
            self._client = client = self._made()
            connected = False
            try:
                connected = await client.connect()
            finally:
                if not connected:
                    self.close()
            if not connected:
                raise self._rest(_LINE, f"no connection to {self._config.where}; is it there, and switched on?")
        return self._client

    def _made(self) -> ModbusBaseClient:
        try:
            from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
        except ImportError as error:
            raise DeviceError(f"the plugin 'modbus' needs pymodbus: pip install 'webmacs[modbus]' ({error})") from error
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # our errors say what it would
        config, line = self._config, self._config.serial
        if line is None:
            return AsyncModbusTcpClient(
                config.host or "", port=config.port, timeout=config.timeout_s, retries=0, reconnect_delay=0
            )
        return AsyncModbusSerialClient(
            line.port,
            baudrate=line.baudrate,
            bytesize=line.bytesize,
            parity=line.parity,
            stopbits=line.stopbits,
            timeout=config.timeout_s,
            retries=0,
            reconnect_delay=0,
        )

    def _rest(self, which: int, reason: str) -> DeviceError:
        self._resting[which] = (self._monotonic() + self._config.retry_s, reason)
        return DeviceError(reason)

    def _check(self, which: int) -> None:
        until, reason = self._resting.get(which, (0.0, ""))
        if self._monotonic() < until:
            raise DeviceError(reason)


def _meaning(code: int) -> str:
    return f"{_MEANINGS.get(code, 'it refuses')} (exception {code})"
