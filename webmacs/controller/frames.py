"""Readings as they lie in a spool: in frames, each of which is whole or is not there. No files, no clock.

frame   = length u32, checksum u32, payload       the CRC-32 of length and payload; little-endian throughout
payload = readings u16, names u16, names, readings
name    = length u16, UTF-8
reading = number of its name u16, value f64, wall time i64, monotonic time i64
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

MAX_READINGS: Final = 0xFFFF
MAX_PAYLOAD: Final = 16 * 2**20  # more is no length but damage

_HEAD: Final = struct.Struct("<II")
_COUNTS: Final = struct.Struct("<HH")
_LENGTH: Final = struct.Struct("<H")
_READING: Final = struct.Struct("<Hdqq")

HEAD_BYTES: Final = _HEAD.size


class Reading(NamedTuple):
    """One measured value of an event, timed by both clocks of the machine, in nanoseconds.

    `mono_ns` counts from the start of the machine and is never set; `wall_ns` counts from 1970, as far as it is known.
    """

    event: str
    value: float
    wall_ns: int
    mono_ns: int


class Place(NamedTuple):
    """Where a frame is in its file, and what it holds."""

    offset: int
    end: int
    readings: int


def encode(readings: Sequence[Reading]) -> bytes:
    """A frame of up to `MAX_READINGS` readings."""
    numbers: dict[str, int] = {}
    pack = _READING.pack
    rows = [
        pack(numbers.setdefault(event, len(numbers)), value, wall_ns, mono_ns)
        for event, value, wall_ns, mono_ns in readings
    ]
    names = [name.encode("utf-8", "surrogatepass") for name in numbers]
    payload = b"".join(
        (
            _COUNTS.pack(len(rows), len(names)),
            *(part for name in names for part in (_LENGTH.pack(len(name)), name)),
            *rows,
        )
    )
    return _HEAD.pack(len(payload), _checksum(payload)) + payload


def decode(data: bytes, offset: int = 0) -> list[Reading]:
    """The readings of the frame there. Raises `ValueError` for what is no whole frame."""
    place = _place(memoryview(data), offset)
    if place is None:
        raise ValueError("the frame is damaged")
    at = offset + HEAD_BYTES
    count, names = _COUNTS.unpack_from(data, at)
    at += _COUNTS.size
    known = []
    for _ in range(names):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        known.append(data[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    rows = _READING.iter_unpack(memoryview(data)[at : at + count * _READING.size])
    return [Reading(known[number], value, wall_ns, mono_ns) for number, value, wall_ns, mono_ns in rows]


def length_of(head: bytes) -> int:
    """How many bytes a frame has that begins with those `HEAD_BYTES`."""
    length: int = _HEAD.unpack(head)[0]
    return HEAD_BYTES + length


def scan(data: bytes, offset: int) -> Iterator[Place]:
    """The frames from there on, up to the first that is not whole: a write that a crash has torn, or damage."""
    view = memoryview(data)
    while (place := _place(view, offset)) is not None:
        yield place
        offset = place.end


def _place(data: memoryview, offset: int) -> Place | None:
    begin = offset + HEAD_BYTES
    if begin > len(data):
        return None
    length, checksum = _HEAD.unpack_from(data, offset)
    end = begin + length
    if not _COUNTS.size <= length <= MAX_PAYLOAD or end > len(data) or _checksum(data[begin:end]) != checksum:
        return None
    return Place(offset, end, _COUNTS.unpack_from(data, begin)[0])


def _checksum(payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little")))
