"""What stands in registers, and which of them are read together: without any device."""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.errors import ConfigError
from webmacs.plugins.modbus.blocks import MOST, blocks
from webmacs.plugins.modbus.codec import decode, encode
from webmacs.plugins.modbus.config import LIMITS, ModbusChannel, Table, Type
from webmacs.plugins.modbus.device import Modbus

WIDE = {"min_value": -1e300, "max_value": 1e300}


def channel(**keys: object) -> ModbusChannel:
    return ModbusChannel.model_validate({"channel_id": "c", "address": 0, **keys})


def registers(layout: str, value: float) -> list[int]:
    data = struct.pack(layout, value)
    return list(struct.unpack(f">{len(data) // 2}H", data))


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "found", "value"),
    [
        ({"type": "int16"}, [0xFFCE], -50.0),
        ({"type": "uint16"}, [0xFFCE], 65486.0),
        ({"type": "int16", "byte_order": "little"}, [0xCEFF], -50.0),
        ({"type": "int32"}, [0xFFFE, 0x7960], -100_000.0),
        ({"type": "int32", "word_order": "little"}, [0x7960, 0xFFFE], -100_000.0),
        ({"type": "uint32"}, [0xEE6B, 0x2800], 4e9),
        ({"type": "float32", **WIDE}, [0x41AC, 0x0000], 21.5),
        ({"type": "float32", "word_order": "little", **WIDE}, [0x0000, 0x41AC], 21.5),
        ({"type": "float32", "byte_order": "little", **WIDE}, [0xAC41, 0x0000], 21.5),
        ({"type": "float32", "byte_order": "little", "word_order": "little", **WIDE}, [0x0000, 0xAC41], 21.5),
        ({"type": "int16", "scale": 0.1, "offset": -40.0}, [650], 25.0),
        ({"table": "coil"}, [True], 1.0),
        ({"table": "discrete"}, [False], 0.0),
    ],
)
def test_registers_mean_a_number(keys: dict[str, object], found: list[int], value: float) -> None:
    place = channel(**keys)
    assert decode(place, found) == pytest.approx(value)
    if place.table in {"holding", "coil"}:
        assert encode(place, value) == [int(one) for one in found]


NUMBERS = st.sampled_from(sorted(LIMITS))
ORDERS = st.sampled_from(["big", "little"])


@given(kind=NUMBERS, word=ORDERS, byte=ORDERS, data=st.data())
def test_every_integer_comes_back_as_it_was_written(kind: Type, word: str, byte: str, data: st.DataObject) -> None:
    place = channel(type=kind, word_order=word, byte_order=byte)
    value = data.draw(st.integers(*LIMITS[kind]))
    assert decode(place, encode(place, value)) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), ORDERS, ORDERS)
def test_every_float_comes_back_as_it_was_written(value: float, word: str, byte: str) -> None:
    place = channel(type="float32", word_order=word, byte_order=byte, **WIDE)
    assert decode(place, encode(place, value)) == value


@given(st.integers(-30_000, 30_000), st.sampled_from([0.1, 0.01, -0.5, 3.0]), st.floats(-100, 100))
def test_scale_and_offset_are_undone_when_writing(raw: int, scale: float, offset: float) -> None:
    place = channel(type="int16", scale=scale, offset=offset)
    assert encode(place, raw * scale + offset) == registers(">h", raw)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        ({"type": "uint16"}, -1.0, "-1.0 is -1 in its registers, and a uint16 goes from 0 to 65535"),
        ({"type": "int16", "scale": 0.1}, 4000.0, "is 40000 in its registers, and a int16 goes from -32768 to 32767"),
        ({"type": "float32", **WIDE}, 1e300, "and no float32 is as large"),
    ],
)
def test_a_value_that_has_no_registers_is_refused(keys: dict[str, object], value: float, said: str) -> None:
    with pytest.raises(ValueError, match="in its registers") as error:
        encode(channel(**keys), value)
    assert said in str(error.value)


# -- blocks ----------------------------------------------------------------------------------------------------------

CHANNELS = st.lists(
    st.builds(
        channel,
        address=st.integers(0, 400),
        table=st.sampled_from(["holding", "input"]),
        type=st.sampled_from(["int16", "int32"]),
        device_id=st.sampled_from([None, 1, 2]),
    ),
    max_size=60,
)


