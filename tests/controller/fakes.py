"""Clocks that move when told to, and readings that can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from webmacs.controller.batch import Batch
from webmacs.controller.frames import Reading

NS = 1_000_000_000
NOON_NS = 1_790_000_000 * NS  # some moment in 2026


class FakeClock:
    """Both clocks of a machine. `pass_s` moves both, `set_wall` one of them."""

    def __init__(self, wall_ns: int = NOON_NS, mono_ns: int = 1000 * NS, boot: bytes = b"boot".ljust(16)) -> None:
        self._wall_ns, self._mono_ns, self.boot = wall_ns, mono_ns, boot

    def wall_ns(self) -> int:
        return self._wall_ns

    def mono_ns(self) -> int:
        return self._mono_ns

    def monotonic(self) -> float:
        return self._mono_ns / NS

    def pass_s(self, seconds: float) -> None:
        self._wall_ns += round(seconds * NS)
        self._mono_ns += round(seconds * NS)

    def set_wall(self, wall_ns: int) -> None:
        self._wall_ns = wall_ns

    def restart(self, wall_ns: int, boot: bytes) -> None:
        """The machine was off."""
        self._wall_ns, self._mono_ns, self.boot = wall_ns, 5 * NS, boot


def reading(value: float, event: str = "event") -> Reading:
    return Reading(event, value, NOON_NS + int(value), int(value))


def readings(first: int, count: int, event: str = "event") -> list[Reading]:
    return [reading(float(value), event) for value in range(first, first + count)]


def values(batches: Sequence[Batch]) -> list[float]:
    return [reading.value for batch in batches for reading in batch.readings]
