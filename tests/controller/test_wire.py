"""What is said and heard, as text; and batches in parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.fakes import FakeClock, reading, readings
from webmacs.controller.batch import Batch, Refused, Stored
from webmacs.controller.clocks import Clocks
from webmacs.controller.frames import Reading
from webmacs.controller.parts import Fate, Room, parts_of
from webmacs.controller.wire import (
    Answer,
    Changed,
    Hello,
    Setpoint,
    Setpoints,
    item,
    item_bytes,
    parse,
    refusal,
    status_text,
)

CLOCKS = Clocks(FakeClock(), 2.0)
TIME = "2026-01-15T14:30:00.123456+00:00"
TIME_US = 1_768_487_400_123_456
HELLO = {
    "type": "hello",
    "version": "1",
    "time": TIME,
    "max_batch_size": 500,
    "max_message_bytes": 131_072,
    "features": ["ack", "more"],
}


@given(st.text(max_size=100), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 4_000_000_000_000_000))
def test_an_item_is_json_and_no_longer_than_was_reckoned(event: str, value: float, time_us: int) -> None:
    text = item(Reading(event, value, 0, 0), time_us)
    read = json.loads(text)
    assert (read["event_public_id"], read["value"]) == (event, value)
    assert len(text.encode("utf-8", "surrogatepass")) <= item_bytes(event)


@pytest.mark.parametrize(
    ("message", "means"),
    [
        (HELLO, Hello("1", TIME_US, 500, 131_072, frozenset({"ack", "more"}))),
        ({"type": "changed"}, Changed()),
        ({"type": "ack", "batch_id": "b", "accepted": 2, "rejected": 0}, Answer("b", Stored(2))),
        (
            {
                "type": "ack",
                "batch_id": "b",
                "accepted": 1,
                "invalid": 1,
                "unlinked": 2,
                "skewed": 3,
                "duplicate": True,
            },
            Answer("b", Stored(1, 1, 2, 3, duplicate=True)),
        ),
        ({"type": "error", "message": "no", "batch_id": "b", "retry": True}, Answer("b", Refused("no", retry=True))),
        ({"type": "error", "message": "no"}, Answer(None, Refused("no", retry=False))),
        (
            {"type": "setpoints", "setpoints": [{"event_public_id": "e", "value": 1, "timestamp": TIME}]},
            Setpoints((Setpoint("e", 1.0, TIME_US),)),
        ),
        ({"type": "something newer"}, None),
        ({"type": "hello"}, None),
        ({**HELLO, "time": "yesterday"}, None),
        ([], None),
        ({}, None),
        ("text", None),
    ],
)
def test_messages_mean_what_the_protocol_says(message: Any, means: object) -> None:
    assert parse(json.dumps(message)) == means


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_whatever_a_server_says_is_no_trouble(text: str) -> None:
    parse(text)


def test_a_batch_that_is_there_with_other_contents_is_stored() -> None:
    assert refusal("batch_id was used before with other contents (422)", retry=False, readings=3) == Stored(
        3, duplicate=True
    )
    assert refusal("no", retry=False, readings=3) == Refused("no", retry=False)


def test_a_status_names_the_instances() -> None:
    said = json.loads(status_text([{"public_id": "1", "status": "error", "message": "aus"}]))
    assert said == {"type": "status", "instances": [{"public_id": "1", "status": "error", "message": "aus"}]}


# -- in parts ----------------------------------------------------------------------------------------------------------


def batch_of(some: list[Reading]) -> Batch:
    return Batch("id", some, CLOCKS._local.boot)


def test_a_batch_that_fits_is_one_message() -> None:
    (part,) = parts_of(batch_of([reading(1.0)]), CLOCKS, Room())
    said = json.loads(part.text)
    assert (part.batch_id, said["batch_id"], part.readings) == ("id", "id", 1)
    assert said["datapoints"][0]["value"] == 1.0
    assert json.loads(part.text)["datapoints"][0]["timestamp"].startswith("2026-")


@given(st.integers(1, 60), st.integers(1, 20), st.integers(300, 5000))
def test_parts_hold_each_reading_once_and_are_no_larger_than_the_server_takes(
    count: int, items: int, size: int
) -> None:
    some = batch_of(readings(0, count))
    parts = list(parts_of(some, CLOCKS, Room(items, size)))
    said = [json.loads(part.text) for part in parts]
    assert [point["value"] for each in said for point in each["datapoints"]] == list(range(count))
    assert all(len(each["datapoints"]) <= items for each in said)
    assert all(len(part.text) <= size for part in parts)
    ids = [part.batch_id for part in parts]
    assert len(set(ids)) == len(ids)
    assert ids == [part.batch_id for part in parts_of(some, CLOCKS, Room(items, size))]


def test_the_fate_of_a_batch_is_that_of_its_parts() -> None:
    def fate(*outcomes: Stored | Refused) -> object:
        found = Fate(batch_of(readings(0, 10)))
        parts = list(parts_of(found.batch, CLOCKS, Room(items=4)))
        for part in parts:
            found.expect(part)
        *others, last = [found.settle(part.batch_id, each) for part, each in zip(parts, outcomes, strict=True)]
        assert others == [None, None]
        return last

    later, never = Refused("later", retry=True), Refused("never", retry=False)
    assert fate(Stored(4), Stored(4), Stored(2)) == Stored(10)
    assert fate(Stored(3, unlinked=1), Stored(4, duplicate=True), Stored(2)) == Stored(9, unlinked=1, duplicate=True)
    assert fate(Stored(4), never, Stored(2)) == never
    assert fate(later, never, Stored(2)) == later  # what is refused for good is so again the next time
    assert fate(never, later, Stored(2)) == later