@given(CHANNELS, st.integers(0, 120))
def test_each_channel_is_read_once_with_neighbours_that_fit_into_one_answer(
    channels: list[ModbusChannel], max_gap: int
) -> None:
    found = blocks(channels, 1, max_gap)
    assert sorted(map(repr, (one for block in found for one in block.channels))) == sorted(map(repr, channels))
    for block in found:
        assert 1 <= block.count <= MOST[block.table]
        wanted = set()
        for one in block.channels:
            assert (one.device_id or 1, one.table) == (block.device_id, block.table)
            assert block.address <= one.address <= one.address + one.width <= block.address + block.count
            wanted |= set(range(one.address, one.address + one.width))
        unwanted = "".join("." if at in wanted else "x" for at in range(block.address, block.address + block.count))
        assert max(map(len, unwanted.split("."))) <= max_gap
        assert not unwanted.startswith("x")
        assert not unwanted.endswith("x")


@given(CHANNELS, st.integers(0, 120))
def test_no_two_blocks_could_have_been_one(channels: list[ModbusChannel], max_gap: int) -> None:
    found = blocks(channels, 1, max_gap)
    for one, other in pairwise(found):
        if (one.device_id, one.table) == (other.device_id, other.table):
            gap = other.address - one.address - one.count
            end = other.channels[0].address + other.channels[0].width
            assert gap > max_gap or end - one.address > MOST[one.table]


def test_a_block_that_is_refused_is_tried_without_its_gaps_and_then_channel_by_channel() -> None:
    (whole,) = blocks([channel(address=at) for at in (0, 1, 5)], 1, 8)
    assert (whole.address, whole.count) == (0, 6)
    first, second = whole.parts()
    assert [(part.address, part.count, len(part.channels)) for part in (first, second)] == [(0, 2, 2), (5, 1, 1)]
    assert [(part.address, part.count) for part in first.parts()] == [(0, 1), (1, 1)]


# -- the configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"table": "input", "direction": "output"}, "direction: nothing can be written to input"),
        ({"address": 65535, "type": "int32"}, "address: 65535 is the last one, and int32 takes 2 registers"),
        ({"address": 65536}, "channels.0.address: Input should be less than or equal to 65535"),
        ({"scale": 0}, "scale: is 0"),
        ({"table": "coil", "scale": 2}, "a coil is on or off and has none of them"),
        ({"type": "float32"}, "min_value and max_value: give both"),
        ({"scale": 1e308}, "what the registers can hold becomes infinite"),
        ({"safe_value": 1}, "channel 'c' is an input and cannot have a safe_value"),
        ({"channel_id": ""}, "channel_id is ''"),
        ({"type": "int64"}, "channels.0.type: Input should be 'int16'"),
        ({"adress": 1}, "channels.0.adress: unknown key"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_with_its_key(keys: dict[str, object], said: str) -> None:
    config = {"host": "10.0.0.1", "channels": [{"channel_id": "c", "address": 0, **keys}]}
    with pytest.raises(ConfigError) as error:
        Modbus.configured(json.dumps(config))
    assert said in str(error.value)


@pytest.mark.parametrize("keys", [{}, {"host": "a", "serial": {"port": "/dev/ttyUSB0"}}])
def test_there_is_one_way_to_reach_a_device(keys: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r'give "host" for Modbus TCP, or "serial"'):
        Modbus.configured(json.dumps({**keys, "channels": [{"channel_id": "c", "address": 0}]}))
    with pytest.raises(ConfigError, match="channels: Field required"):
        Modbus.configured(json.dumps(keys))


def test_a_range_that_is_not_given_is_what_the_registers_hold() -> None:
    found = [
        channel(type="int16", scale=-0.1).description,
        channel(table="coil").description,
        channel(type="uint16", max_value=100).description,
    ]
    ranges = [(one.min_value, one.max_value, one.unit) for one in found]
    assert ranges == [(pytest.approx(-3276.7), pytest.approx(3276.8), ""), (0.0, 1.0, "bool"), (0.0, 100.0, "")]
    assert all(math.isfinite(one.max_value) for one in found)


def test_channels_are_as_the_configuration_says() -> None:
    keys = {"name": "Flow", "unit": "l/h", "direction": "output", "max_value": 9, "safe_value": 1, "interval_s": 5}
    text = json.dumps({"host": "a", "channels": [{"channel_id": "c", "address": 3, **keys}]})
    (found,) = Modbus.channels_of(Modbus.configured(text))
    assert (found.channel_id, found.name, found.unit, found.direction) == ("c", "Flow", "l/h", "output")
    assert (found.min_value, found.max_value, found.safe_value, found.interval_s) == (0.0, 9.0, 1.0, 5.0)


def test_tables_hold_what_the_protocol_says() -> None:
    assert {table: MOST[table] for table in Table} == {"holding": 125, "input": 125, "coil": 2000, "discrete": 2000}
