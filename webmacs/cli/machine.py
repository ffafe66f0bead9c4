"""This machine as a source of readings: what can be measured here, and a loop that sends it.

It is to the server what any controller is, at the other end of a WebSocket, and knows nothing of it but the protocol.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import aiohttp
import psutil

_log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY_S: Final = 0.2
MAX_DELAY_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 15.0
HEARTBEAT_S: Final = 30.0
GIGA: Final = 1e9
KILO: Final = 1e3

# The sensor that shows the processor's temperature, by the name of its driver; the first that is there.
_CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity of this machine. `read` blocks for some milliseconds at most."""

    id: str
    name: str
    unit: str
    min_value: float
    max_value: float
    read: Callable[[], float]


class Speed:
    """How fast a count of bytes rises, in kB/s, from one call to the next."""

    def __init__(self, count: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count, self._monotonic = count, monotonic
        self._at, self._last = monotonic(), count()

    def __call__(self) -> float:
        """Since the call before. A count that began anew counts from 0."""
        now, count = self._monotonic(), self._count()
        passed_s, risen = now - self._at, count - self._last
        self._at, self._last = now, count
        return max(risen, 0.0) / KILO / passed_s if passed_s > 0 else 0.0


def channels() -> list[Channel]:
    """What this machine really has, each asked once to see that it answers."""
    found = []
    for channel_id, name, unit, most, make in _CATALOGUE:
        try:
            channel = Channel(channel_id, name, unit, 0.0, most, make())
            if math.isfinite(channel.read()):
                found.append(channel)
        except (AttributeError, LookupError, TypeError, OSError, RuntimeError, psutil.Error) as error:
            _log.debug("this machine has no %s: %s", name, error)
    return found


async def stream(
    address: str, token: str, sources: Collection[Channel], events: Mapping[str, str], interval_s: float
) -> None:
    """Measure and send, a batch at a time, until cancelled or refused; `events` has the event of each channel.

    A batch is sent, with its identity, until it is acknowledged, over a new connection when the old one is lost: so
    it is stored once, and a server that is away finds the sender waiting.
    """
    sender = _Sender([(channel, events[channel.id]) for channel in sources if channel.id in events], interval_s)
    delay_s = FIRST_DELAY_S
    # The server is this process; its certificate need not be made out to the address we use.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        while True:
            try:
                async with session.ws_connect(
                    f"{address}/ws/controller/telemetry",
                    headers={"Authorization": f"Bearer {token}"},
                    heartbeat=HEARTBEAT_S,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                ) as socket:
                    while await sender.exchange(socket):
                        delay_s = FIRST_DELAY_S
                if socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION:
                    _log.warning("this machine's readings are not wanted any more; start again to go on")
                    return
            except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
                _log.debug("no connection to %s: %s", address, error)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay_s = min(2 * delay_s, MAX_DELAY_S)


class _Sender:
    """One batch at a time, on a steady beat."""

    def __init__(self, sources: Collection[tuple[Channel, str]], interval_s: float) -> None:
        self._sources, self._interval_s = sources, interval_s
        self._batch: dict[str, Any] | None = None
        self._due = 0.0
        self._told = False  # of readings that were refused, once until some are taken

    async def exchange(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Send a batch and take the answer; False: the connection has ended, or the batch has to be sent again."""
        if self._batch is None:
            now = asyncio.get_running_loop().time()
            self._due = max(self._due + self._interval_s, now)
            await asyncio.sleep(self._due - now)
            self._batch = await asyncio.to_thread(self._measure)
        await socket.send_json(self._batch)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return False
                answer = json.loads(message.data)
                if answer.get("batch_id") == self._batch["batch_id"]:
                    break
        if answer.get("type") == "error":
            if answer.get("retry"):
                return False
            if not self._told:
                _log.warning("readings of this machine were refused: %s", answer.get("message"))
            self._told = True
        else:
            self._told = False
        self._batch = None
        return True

    def _measure(self) -> dict[str, Any]:
        datapoints = []
        for channel, event in self._sources:
            try:
                value = channel.read()
            except (LookupError, TypeError, OSError, RuntimeError, psutil.Error):
                continue  # a sensor that is not there just now
            timestamp = datetime.now(UTC).isoformat()
            datapoints.append({"value": round(value, 3), "event_public_id": event, "timestamp": timestamp})
        return {"datapoints": datapoints, "batch_id": str(uuid.uuid4())}


def _cpu_percent() -> Callable[[], float]:
    psutil.cpu_percent()  # the first answer means nothing: it is measured from call to call
    return psutil.cpu_percent


def _cpu_temperature() -> Callable[[], float]:
    sensors = psutil.sensors_temperatures()
    chip = next((name for name in _CPU_SENSORS if sensors.get(name)), "")
    return lambda: float(psutil.sensors_temperatures()[chip][0].current)


def _disk() -> Any:
    return psutil.disk_usage("/")


def _present(reading: T | None) -> T:
    if reading is None:
        raise LookupError("psutil finds none")
    return reading


def _drives() -> Any:
    return _present(psutil.disk_io_counters())


# The channels of the plugin `system` as other installations know them, and below them some that are ours.
_CATALOGUE: Final[tuple[tuple[str, str, str, float, Callable[[], Callable[[], float]]], ...]] = (
    ("cpu_percent", "CPU Usage", "%", 100.0, _cpu_percent),
    ("memory_percent", "Memory Usage", "%", 100.0, lambda: lambda: psutil.virtual_memory().percent),
    ("memory_used_gb", "Memory Used", "GB", 128.0, lambda: lambda: psutil.virtual_memory().used / GIGA),
    ("disk_percent", "Disk Usage", "%", 100.0, lambda: lambda: _disk().percent),
    ("disk_used_gb", "Disk Used", "GB", 10_000.0, lambda: lambda: _disk().used / GIGA),
    ("load_avg_1m", "Load Average (1 min)", "load", 256.0, lambda: lambda: psutil.getloadavg()[0]),
    ("cpu_temp", "CPU Temperature", "°C", 110.0, _cpu_temperature),
    ("cpu_mhz", "CPU Frequency", "MHz", 10_000.0, lambda: lambda: psutil.cpu_freq().current),
    ("network_received", "Network Received", "kB/s", 1e6, lambda: Speed(lambda: psutil.net_io_counters().bytes_recv)),
    ("network_sent", "Network Sent", "kB/s", 1e6, lambda: Speed(lambda: psutil.net_io_counters().bytes_sent)),
    ("disk_read", "Disk Read", "kB/s", 1e7, lambda: Speed(lambda: _drives().read_bytes)),
    ("disk_written", "Disk Written", "kB/s", 1e7, lambda: Speed(lambda: _drives().write_bytes)),
    ("battery_percent", "Battery", "%", 100.0, lambda: lambda: _present(psutil.sensors_battery()).percent),
)
