"""A batch as messages: one, unless the server takes less at once than the batch has. No connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webmacs.controller.batch import Batch, Outcome, Refused, Stored
from webmacs.controller.clocks import Clocks
from webmacs.controller.wire import batch_text, item


@dataclass(frozen=True, slots=True)
class Room:
    """What a server takes in one message."""

    items: int = 500
    bytes: int = 128 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A message and its identity, which goes with its readings as that of the batch does."""

    batch_id: str
    text: str
    readings: int


def parts_of(batch: Batch, clocks: Clocks, room: Room) -> Iterator[Part]:
    """The messages of a batch, each reading at the time that it is believed to have been taken at."""
    items = [item(reading, clocks.time_us(reading, batch.boot)) for reading in batch.readings]
    whole = batch_text(items, batch.batch_id)
    if len(items) <= room.items and len(whole.encode("utf-8", "surrogatepass")) <= room.bytes:
        yield Part(batch.batch_id, whole, len(items))
        return
    size = min(room.items, max(len(items) * room.bytes // (2 * len(whole)), 1))
    for begin in range(0, len(items), size):
        some = items[begin : begin + size]
        part_id = f"{batch.batch_id}.{begin}+{len(some)}"
        yield Part(part_id, batch_text(some, part_id), len(some))


class Fate:
    """What becomes of a batch, from what becomes of its parts."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._left: dict[str, int] = {}
        self._stored = Stored(0)
        self._refused: Refused | None = None

    def expect(self, part: Part) -> None:
        """That one is on its way."""
        self._left[part.batch_id] = part.readings

    def readings(self, part_id: str) -> int:
        """How many are in that part, which is not answered yet."""
        return self._left[part_id]

    def settle(self, part_id: str, outcome: Outcome) -> Outcome | None:
        """One is answered; the outcome for the whole once all are. One part that is refused is said of the whole."""
        del self._left[part_id]
        if isinstance(outcome, Refused):
            if self._refused is None or outcome.retry:  # what was stored of it will not be stored again
                self._refused = outcome
        else:
            so_far = self._stored
            self._stored = Stored(
                so_far.accepted + outcome.accepted,
                so_far.invalid + outcome.invalid,
                so_far.unlinked + outcome.unlinked,
                so_far.skewed + outcome.skewed,
                duplicate=so_far.duplicate or outcome.duplicate,
                told=outcome.told,
            )
        if self._left:
            return None
        return self._refused or self._stored
