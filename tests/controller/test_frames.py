"""Frames: what goes in comes out, and what is not whole is not there."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.fakes import readings
from webmacs.controller.frames import HEAD_BYTES, Reading, decode, encode, length_of, scan

NANOSECONDS = st.integers(-(2**63), 2**63 - 1)
READINGS = st.lists(
    st.builds(Reading, st.text(max_size=100), st.floats(allow_nan=False), NANOSECONDS, NANOSECONDS), max_size=20
)


@given(st.lists(READINGS, min_size=1, max_size=5))
def test_what_is_written_is_read(frames: list[list[Reading]]) -> None:
    data = b"".join(encode(frame) for frame in frames)
    assert [decode(data, place.offset) for place in scan(data, 0)] == frames
    assert [place.readings for place in scan(data, 0)] == [len(frame) for frame in frames]


@given(READINGS)
def test_the_head_says_how_long_a_frame_is(frame: list[Reading]) -> None:
    data = encode(frame)
    assert length_of(data[:HEAD_BYTES]) == len(data)


@given(st.data())
def test_of_frames_that_are_cut_off_anywhere_the_whole_ones_are_read(data: st.DataObject) -> None:
    frames = [encode(readings(number, number + 1)) for number in range(4)]
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, frames[: number + 1])) for number in range(4)]
    assert [place.end for place in scan(whole[:cut], 0)] == [end for end in ends if end <= cut]


@given(st.data())
def test_a_frame_with_a_byte_changed_is_none(data: st.DataObject) -> None:
    whole = bytearray(encode(readings(0, 3)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert list(scan(bytes(whole), 0)) == []
    with pytest.raises(ValueError, match="damaged"):
        decode(bytes(whole))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_no_frames_but_no_trouble(data: bytes) -> None:
    assert sum(1 for _ in scan(data, 0)) <= len(data)


def test_zeros_as_a_disk_leaves_them_after_a_power_cut_are_no_frames() -> None:
    assert list(scan(bytes(4096), 0)) == []


def test_a_value_keeps_every_bit() -> None:
    (read,) = decode(encode([Reading("event", -0.0, 0, 0)]))
    assert math.copysign(1, read.value) == -1
