"""Whatever is sent: the parsers of both sockets, fed with what nobody would think of.

They are fed with text as it stands on the wire, not with values that were encoded properly: doubled keys, numbers in
every spelling, half an object.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from webmacs.errors import InvalidMessage
from webmacs.handlers.statuses import reports_of, status_message
from webmacs.handlers.stream import is_ping
from webmacs.pipeline import validate
from webmacs.pipeline.base import Batch
from webmacs.pipeline.validate import Validate
from webmacs.testing import START_US, StageHarness

REFUSALS = {
    "Invalid JSON",
    "No valid datapoints in batch",
    "Invalid batch_id: must be a string of 1-64 characters",
}
DAY_US = 86_400_000_000


async def _started() -> Validate:
    async with StageHarness(Validate) as harness:
        return harness.stage


GATE = asyncio.run(_started())

# -- text that may or may not be JSON --------------------------------------------------------------------------

spaces = st.sampled_from(["", "", "", " ", "\n", "\t ", "\ufeff", "\x00", ","])
numbers = (
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
    | st.floats().map(repr)
    | st.integers().map(str)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-0", "-0.0", "01", "1.", ".5", "+1", "0x10", "1_0"])
)
escapes = st.sampled_from([r"\ud800", r"\udfff", r"\ud83c\udf21", r"\u0000", r"\n", r"\x", "\x01", "\x7f", "\x85", "é"])
strings = st.text(st.characters(codec="utf-8"), max_size=5).map(json.dumps) | st.lists(escapes, max_size=3).map(
    lambda parts: f'"{"".join(parts)}"'
)
scalars = numbers | strings | st.sampled_from(["true", "false", "null", "None", "", "undefined"])


def objects(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects as text, keys doubled and all."""
    pairs = st.lists(st.tuples(spaces, keys, spaces, values, spaces), max_size=5)
    return pairs.map(lambda found: "{" + ",".join(f'{a}"{key}"{b}:{value}{c}' for a, key, b, value, c in found) + "}")


def lists(values: st.SearchStrategy[str], size: int = 4) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=size).map(lambda found: f"[{','.join(found)}]")


anything = st.recursive(scalars, lambda inner: lists(inner) | objects(st.sampled_from("ab"), inner), max_leaves=6)
timestamps = st.datetimes(timezones=st.timezones()).map(lambda moment: json.dumps(moment.isoformat()))
item_keys = st.sampled_from(["value", "event_public_id", "timestamp", "value", "event_public_id", "unit"])
good_items = st.builds(
    lambda value, event: f'{{"value":{value},"event_public_id":{event}}}',
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=5).map(json.dumps),
)
items = good_items | objects(item_keys, scalars | timestamps) | anything
message_keys = st.sampled_from(["datapoints", "datapoints", "batch_id", "more"])
messages = (
    lists(good_items).map(lambda found: f'{{"datapoints":{found},"batch_id":"one"}}')
    | lists(items).map(lambda found: f'{{"datapoints":{found}}}')
    | objects(message_keys, lists(items) | anything)
    | anything
)
texts = st.text() | messages | messages.map(lambda text: text[: len(text) // 2]) | messages.map(lambda text: text + "}")


# -- telemetry -------------------------------------------------------------------------------------------------


def judged(payload: object, *, lax: bool = False) -> Batch:
    """A message through the gate."""
    batch = Batch(payload, 1, START_US, lax=lax)
    GATE.process(batch)
    return batch


def outcome(payload: object) -> Any:
    """Everything that comes of a message."""
    try:
        batch = judged(payload)
    except InvalidMessage as error:
        return str(error), error.batch_id
    return batch.items, batch.invalid, batch.skewed, batch.batch_id, batch.digest


def check(batch: Batch) -> None:
    """What everything after the gate relies on."""
    assert batch.items
    for item in batch.items:
        assert type(item.value) is float
        assert isfinite(item.value)
        assert isinstance(item.event_public_id, str)
        assert 1 <= len(item.event_public_id) <= 100
        assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in item.event_public_id)
        item.event_public_id.encode()
        assert START_US - 400 * DAY_US <= item.time_us <= START_US + 300_000_000
    if batch.batch_id is not None:
        assert 1 <= len(batch.batch_id) <= 64
        batch.batch_id.encode()


@pytest.mark.promise("B2")
@given(texts)
@example('{"datapoints":' * 5_000)
@example("[" * 100_000)
def test_of_any_text_come_valid_items_or_one_of_three_refusals(text: str) -> None:
    try:
        batch = judged(text)
    except InvalidMessage as error:
        assert str(error) in REFUSALS  # noqa: PT017 - either end is right
    else:
        check(batch)


@given(st.binary())
def test_bytes_are_no_message(payload: bytes) -> None:
    with pytest.raises(InvalidMessage, match="Invalid JSON"):
        judged(payload)


parsed = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["datapoints", "batch_id", "more"]),
        parsed | st.lists(st.dictionaries(item_keys, parsed, max_size=4), max_size=4),
    )
)
def test_of_any_body_come_valid_items_or_one_of_three_refusals(body: dict[str, Any]) -> None:
    try:
        batch = judged(body, lax=True)
    except InvalidMessage as error:
        assert str(error) in REFUSALS  # noqa: PT017 - either end is right
    else:
        check(batch)


