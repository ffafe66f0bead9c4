"""One file of a spool: frames that are only ever added, and beside it which of them are acknowledged.

    NUMBER.segment = "WMSPOOL1", id of the segment, id of the boot, checksum, frames
    NUMBER.acks    = (number of a frame u32, checksum u32) for each that is acknowledged, in any order

The acknowledgements go with the segment: once each frame has one, both files are deleted, and nothing else is kept.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from webmacs.controller.frames import HEAD_BYTES, Place, Reading, decode, encode, length_of, scan
from webmacs.controller.ranges import Ranges
from webmacs.errors import SpoolError

SUFFIX: Final = ".segment"
ACKS: Final = ".acks"

_MAGIC: Final = b"WMSPOOL1"
_HEADER: Final = struct.Struct("<8s16s16sI")
_ACK: Final = struct.Struct("<II")

FIRST: Final = _HEADER.size
"""Where the first frame begins."""


class Segment:
    """One of them. Frames are numbered from 0.

    `id` and the number of a frame name it for ever: no other segment has the same id, and a frame never changes.
    """

    def __init__(self, path: Path, segment_id: bytes, boot: bytes) -> None:
        self.path, self.number = path, int(path.stem)
        self.id, self.boot = segment_id.hex(), boot
        self.frames = 0
        self.pending = 0  # readings that are not acknowledged
        self.end = FIRST
        self._acknowledged = Ranges()
        self._file = -1

    @classmethod
    def create(cls, path: Path, boot: bytes) -> Self:
        """A new one, to write to. Raises `OSError`."""
        segment = cls(path, uuid.uuid4().bytes, boot)
        head = _MAGIC + bytes.fromhex(segment.id) + boot
        segment._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_RDWR, 0o600)
        try:
            _append_whole(segment._file, head + zlib.crc32(head).to_bytes(4, "little"))
        except OSError:
            segment.delete()
            raise
        return segment

    @classmethod
    def recover(cls, path: Path) -> Self | None:
        """What of it is whole, to read from. None when not even its beginning is.

        Raises:
            OSError: it cannot be read.

        """
        data = path.read_bytes()
        if len(data) < FIRST:
            return None
        magic, segment_id, boot, checksum = _HEADER.unpack_from(data)
        if magic != _MAGIC or zlib.crc32(data[: FIRST - 4]) != checksum:
            return None
        segment = cls(path, segment_id, boot)
        acknowledged = segment._recover_acknowledgements()
        for place in scan(data, FIRST):
            if segment.frames in acknowledged:
                segment._acknowledged.add(segment.frames)
            else:
                segment.pending += place.readings
            segment.frames += 1
            segment.end = place.end
        segment._file = os.open(path, os.O_RDONLY)
        return segment

    @property
    def done(self) -> bool:
        """Whether all that is in it is acknowledged."""
        return len(self._acknowledged) == self.frames

    def append(self, readings: Sequence[Reading]) -> Place:
        """Add a frame; it is in the file, though not yet on the disk, when this returns.

        Raises:
            OSError: it is not there: nothing has changed.

        """
        data = encode(readings)
        offset = self.end
        _append_whole(self._file, data)
        self.end += len(data)
        self.frames += 1
        self.pending += len(readings)
        return Place(offset, self.end, len(readings))

    def read(self, offset: int) -> tuple[list[Reading], int]:
        """The readings of the frame there, and where the next one begins.

        Raises:
            SpoolError: the disk does not give back what was written.

        """
        end = self.skip(offset)
        try:
            return decode(os.pread(self._file, end - offset, offset)), end
        except (OSError, ValueError) as error:
            raise SpoolError(f"{self.path} is damaged at byte {offset}: {error}") from error

    def skip(self, offset: int) -> int:
        """Where the frame behind that one begins. Raises `SpoolError`."""
        try:
            end = offset + length_of(os.pread(self._file, HEAD_BYTES, offset))
        except (OSError, struct.error) as error:
            raise SpoolError(f"{self.path} cannot be read at byte {offset}: {error}") from error
        if end > self.end:
            raise SpoolError(f"{self.path} is damaged at byte {offset}: a frame does not end")
        return end

    def acknowledged(self, frame: int) -> bool:
        """Whether that frame is."""
        return frame in self._acknowledged

    def acknowledge(self, frame: int, readings: int) -> bool:
        """Note that it is stored elsewhere; whether that is new. Raises `OSError`: it is not noted."""
        if frame in self._acknowledged:
            return False
        acks = os.open(self.path.with_suffix(ACKS), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            _append_whole(acks, _ACK.pack(frame, self._ack_checksum(frame)))
        finally:
            os.close(acks)
        self._acknowledged.add(frame)
        self.pending -= readings
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def delete(self) -> None:
        """Remove it, first what is in it: acknowledgements alone mean nothing, frames alone would be sent again."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(ACKS).unlink(missing_ok=True)

    def _recover_acknowledgements(self) -> set[int]:
        path = self.path.with_suffix(ACKS)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return set()
        whole = len(data) - len(data) % _ACK.size
        if whole < len(data):  # torn: what is added later must begin at a record
            os.truncate(path, whole)
        return {frame for frame, checksum in _ACK.iter_unpack(data[:whole]) if checksum == self._ack_checksum(frame)}

    def _ack_checksum(self, frame: int) -> int:
        return zlib.crc32(frame.to_bytes(4, "little"), zlib.crc32(bytes.fromhex(self.id)))


def _append_whole(file: int, data: bytes) -> None:
    """All of it or nothing: a disk that is nearly full takes a part, and only then says so. Raises `OSError`."""
    before = os.fstat(file).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        os.ftruncate(file, before)
        raise
