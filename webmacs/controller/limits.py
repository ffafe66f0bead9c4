"""How much a spool keeps, and how much of it goes into one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from webmacs.controller.frames import MAX_READINGS, Reading
from webmacs.controller.wire import item_bytes

SEGMENTS: Final = 16  # into how many files a full spool is divided, so that little is lost at once
MIN_SEGMENT_BYTES: Final = 16 * 1024
MAX_SEGMENT_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`sync_s` is how long readings may be in the file only before they are on the disk; 0: not at all."""

    max_bytes: int
    batch_readings: int
    batch_bytes: int
    sync_s: float = 1.0

    @property
    def segment_bytes(self) -> int:
        """When the next file is begun."""
        return min(max(self.max_bytes // SEGMENTS, MIN_SEGMENT_BYTES), MAX_SEGMENT_BYTES)

    def batches(self, readings: Sequence[Reading]) -> Iterator[Sequence[Reading]]:
        """Readings in parts that each fit into a batch, in their order."""
        most = min(self.batch_readings, MAX_READINGS)
        begin = size = 0
        for number, reading in enumerate(readings):
            more = item_bytes(reading.event)
            if number > begin and (number - begin == most or size + more > self.batch_bytes):
                yield readings[begin:number]
                begin, size = number, 0
            size += more
        if begin < len(readings):
            yield readings[begin:]
