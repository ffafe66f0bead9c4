"""What psutil says of this machine, one function for each quantity. What it does not have raises one of `MISSING`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import psutil

T = TypeVar("T")

Source = Callable[[], float]
"""One quantity, now. Blocks for some milliseconds at most."""

MISSING: Final = (AttributeError, LookupError, TypeError, OSError, RuntimeError, psutil.Error)
GIGA: Final = 1e9
KILO: Final = 1e3

# The sensor that shows the processor's temperature, by the name of its driver; the first that is there.
_CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")


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


def _cpu_percent() -> Source:
    psutil.cpu_percent()  # the first answer means nothing: it is measured from call to call, in each thread
    return psutil.cpu_percent


def _cpu_temperature() -> Source:
    sensors = psutil.sensors_temperatures()
    chip = next((name for name in _CPU_SENSORS if sensors.get(name)), "")
    return lambda: float(psutil.sensors_temperatures()[chip][0].current)


def _disk() -> Any:
    return psutil.disk_usage("/")


def _drives() -> Any:
    return _present(psutil.disk_io_counters())


def _present(reading: T | None) -> T:
    if reading is None:
        raise LookupError("psutil finds none")
    return reading


# What makes the source of a channel, by its id.
SOURCES: Final[Mapping[str, Callable[[], Source]]] = {
    "cpu_percent": _cpu_percent,
    "memory_percent": lambda: lambda: psutil.virtual_memory().percent,
    "memory_used_gb": lambda: lambda: psutil.virtual_memory().used / GIGA,
    "disk_percent": lambda: lambda: _disk().percent,
    "disk_used_gb": lambda: lambda: _disk().used / GIGA,
    "load_avg_1m": lambda: lambda: psutil.getloadavg()[0],
    "cpu_temp": _cpu_temperature,
    "cpu_mhz": lambda: lambda: psutil.cpu_freq().current,
    "network_received": lambda: Speed(lambda: psutil.net_io_counters().bytes_recv),
    "network_sent": lambda: Speed(lambda: psutil.net_io_counters().bytes_sent),
    "disk_read": lambda: Speed(lambda: _drives().read_bytes),
    "disk_written": lambda: Speed(lambda: _drives().write_bytes),
    "battery_percent": lambda: lambda: _present(psutil.sensors_battery()).percent,
}
