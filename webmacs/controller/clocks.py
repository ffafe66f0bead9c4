"""Two clocks of this machine, the server's, and which of them to believe.

A machine without a battery boots in 1970, and a clock may be set at any moment. The monotonic clock does neither: as
soon as the server has said once what time it is, each reading of this run of the machine can be told its true time,
also those that were taken before.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from webmacs.controller.document import Document
from webmacs.controller.frames import Reading
from webmacs.errors import SpoolError

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
NEVER_SET_NS: Final = 1_704_067_200 * 10**9  # the start of 2024: a clock that shows less has never been set
KEPT_BOOTS: Final = 16
NS: Final = 1_000_000_000


class LocalClock(Protocol):
    """This machine's clocks, in nanoseconds; tests bring their own."""

    boot: bytes
    """16 bytes that name this run of the machine, which `mono_ns` belongs to."""

    def wall_ns(self) -> int:
        """Since 1970, UTC, as far as the machine knows. May step."""
        ...

    def mono_ns(self) -> int:
        """Since the machine was started, asleep or not. Never steps."""
        ...


class MachineClock:
    """The real ones."""

    def __init__(self) -> None:
        self.boot = _boot()
        self._id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def wall_ns(self) -> int:
        """See `LocalClock`."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """See `LocalClock`."""
        return time.clock_gettime_ns(self._id)


def _boot() -> bytes:
    """Where the system has no name for it, each process counts as a run of its own."""
    with contextlib.suppress(OSError, ValueError):
        return uuid.UUID(BOOT_ID.read_text("ascii").strip()).bytes
    return uuid.uuid4().bytes


class Clocks:
    """What time it is on the server, and what time it was there when a reading was taken.

    Of each run of the machine the difference between the server's clock and the monotonic one is kept in a document, so
    that readings of a run can be mended after the next one has begun.
    """

    def __init__(self, local: LocalClock, tolerance_s: float, document: Document | None = None) -> None:
        """`tolerance_s`: by how much the machine's own clock may be off before it is not believed."""
        self._local, self._tolerance_ns, self._document = local, int(tolerance_s * NS), document
        kept = document.read().get("offsets") if document else None
        self._offsets: dict[str, int] = _whole_numbers(kept) if isinstance(kept, dict) else {}
        self._uncertainty_ns: int | None = None
        self.mended = 0
        """Readings that were told another time than they had."""
        self.untimed = 0
        """Readings that nobody knows the time of."""

    @property
    def skew_s(self) -> float | None:
        """How far the machine's clock is ahead of the server's; None while that is not known."""
        offset = self._offsets.get(self._local.boot.hex())
        return None if offset is None else (self._local.wall_ns() - self._local.mono_ns() - offset) / NS

    def server_us(self) -> int:
        """The server's clock now; while it is not known, the machine's own."""
        offset = self._offsets.get(self._local.boot.hex())
        return (self._local.wall_ns() if offset is None else self._local.mono_ns() + offset) // 1000

    def heard(self, time_us: int, uncertainty_s: float) -> None:
        """The server has just said what time it is there, and can be wrong by so much.

        What is known better already is kept, as long as it may be true.
        """
        boot = self._local.boot.hex()
        offset = time_us * 1000 - self._local.mono_ns()
        uncertainty_ns = int(uncertainty_s * NS)
        known = self._offsets.get(boot)
        agree = known is not None and abs(known - offset) <= uncertainty_ns
        if agree and self._uncertainty_ns is not None and self._uncertainty_ns <= uncertainty_ns:
            return
        self._uncertainty_ns = uncertainty_ns
        self._offsets[boot] = offset
        while len(self._offsets) > KEPT_BOOTS:
            del self._offsets[next(iter(self._offsets))]
        if known is None or abs(known - offset) > self._tolerance_ns // 4:
            self._keep()

    def time_us(self, reading: Reading, boot: bytes) -> int:
        """When it was taken, by the clock that is to be believed. Counts those that were mended."""
        offset = self._true_offset(boot)
        if offset is None or abs(reading.wall_ns - reading.mono_ns - offset) <= self._tolerance_ns:
            self.untimed += reading.wall_ns < NEVER_SET_NS
            return reading.wall_ns // 1000
        self.mended += 1
        return (reading.mono_ns + offset) // 1000

    def _true_offset(self, boot: bytes) -> int | None:
        """What the wall clock was ahead of the monotonic one in that run of the machine, as far as anybody knows."""
        offset = self._offsets.get(boot.hex())
        if offset is None and boot == self._local.boot:
            wall_ns = self._local.wall_ns()  # the clock may have been set since, and is then to be believed
            return wall_ns - self._local.mono_ns() if wall_ns >= NEVER_SET_NS else None
        return offset

    def _keep(self) -> None:
        if self._document is not None:
            with contextlib.suppress(SpoolError):  # it is known for this run; only the next one would miss it
                self._document.write({"offsets": self._offsets})


def _whole_numbers(kept: Mapping[Any, Any]) -> dict[str, int]:
    return {str(boot): offset for boot, offset in kept.items() if isinstance(offset, int)}
