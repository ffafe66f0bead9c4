"""Store and forward: readings go to a bounded directory on the disk before they go anywhere else.

    append ─> segment, segment, segment ─> take ─> (sent, answered) ─> acknowledge
              deleted when all of it is acknowledged, or when it is the oldest and there is no more room

What `append` has returned for survives the process, however that ends; what `sync` has returned for, also the machine.
A frame is a batch: `take` gives the same readings under the same `batch_id` again and again, also after a crash at any
moment, until they are acknowledged. So what is sent more often than once can be told apart from what is new.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from webmacs.controller.batch import Batch
from webmacs.controller.document import Document
from webmacs.controller.frames import Place, Reading
from webmacs.controller.limits import SpoolLimits
from webmacs.controller.segment import ACKS, FIRST, SUFFIX, Segment
from webmacs.errors import SpoolError
from webmacs.lock import FileLock

_log = logging.getLogger(__name__)

FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Position(NamedTuple):
    """A frame: the number of its segment, its own, and where it is there."""

    segment: int
    frame: int
    offset: int


@dataclass(frozen=True, slots=True)
class Spooled(Batch):
    """A batch and where it lies."""

    position: Position


class Spool:
    """One directory, which one process has at a time. All methods but `sync` are quick, and for one thread."""

    def __init__(self, directory: Path, limits: SpoolLimits, boot: bytes) -> None:
        self._directory, self._limits, self._boot = directory, limits, boot
        self._lock = FileLock(directory / "lock")
        self._tally = Document(directory / "tally.json")
        self._segments: dict[int, Segment] = {}  # in the order of their numbers, which is that of time
        self._writing: Segment | None = None
        self._next_number = 1
        self._front = Position(0, 0, FIRST)  # all before it is acknowledged or taken
        self._taken: set[tuple[int, int]] = set()
        self._unsynced: set[Path] = set()
        self.dropped = 0
        """Readings that were never acknowledged and had to make room, since the directory was made."""

    # -- its life ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the directory and find out what it holds.

        Raises:
            SpoolError: another process has it, or it cannot be used.

        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            ours = self._lock.acquire()
        except OSError as error:
            raise SpoolError(f"cannot use the spool {self._directory}: {error.strerror}") from error
        if not ours:
            raise SpoolError(
                f"the spool {self._directory} is in use: another controller runs on it, or give this one its own"
                " controller.spool_directory"
            )
        try:
            self._recover()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Let go of the directory; what waits in it stays."""
        for segment in self._segments.values():
            if segment.done:  # which was written to until now
                segment.delete()
            segment.close()
        self._lock.release()

    def _recover(self) -> None:
        tally = self._tally.read()
        self.dropped = int(tally.get("dropped", 0))
        try:
            for path in sorted(self._directory.glob(f"*{SUFFIX}")):
                self._next_number = int(path.stem) + 1
                segment = Segment.recover(path)
                if segment is None or segment.done or segment.id == tally.get("dropping"):
                    if segment is not None:
                        segment.close()
                    path.unlink()
                    path.with_suffix(ACKS).unlink(missing_ok=True)
                    continue
                torn = path.stat().st_size - segment.end
                if torn:
                    _log.info("%s ends in %d bytes that a crash has torn; they are left out", path, torn)
                self._segments[segment.number] = segment
            for path in self._directory.glob(f"*{ACKS}"):
                if not path.with_suffix(SUFFIX).exists():
                    path.unlink()
        except (OSError, ValueError) as error:
            raise SpoolError(f"cannot read the spool {self._directory}: {error}") from error

    # -- what is in it -------------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Readings that are not acknowledged."""
        return sum(segment.pending for segment in self._segments.values())

    @property
    def bytes(self) -> int:
        """What the frames take on the disk; the acknowledgements take at most a quarter of that more."""
        return sum(segment.end for segment in self._segments.values())

    # -- in ------------------------------------------------------------------------------------------------------------

    def append(self, readings: Sequence[Reading]) -> list[Spooled]:
        """Keep readings, in batches as large as a message may be. When there is no more room, the oldest ones go.

        Returns the batches that are kept: not all of the readings when the disk has stopped taking them in between.

        Raises:
            SpoolError: it takes nothing.

        """
        batches: list[Spooled] = []
        for part in self._limits.batches(readings):
            try:
                batches.append(self._append(part))
            except SpoolError:
                if not batches:
                    raise
                break
        if batches and self._limits.sync_s == 0:
            self._flush(self._forget_unsynced())
        return batches

    def _append(self, readings: Sequence[Reading]) -> Spooled:
        try:
            segment, place = self._written(readings)
        except OSError as error:
            raise SpoolError(
                f"cannot write to the spool {self._directory}: {error.strerror}; make room on its disk, or mend it"
            ) from error
        self._unsynced.add(segment.path)
        try:
            while self.bytes > self._limits.max_bytes and self._make_room():
                pass
        except OSError as error:  # it will go when the directory is opened the next time
            _log.warning("cannot remove from the spool %s what is too much: %s", self._directory, error)
        return self._spooled(segment, segment.frames - 1, place.offset, readings)

    def _written(self, readings: Sequence[Reading]) -> tuple[Segment, Place]:
        """In the file, if need be in place of the oldest segment, where others have filled the disk."""
        while True:
            try:
                segment = self._current()
                return segment, segment.append(readings)
            except OSError as error:
                if error.errno not in FULL or not self._make_room():
                    raise

    def _current(self) -> Segment:
        segment = self._writing
        if segment is None or segment.end >= self._limits.segment_bytes or segment.number not in self._segments:
            path = self._directory / f"{self._next_number:010}{SUFFIX}"
            segment = self._writing = Segment.create(path, self._boot)
            self._next_number += 1
            self._segments[segment.number] = segment
        return segment

    def _make_room(self) -> bool:
        """Give up the oldest segment; whether there was one beside that which is written to."""
        oldest = next(iter(self._segments.values()), None)
        if oldest is None or oldest is self._writing:
            return False
        self._drop(oldest)
        return True

    def _drop(self, segment: Segment) -> None:
        if segment.pending:
            if not self.dropped:
                _log.warning("the spool %s is full: the oldest readings make room for new ones", self._directory)
            self.dropped += segment.pending
            with contextlib.suppress(SpoolError):  # the disk is full; it will be written with the next
                self._tally.write({"dropped": self.dropped, "dropping": segment.id})
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        del self._segments[segment.number]
        segment.delete()

    # -- out -----------------------------------------------------------------------------------------------------------

    def take(self) -> Spooled | None:
        """The oldest batch that is neither acknowledged nor taken; None when there is none."""
        while (segment := self._segment_at_front()) is not None:
            number, frame, offset = self._front
            try:
                if segment.acknowledged(frame) or (number, frame) in self._taken:
                    self._front = Position(number, frame + 1, segment.skip(offset))
                    continue
                readings, end = segment.read(offset)
            except SpoolError as error:
                _log.error("%s; what is left in it is given up", error)
                self._drop(segment)
                continue
            self._front = Position(number, frame + 1, end)
            self._taken.add((number, frame))
            return self._spooled(segment, frame, offset, readings)
        return None

    def hold(self, batch: Spooled) -> None:
        """Take a batch that was just appended."""
        self._taken.add(batch.position[:2])

    def release(self, batch: Spooled) -> None:
        """Give back a batch that was taken: it will be taken again."""
        self._taken.discard(batch.position[:2])
        self._front = min(self._front, batch.position)

    def acknowledge(self, batch: Spooled) -> None:
        """It is stored where it was to go, and need not be kept.

        Raises:
            SpoolError: this cannot be noted: after a crash it would be sent again.

        """
        number, frame, _ = batch.position
        self._taken.discard((number, frame))
        segment = self._segments.get(number)
        if segment is None or segment.id != batch.batch_id.partition("-")[0]:
            return  # it had to make room meanwhile
        try:
            segment.acknowledge(frame, len(batch.readings))
            if segment.done and segment is not self._writing:
                self._remove(segment)
        except OSError as error:
            raise SpoolError(f"cannot note in {self._directory} what is stored: {error.strerror}") from error

    def _segment_at_front(self) -> Segment | None:
        """The segment in which the next frame is, the front moved there; None when there is no next one."""
        segment = self._segments.get(self._front.segment)
        if segment is not None and self._front.frame < segment.frames:
            return segment
        for number, segment in self._segments.items():
            if number > self._front.segment and segment.frames:
                self._front = Position(number, 0, FIRST)
                return segment
        return None

    def _spooled(self, segment: Segment, frame: int, offset: int, readings: Sequence[Reading]) -> Spooled:
        place = Position(segment.number, frame, offset)
        return Spooled(f"{segment.id}-{frame}", readings, segment.boot, place)

    # -- onto the disk -------------------------------------------------------------------------------------------------

    async def sync(self) -> None:
        """Bring what was appended so far to the disk itself, in a thread."""
        paths = self._forget_unsynced()
        if paths:
            await asyncio.to_thread(self._flush, paths)

    def _forget_unsynced(self) -> set[Path]:
        paths, self._unsynced = self._unsynced, set()
        return paths

    def _flush(self, paths: Iterable[Path]) -> None:
        for path in (*paths, self._directory):
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # all of it was acknowledged
            try:
                os.fsync(file)
            finally:
                os.close(file)