@contextmanager
def only_item_by_item() -> Iterator[None]:
    """Without the way for messages in which all is valid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "_message", TypeAdapter(Annotated[str, Field(min_length=1, max_length=0)]))
        yield


@given(texts)
@example('{"datapoints":[{"value":1,"value":2,"event_public_id":"a"}]}')
@example('{"datapoints":[],"datapoints":[{"value":1,"event_public_id":"a"}]}')
@example('{"datapoints":[{"value":123456789012345678901234567890,"event_public_id":"a"}],"batch_id":"one"}')
@example('{"datapoints":[{"value":0.1e-320,"event_public_id":"a"}],"batch_id":"one"}')
def test_both_ways_of_judging_a_message_come_to_the_same(text: str) -> None:
    quick = outcome(text)
    with only_item_by_item():
        assert outcome(text) == quick


@pytest.mark.promise("B1")
@given(numbers)
def test_every_number_is_read_to_the_last_bit(number: str) -> None:
    try:
        expected = float(json.loads(number))
    except (ValueError, OverflowError):
        expected = float("nan")
    text = f'{{"datapoints":[{{"value":{number},"event_public_id":"a"}}]}}'
    if isfinite(expected):
        assert judged(text).items[0].value.hex() == expected.hex()
    else:
        with pytest.raises(InvalidMessage):
            judged(text)


reported = objects(
    st.sampled_from(["public_id", "status", "message", "status"]),
    st.sampled_from(['"error"', '"connected"', '"rig"', "null"]) | scalars,
)
status_messages = objects(
    st.sampled_from(["type", "type", "instances", "instances", "datapoints", "more"]),
    st.just('"status"') | lists(reported) | anything,
)


@given(texts | status_messages)
@example('{"type":"status","instances":[{"public_id":"a","status":"error","message":"\\ud800"}]}')
@example('{"type":"status","instances":' * 5_000)
@example('{"type":"status","type":"other"}')
@example('{"datapoints":[],"type":"status"}')
def test_of_any_text_come_reports_or_an_error_or_a_batch_as_ever(text: str) -> None:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    message = status_message(text)
    is_one = isinstance(whole, dict) and whole.get("type") == "status" and "datapoints" not in whole
    assert message == (whole if is_one else None)
    if message is not None:
        try:
            for report in reports_of(message):
                assert 1 <= len(report.public_id) <= 100
                f"{report.public_id}{report.message}".encode()
        except InvalidMessage as error:
            assert str(error).startswith("Invalid status: ")  # noqa: PT017 - either end is right
            str(error).encode()


# -- stream ----------------------------------------------------------------------------------------------------


@given(texts | objects(st.sampled_from(["type", "type", "a"]), st.just('"ping"') | anything))
@example("[" * 100_000)
@example('{"type":"ping","type":"pong"}')
@example('{"type":["ping"]}')
def test_a_ping_is_an_object_of_that_type_and_nothing_else_is(text: str) -> None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    assert is_ping(text) is (isinstance(message, dict) and message.get("type") == "ping")
