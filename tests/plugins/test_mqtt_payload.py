"""What a message means, and what is sent: without any broker."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.errors import ConfigError
from webmacs.plugins.mqtt.config import MqttChannel
from webmacs.plugins.mqtt.device import Mqtt
from webmacs.plugins.mqtt.payload import MAX_BYTES, Payload, command

DEEP = "[" * 200_000


def channel(**keys: object) -> MqttChannel:
    given_range = {} if "words" in keys else {"min_value": 0, "max_value": 100}
    return MqttChannel.model_validate({"channel_id": "c", "topic": "t", **given_range, **keys})


@pytest.mark.parametrize(
    ("keys", "payload", "value"),
    [
        ({}, b"23.5", 23.5),
        ({}, b" -1e3\n", -1000.0),
        ({}, b"true", 1.0),
        ({"words": {"ON": 1, "OFF": 0}}, b"ON", 1.0),
        ({"words": {"true": 5}}, b"true", 5.0),
        ({"words": {"open": 1}}, b"0.25", 0.25),
        ({"pointer": "/t"}, b'{"t": 23.5}', 23.5),
        ({"pointer": "/t"}, b'{"t": false}', 0.0),
        ({"pointer": "/t"}, b'{"t": "23.5"}', 23.5),
        ({"pointer": "/t", "words": {"ON": 1}}, b'{"t": "ON"}', 1.0),
        ({"pointer": "/s/1/v"}, b'{"s": [{"v": 1}, {"v": 2}]}', 2.0),
        ({"pointer": "/a~1b/~0"}, b'{"a/b": {"~": 3}}', 3.0),
        ({"pointer": "/"}, b'{"": 4}', 4.0),
    ],
)
def test_a_payload_has_a_value(keys: dict[str, object], payload: bytes, value: float) -> None:
    assert Payload(payload).value(channel(**keys)) == value


@pytest.mark.parametrize(
    ("keys", "payload", "said"),
    [
        ({}, b"warm", "'warm' is no number"),
        ({}, b"", "'' is no number"),
        ({}, b"nan", "'nan' is no number"),
        ({}, b"1_000", "'1_000' is no number"),
        ({}, b"\xff", "can't decode"),
        ({}, b" " * (MAX_BYTES + 1), "the payload has 262,145 bytes, and 262,144 are the most"),
        ({"pointer": "/t"}, b"23.5", "there is no /t in the payload"),
        ({"pointer": "/t"}, b"{", "the payload is no JSON"),
        ({"pointer": "/t"}, b'{"t": null}', "None is no number"),
        ({"pointer": "/t"}, b'{"t": [1]}', r"\[1\] is no number"),
        ({"pointer": "/t"}, b'{"t": NaN}', "nan is no number"),
        ({"pointer": "/t"}, b'{"t": 1%s}' % (b"0" * 400), "is no number"),
        ({"pointer": "/t/1"}, b'{"t": [1]}', "there is no /t/1 in the payload"),
        ({"pointer": "/t/-1"}, b'{"t": [1]}', "there is no /t/-1 in the payload"),
        ({"pointer": "/t"}, DEEP.encode(), "the payload is nested too deeply"),
    ],
)
def test_a_payload_that_has_none_says_why(keys: dict[str, object], payload: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Payload(payload).value(channel(**keys))


@given(st.binary(max_size=60) | st.text().map(str.encode) | st.from_type(type(None)).map(lambda _: b"{}"))
def test_no_payload_does_anything_but_have_a_finite_value_or_none(payload: bytes) -> None:
    for keys in ({}, {"pointer": "/a"}, {"time_pointer": "/t"}):
        try:
            found = Payload(payload)
            value, _ = found.value(channel(**keys)), found.time_ns(channel(**keys))
        except ValueError:
            continue
        assert math.isfinite(value)


@pytest.mark.parametrize(
    ("unit", "time", "expected"),
    [
        ("s", 1_700_000_000, 1_700_000_000 * 10**9),
        ("s", 1_700_000_000.25, 1_700_000_000_250_000_000),
        ("ms", 1_700_000_000_123, 1_700_000_000_123 * 10**6),
        ("us", 1_700_000_000_123_456, 1_700_000_000_123_456 * 10**3),
        ("ns", 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        ("s", "2023-11-14T22:13:20Z", 1_700_000_000 * 10**9),
        ("ms", "2023-11-14T23:13:20+01:00", 1_700_000_000 * 10**9),
    ],
)
def test_a_payload_may_say_when_it_was_measured(unit: str, time: object, expected: int) -> None:
    place = channel(pointer="/v", time_pointer="/at", time_unit=unit)
    assert Payload(json.dumps({"v": 1, "at": time}).encode()).time_ns(place) == expected


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("2023-11-14T22:13:20", "has no time zone"),
        ("yesterday", "isoformat"),
        (None, "the time is None"),
        (True, "the time is True"),
        (0, "which is no moment since 1970"),
        (-5, "which is no moment since 1970"),
        (1e300, "which is no moment since 1970"),
        (float("inf"), "which is no moment since 1970"),
    ],
)
def test_a_time_that_cannot_be_is_refused(time: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Payload(json.dumps({"v": 1, "at": time}).encode()).time_ns(channel(pointer="/v", time_pointer="/at"))


def test_without_a_pointer_to_it_there_is_no_time() -> None:
    assert Payload(b"1").time_ns(channel()) is None


@pytest.mark.parametrize(
    ("keys", "value", "sent"),
    [
        ({}, 23.5, "23.5"),
        ({}, 1.0, "1"),
        ({"words": {"ON": 1, "OFF": 0}}, 0.0, "OFF"),
        ({"words": {"ON": 1, "OFF": 0}}, 0.5, "0.5"),
        ({"template": '{"power": {value}}'}, 50.0, '{"power": 50}'),
    ],
)
def test_what_is_sent_to_set_a_channel(keys: dict[str, object], value: float, sent: str) -> None:
    assert command(channel(command_topic="c", **keys), value) == sent


# -- the configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"topic": None}, "topic: is missing; what it measures"),
        ({"direction": "output"}, "command_topic: is missing; what it is set to"),
        ({"topic": "plant/+/t"}, "channels.0.topic: has a wildcard; a channel is one topic"),
        ({"topic": ""}, "channels.0.topic: is no topic: 1 to 65,535 bytes"),
        ({"pointer": "t"}, "channels.0.pointer: is no JSON pointer"),
        ({"max_value": None}, "min_value and max_value: give both, or words"),
        ({"command_topic": "c", "template": "x"}, "template: has no {value} in it"),
        ({"safe_value": 0}, "is an input and cannot have a safe_value"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_with_its_key(keys: dict[str, object], said: str) -> None:
    place = {"channel_id": "c", "topic": "t", "min_value": 0, "max_value": 1, **keys}
    with pytest.raises(ConfigError) as error:
        Mqtt.configured(json.dumps({"host": "broker", "channels": [place]}))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"password": "CANARY"}, "username: is missing"),
        ({"username": "u", "password": "CANARY", "password_env": "WEBMACS_DEVICE_P"}, "give it or password_env"),
        ({"username": "u", "password_env": "WEBMACS_API_TOKEN"}, "password_env: begins with WEBMACS_DEVICE_"),
        ({"tls": {"cafile": 1}}, "tls.cafile: Input should be a valid string"),
        ({"qos": 3}, "qos: Input should be 0, 1 or 2"),
    ],
)
def test_a_broker_that_cannot_be_is_refused_with_its_key(keys: dict[str, object], said: str) -> None:
    place = {"channel_id": "c", "topic": "t", "min_value": 0, "max_value": 1}
    with pytest.raises(ConfigError) as error:
        Mqtt.configured(json.dumps({"host": "broker", **keys, "channels": [place]}))
    assert said in str(error.value)
    assert "CANARY" not in str(error.value)


def test_directions_and_ranges_follow_from_what_is_given() -> None:
    places = [
        {"channel_id": "a", "topic": "a", "min_value": 0, "max_value": 1},
        {"channel_id": "b", "command_topic": "b", "words": {"ON": 1, "OFF": 0}},
        {"channel_id": "c", "topic": "c", "command_topic": "d", "words": {"x": -2, "y": 3}},
        {"channel_id": "d", "topic": "c", "command_topic": "d", "direction": "bidirectional", "words": {"x": 1}},
    ]
    found = Mqtt.channels_of(Mqtt.configured(json.dumps({"host": "broker", "channels": places})))
    assert [one.direction for one in found] == ["input", "output", "output", "bidirectional"]
    assert [(one.min_value, one.max_value) for one in found] == [(0.0, 1.0), (0.0, 1.0), (-2.0, 3.0), (1.0, 1.0)]


def test_a_password_is_not_shown() -> None:
    place = {"channel_id": "c", "topic": "t", "min_value": 0, "max_value": 1}
    config = Mqtt.configured(json.dumps({"host": "broker", "username": "u", "password": "CANARY", "channels": [place]}))
    assert "CANARY" not in repr(config)
