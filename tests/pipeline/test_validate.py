"""What is a valid message, a valid item, a believable time; and what makes two messages the same."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.fakes import context
from webmacs.errors import InvalidMessage
from webmacs.model import to_us
from webmacs.pipeline.base import Batch, Item, StageSettings
from webmacs.pipeline.validate import Validate

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_US = to_us(NOW)


def gate(**limits: object) -> Validate:
    stage = Validate(StageSettings())
    asyncio.run(stage.start(context(**limits)))
    return stage


VALIDATE = gate()


def validated(payload: object, *, lax: bool = False, by: Validate = VALIDATE) -> Batch:
    batch = Batch(payload, 1, NOW_US, lax=lax)
    by.process(batch)
    return batch


def message(*items: object, **more: object) -> str:
    return json.dumps({"datapoints": items, **more})


def item(value: object = 1.0, event: object = "abc-123", **more: object) -> dict[str, object]:
    return {"value": value, "event_public_id": event, **more}


def kept(raw: str) -> list[Item]:
    """What is left of one item in raw JSON, beside one that is surely valid; where that one is lost, all is."""
    sure = '{"value":0,"event_public_id":"sure"}'
    batch = validated(f'{{"datapoints":[{raw},{sure}]}}')
    assert batch.items[-1].event_public_id == "sure"
    assert batch.invalid == 2 - len(batch.items)
    return batch.items[:-1]


# -- messages --------------------------------------------------------------------------------------------------------


def test_a_message_of_the_specification_is_valid() -> None:
    batch = validated(message(item(23.5, "abc-123"), item(1013.2, "def-456"), item(7.14, "ghi-789")))
    assert batch.items == [
        Item("abc-123", 23.5, NOW_US),
        Item("def-456", 1013.2, NOW_US),
        Item("ghi-789", 7.14, NOW_US),
    ]
    assert (batch.invalid, batch.skewed, batch.batch_id) == (0, 0, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        message(item()) + "x",
        "\ufeff" + message(item()),
        "[]",
        "3",
        "null",
        '"datapoints"',
        f'{{"datapoints":[{{"value":{"9" * 5000},"event_public_id":"a"}}]}}',
        "[" * 10_000 + "]" * 10_000,
        '{"datapoints":' + "[" * 10_000 + "]" * 10_000 + "}",
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "trailing text",
        "byte-order mark",
        "list",
        "number",
        "null",
        "string",
        "5000 digits",
        "nested",
        "nested in an object",
    ],
)
def test_what_is_no_json_object_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidMessage, match="^Invalid JSON$"):  # noqa: RUF043 - the exact text
        validated(text)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"datapoints": []},
        {"datapoints": {}},
        {"datapoints": None},
        {"datapoints": "abc"},
        {"datapoints": [1, None]},
        {"datapoints": [{}]},
        {"datapoints": [[]]},
        {"Datapoints": [item()]},
    ],
)
def test_a_message_without_a_valid_item_is_refused_as_such(payload: dict[str, object]) -> None:
    for form in (json.dumps(payload), payload):
        with pytest.raises(InvalidMessage, match="^No valid datapoints in batch$"):  # noqa: RUF043
            validated(form)


def test_a_batch_may_be_as_large_as_allowed() -> None:
    assert len(validated(message(*[item()] * 500)).items) == 500


@pytest.mark.parametrize("extra", [item(), "no item"], ids=["valid", "invalid"])
def test_a_larger_batch_is_refused_with_its_size(extra: object) -> None:
    with pytest.raises(InvalidMessage) as error:
        validated(message(*[item()] * 500, extra, batch_id="x"))
    assert (str(error.value), error.value.batch_id) == ("Batch too large (501), max 500", "x")


def test_the_size_of_a_batch_is_a_setting() -> None:
    with pytest.raises(InvalidMessage, match=r"Batch too large \(3\), max 2"):
        validated(message(item(), item(), item()), by=gate(max_batch_size=2))


def test_unknown_keys_are_ignored() -> None:
    assert validated(message(item(1, "a", quality="good"), seq=3)).items == [Item("a", 1.0, NOW_US)]


def test_of_duplicate_keys_the_last_wins() -> None:
    twice = '{"datapoints":[],"datapoints":[{"value":1,"value":2,"event_public_id":"a","event_public_id":"b"}]}'
    assert validated(twice).items == [Item("b", 2.0, NOW_US)]
    assert validated(twice.replace("]}", ",3]}")).items == [Item("b", 2.0, NOW_US)]


# -- items -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "-0.0", "1e-400", "1E5", "12345678901234567890", "1.7976931348623157e308"])
def test_a_finite_number_is_a_value(value: str) -> None:
    [found] = kept(f'{{"value":{value},"event_public_id":"a"}}')
    assert (type(found.value), found.value) == (float, float(value))


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400, "true", "false", '"1.5"', '""', "null", "[1]", "{}"],
)
def test_anything_else_is_no_value(value: str) -> None:
    assert kept(f'{{"value":{value},"event_public_id":"a"}}') == []


@pytest.mark.parametrize("event", ["abc-123", "a", "x" * 100, "ünïcode", "日本", "a b", '"', "😀", "'; DROP TABLE"])
def test_an_event_id_is_opaque(event: str) -> None:
    assert kept(json.dumps(item(1, event))) == [Item(event, 1.0, NOW_US)]


@pytest.mark.parametrize(
    "event",
    [
        '""',
        f'"{"x" * 101}"',
        "1",
        "null",
        "true",
        '["a"]',
        r'"a\u0000"',
        r'"a\n"',
        r'"\u007f"',
        r'"\u0085"',
        r'"\ud800"',
        r'"\udc00\ud800"',
    ],
)
def test_an_event_id_is_short_printable_text(event: str) -> None:
    assert kept(f'{{"value":1,"event_public_id":{event}}}') == []


def test_a_surrogate_pair_is_one_character() -> None:
    assert kept(r'{"value":1,"event_public_id":"\ud83d\ude00"}') == [Item("😀", 1.0, NOW_US)]


def test_one_bad_item_among_many_is_dropped_and_counted() -> None:
    batch = validated(message(*[item(number) for number in range(499)], item("x")))
    assert ([found.value for found in batch.items], batch.invalid) == (list(range(499)), 1)


@pytest.mark.parametrize(("value", "number"), [("2.5", 2.5), (True, 1.0), (False, 0.0), (" 3 ", 3.0), (4, 4.0)])
def test_http_clients_may_send_lax_numbers(value: object, number: float) -> None:
    [found] = validated({"datapoints": [item(value)]}, lax=True).items
    assert (type(found.value), found.value) == (float, number)


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "two", None, [], 10**400, math.inf])
def test_http_clients_must_send_finite_numbers(value: object) -> None:
    batch = validated({"datapoints": [item(value), item()]}, lax=True)
    assert (len(batch.items), batch.invalid) == (1, 1)


# -- times -----------------------------------------------------------------------------------------------------------


def timed(timestamp: object) -> tuple[int, int]:
    """The time an item gets, relative to the receipt, and how many were skewed."""
    batch = validated(message(item(timestamp=timestamp)))
    return batch.items[0].time_us - NOW_US, batch.skewed


@pytest.mark.parametrize(
    ("timestamp", "offset_us"),
    [
        ("2026-03-01T11:59:59.123456+00:00", -876_544),
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T14:00:00.000001+02:00", 1),
        ("2026-03-01 11:59:00-00:00", -60_000_000),
        (None, 0),
    ],
)
def test_a_reading_has_the_time_it_was_taken(timestamp: str | None, offset_us: int) -> None:
    assert timed(timestamp) == (offset_us, 0)


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-03-01T11:59:59",
        "yesterday",
        "",
        1772366400,
        True,
        [],
        {},
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-03-01T12:00:00+99:00",
        r"\ud800",
    ],
)
def test_what_is_no_time_with_an_offset_is_a_wrong_clock(timestamp: object) -> None:
    assert timed(timestamp) == (0, 1)


@pytest.mark.parametrize(
    ("offset", "skewed"),
    [
        (timedelta(seconds=300), 0),
        (timedelta(seconds=300, microseconds=1), 1),
        (-timedelta(days=400), 0),
        (-timedelta(days=400, microseconds=1), 1),
    ],
)
def test_a_time_is_believed_within_its_bounds(offset: timedelta, skewed: int) -> None:
    believed_us = 0 if skewed else offset // timedelta(microseconds=1)
    assert timed((NOW + offset).isoformat()) == (believed_us, skewed)


@pytest.mark.parametrize(
    ("offset", "skewed"),
    [
        (timedelta(seconds=7), 0),
        (timedelta(seconds=7, microseconds=1), 1),
        (-timedelta(seconds=9), 0),
        (-timedelta(seconds=9, microseconds=1), 1),
    ],
)
def test_the_bounds_of_time_are_settings(offset: timedelta, skewed: int) -> None:
    by = gate(max_clock_skew_s=7, max_reading_age_s=9)
    assert validated(message(item(timestamp=(NOW + offset).isoformat())), by=by).skewed == skewed


def test_every_time_that_is_not_believed_is_counted() -> None:
    assert validated(message(item(timestamp="no"), item(), item(timestamp=""))).skewed == 2


# -- identities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_id", ["x", "x" * 64, "ünï-1", "a b"])
def test_an_identity_is_a_short_printable_text(batch_id: str) -> None:
    assert validated(message(item(), batch_id=batch_id)).batch_id == batch_id


@pytest.mark.parametrize("batch_id", ["", "x" * 65, 1, True, [], {}, "a\n", "a\u0000", "\ud800"])
def test_another_identity_refuses_the_message(batch_id: object) -> None:
    with pytest.raises(InvalidMessage, match=r"Invalid batch_id: must be a string of 1-64 characters") as error:
        validated(message(item(), batch_id=batch_id))
    assert error.value.batch_id is None


def test_no_identity_may_be_said_as_null() -> None:
    assert validated(message(item(), batch_id=None)).batch_id is None


def test_a_refusal_names_the_identity() -> None:
    with pytest.raises(InvalidMessage) as error:
        validated(message("no item", batch_id="x"))
    assert error.value.batch_id == "x"


def digest(payload: object, *, lax: bool = False) -> str:
    return validated(payload, lax=lax).digest


def test_the_digest_is_of_the_contents_not_of_their_spelling() -> None:
    first = '{"batch_id":"x","datapoints":[{"value":1.50,"event_public_id":"a"}]}'
    same = '{ "datapoints" : [ {"event_public_id":"\\u0061", "value":15e-1, "more":1} ], "batch_id":"x" }'
    assert digest(first) == digest(same) == digest(json.loads(same)) == digest(json.loads(first), lax=True) != ""


@pytest.mark.parametrize(
    "other",
    [
        message(item(1.5, "b"), batch_id="x"),
        message(item(2, "a"), batch_id="x"),
        message(item(1.5, "a"), item(1.5, "a"), batch_id="x"),
        message(item(1.5, "a"), "no item", batch_id="x"),
        message(item(1.5, "a", timestamp="2026-03-01T12:00:00Z"), batch_id="x"),
    ],
    ids=["event", "value", "one more", "one invalid", "time"],
)
def test_other_contents_have_another_digest(other: str) -> None:
    assert digest(message(item(1.5, "a"), batch_id="x")) != digest(other)


def test_a_time_that_no_encoding_can_hold_has_a_digest() -> None:
    first, second = (message(item(timestamp=text), batch_id="x") for text in ("\ud800", "\udc00"))
    assert "" != digest(first) != digest(second) != ""


def test_the_digest_of_a_batch_sent_again_later_is_the_same() -> None:
    payload = message(item(timestamp="yesterday"), item(), batch_id="x")
    later = Batch(payload, 1, NOW_US + 1_000_000)
    VALIDATE.process(later)
    assert later.digest == digest(payload)


# -- whatever comes --------------------------------------------------------------------------------------------------


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.integers() | st.floats()
IDS = st.text(st.characters(), max_size=110)
ITEMS = st.fixed_dictionaries({"value": NUMBERS | JSON, "event_public_id": IDS | JSON}, optional={"timestamp": JSON})
MESSAGES = st.fixed_dictionaries({"datapoints": st.lists(ITEMS | JSON, max_size=6)}, optional={"batch_id": JSON | IDS})
VALID_ITEMS = st.fixed_dictionaries(
    {
        "value": st.floats(allow_nan=False, allow_infinity=False),
        "event_public_id": st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100),
    },
    optional={"timestamp": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.none()},
)


@given(st.text(st.characters()) | JSON.map(json.dumps) | MESSAGES.map(json.dumps), st.booleans())
def test_any_text_is_a_batch_or_refused(text: str, lax: bool) -> None:
    try:
        batch = validated(text, lax=lax)
    except InvalidMessage as error:
        assert str(error)  # noqa: PT017 - either end is right
        return
    assert batch.items
    assert len(batch.items) + batch.invalid == len(json.loads(text)["datapoints"])
    assert bool(batch.digest) == (batch.batch_id is not None)
    for found in batch.items:
        assert type(found.value) is float
        assert math.isfinite(found.value)
        assert 1 <= len(found.event_public_id.encode()) <= 400
        assert type(found.time_us) is int


@given(st.lists(VALID_ITEMS, min_size=1, max_size=8), st.integers(0, 8), ITEMS | JSON)
def test_valid_items_are_the_same_in_whatever_company(items: list[dict[str, object]], at: int, company: object) -> None:
    alone = validated(json.dumps({"datapoints": items}))
    assert (len(alone.items), alone.invalid) == (len(items), 0)
    mixed = validated(json.dumps({"datapoints": [*items[:at], company, *items[at:]]}))
    if mixed.invalid:
        assert mixed.items == alone.items
    else:
        assert len(mixed.items) == len(items) + 1
