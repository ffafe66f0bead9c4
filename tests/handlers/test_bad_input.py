"""What no well-behaved client sends on a socket, and what it gets for it: token, item, message.

Protocol decisions, "`/ws/controller/telemetry`" and "`/ws/datapoints/stream`".
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from urllib.parse import unquote

import pytest

from tests.plant import SECRET, Server
from tests.promises import Figure
from tests.rawsocket import TEXT, RawSocket, exchange, frame
from tests.websocket.peer import let_in, still_open
from tests.wire import GONE, SOCKETS, STREAM, TELEMETRY, acknowledged, claims_of, heard, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")


def batch(server: Server, value: str = "1.0", event: str | None = None, **more: str) -> str:
    """A message in raw JSON, with one item in question and one that is good."""
    good = json.dumps(server.reading(2.0))
    event = json.dumps(server.plant.linked[0]) if event is None else event
    fields = "".join(f', "{name}": {value}' for name, value in more.items())
    item = f'{{"value": {value}, "event_public_id": {event}{fields}}}'
    return f'{{"datapoints": [{item}, {good}], "batch_id": "{uuid.uuid4()}"}}'


async def judged(server: Server, message: str) -> tuple[int, int, int]:
    """How many items of a message were accepted, invalid, unlinked."""
    socket = await server.telemetry()
    ack = await acknowledged(socket, message)
    await socket.close()
    assert ack["type"] == "ack", ack
    return ack["accepted"], ack["invalid"], ack["unlinked"]


# -- tokens ----------------------------------------------------------------------------------------------------


def odd_tokens(server: Server, user: str) -> dict[str, tuple[str, str]]:
    """What is no token, as a query spells it, and what is said of it."""

    def unsigned(header: str, payload: str) -> str:
        return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, payload, ""))

    claims = json.dumps(claims_of(server, user))
    expiries: tuple[object, ...] = (0, -1, 1e308, -1e308, "soon", None, [], True)
    wrong = {
        "9 KB": "x" * 9_000,
        "9 KB that begin as ours do": "wm_" + "x" * 9_000,
        "9 KB in three parts": ".".join(("x" * 3_000,) * 3),
        "a surrogate": "%ED%A0%80",
        "a surrogate in one of ours": "wm_%ED%A0%80",
        "U+0000": "%00",
        "broken UTF-8": "%FF%FE",
        "alg none": unsigned('{"alg": "none", "typ": "JWT"}', claims),
        "alg None": unsigned('{"alg": "None"}', claims),
        "alg of another kind": unsigned('{"alg": ["HS256"]}', claims),
        "no alg": unsigned("{}", claims),
        "a header of 5,000 digits": unsigned("9" * 5_000, claims),
        "a header nested 2,000 deep": unsigned("[" * 2_000, claims),
        "critical extensions": unsigned('{"alg": "HS256", "crit": ["b64"], "b64": false}', claims),
        "another algorithm": unsigned('{"alg": "HS512"}', claims),
        "another key": signed(claims_of(server, user), SECRET[::-1]),
        **{
            f"without {name}": signed(claims_of(server, user, **{name: GONE}))
            for name in ("sub", "jti", "sv", "iat", "exp")
        },
        **{f"exp {exp}": signed(claims_of(server, user, exp=exp)) for exp in expiries},
        "a number for a user": signed(claims_of(server, user, sub=1)),
    }
    refused = {name: (token, "Invalid or expired token") for name, token in wrong.items()}
    return {
        "none": ("", "Authentication required"),
        "of nobody": (signed(claims_of(server, "nobody")), "User not found"),
        "of an earlier password": (signed(claims_of(server, user, sv=10**6)), "Token has been revoked"),
        **refused,
    }


@pytest.mark.promise("B8", "S2")
async def test_what_is_no_token_is_told_why_and_leaves_nothing_in_the_log(
    shared: Server, caplog: pytest.LogCaptureFixture, figure: Figure
) -> None:
    tokens = odd_tokens(shared, (await shared.newcomer()).public_id)
    with caplog.at_level(logging.DEBUG, "webmacs"), caplog.at_level(logging.WARNING):
        for name, (token, reason) in tokens.items():
            for path in SOCKETS:
                async with await RawSocket.connect(shared.address) as socket:
                    assert (await socket.upgrade(f"{path}?token={token}")).status == 101, name
                    assert await socket.closing() == (1008, reason), name
            headers = f"Host: a\r\nAuthorization: Bearer {unquote(token, errors='surrogateescape')}\r\n\r\n"
            if "\0" not in headers:  # which would be no header
                request = f"GET /api/v1/auth/me HTTP/1.1\r\n{headers}".encode("utf-8", "surrogateescape")
                answer = await exchange(shared.address, request)
                assert (answer.status, answer.json()) == (401, {"detail": reason}), name
    assert [record.getMessage() for record in caplog.records] == []
    kind = shared.settings.storage.url.partition(":")[0]
    figure(f"{kind}: {len(tokens)} kinds of token on both sockets and over HTTP; nothing in the log")


# -- items -----------------------------------------------------------------------------------------------------

NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "true", "false", '"1.5"', "null"]
NO_VALUES = [*NO_NUMBERS, '"NaN"', "[]", "[1]", "{}", '""']


@pytest.mark.promise("B1")
@pytest.mark.parametrize("value", NO_VALUES, ids=lambda value: value[:12])
async def test_what_is_no_finite_number_is_no_value(shared: Server, value: str) -> None:
    assert await judged(shared, batch(shared, value)) == (1, 1, 0)


@pytest.mark.promise("B1")
@pytest.mark.parametrize("value", ["0", "-0", "-0.0", "1e-400", "5e-324", "1.7976931348623157e308", "1E3", str(2**53)])
async def test_every_finite_number_is_a_value(shared: Server, value: str) -> None:
    stream = await shared.stream(query={"events": shared.plant.linked[1]})
    assert await judged(shared, batch(shared, value, json.dumps(shared.plant.linked[1]))) == (2, 0, 0)
    (point,) = (await heard(stream))["datapoints"]
    assert point["value"] == float(value)
    await stream.close()


NO_IDS = ['"\\ud800"', '"a\\udfffb"', '"\\u0000"', '"a\\u0000b"', '"a\\nb"', '"\\u007f"', '"\\u0085"', '""']
NO_EVENTS = [*NO_IDS, f'"{"x" * 101}"', "1", "null", "true", "[]", "{}", '["a"]']


@pytest.mark.promise("B3")
@pytest.mark.parametrize("event", NO_EVENTS, ids=lambda event: event[:12])
async def test_what_is_no_id_is_no_event(shared: Server, event: str) -> None:
    assert await judged(shared, batch(shared, event=event)) == (1, 1, 0)


@pytest.mark.parametrize("event", ['"abc-123"', '"x"', f'"{"x" * 100}"', f'"{"ü" * 100}"', '"🌡"', '" "', '"a\'b;--"'])
async def test_any_text_of_a_hundred_characters_may_be_an_id(shared: Server, event: str) -> None:
    assert await judged(shared, batch(shared, event=event)) == (1, 0, 1)


@pytest.mark.parametrize("item", ["1", "null", '"text"', "[]", "{}", '{"value": 1}', '{"event_public_id": "a"}'])
async def test_what_is_no_reading_is_no_item(shared: Server, item: str) -> None:
    good = json.dumps(shared.reading())
    message = f'{{"datapoints": [{item}, {good}], "batch_id": "{uuid.uuid4()}"}}'
    assert await judged(shared, message) == (1, 1, 0)


async def test_unknown_keys_are_ignored(shared: Server) -> None:
    assert await judged(shared, batch(shared, unit='"V"', id="null", more='{"a": [1, {}]}')) == (2, 0, 0)


async def test_of_duplicate_keys_the_last_wins(shared: Server) -> None:
    assert await judged(shared, batch(shared, '1, "value": true')) == (1, 1, 0)
    assert await judged(shared, batch(shared, 'true, "value": 1')) == (2, 0, 0)


@pytest.mark.promise("B4")
async def test_one_bad_item_among_five_hundred(shared: Server) -> None:
    before = await shared.parts.storage.count()
    items = [shared.reading(float(number)) for number in range(500)]
    items[250] = shared.reading("no number")
    assert await judged(shared, json.dumps({"datapoints": items, "batch_id": str(uuid.uuid4())})) == (499, 1, 0)
    assert await shared.parts.storage.count() == before + 499


# -- messages --------------------------------------------------------------------------------------------------

INVALID_JSON = {
    "nothing": "",
    "text": "hello",
    "half an object": '{"datapoints": [',
    "a number of 5,000 digits": '{"datapoints": [{"value": ' + "9" * 5_000 + ', "event_public_id": "a"}]}',
    "byte-order mark": '\ufeff{"datapoints": []}',
    "text after it": '{"datapoints": []} more',
    "two objects": "{}{}",
    "nested 10,000 deep": "[" * 10_000 + "]" * 10_000,
    "nested 10,000 deep in an object": '{"datapoints":' + "[" * 10_000 + "]" * 10_000 + "}",
    "objects nested 10,000 deep": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a list": "[]",
    "a list of readings": '[{"value": 1, "event_public_id": "a"}]',
    "a string": '"datapoints"',
    "a number": "1",
    "null": "null",
    "single quotes": "{'datapoints': []}",
    "a comment": '{"datapoints": [] /* none */}',
    "a raw line break in a string": '{"datapoints": [{"value": 1, "event_public_id": "a\nb"}]}',
}


@pytest.mark.promise("B2")
@pytest.mark.parametrize("message", INVALID_JSON.values(), ids=INVALID_JSON.keys())
async def test_what_is_no_json_object_is_said_so_and_the_socket_stays_open(shared: Server, message: str) -> None:
    async with await let_in(shared, TELEMETRY) as socket:
        socket.write(frame(TEXT, message.encode()))
        assert await socket.message() == {"type": "error", "message": "Invalid JSON"}
        await still_open(shared, socket, TELEMETRY)


EMPTY = {
    "an empty object": "{}",
    "no list": '{"datapoints": {"value": 1}}',
    "null": '{"datapoints": null}',
    "a string": '{"datapoints": "many"}',
    "an empty list": '{"datapoints": []}',
    "nothing valid": '{"datapoints": [{"value": null, "event_public_id": "a"}, 1]}',
    "another key": '{"readings": [{"value": 1, "event_public_id": "a"}]}',
}


@pytest.mark.parametrize("message", EMPTY.values(), ids=EMPTY.keys())
async def test_a_batch_without_a_valid_item_is_said_to_be_one(shared: Server, message: str) -> None:
    async with await let_in(shared, TELEMETRY) as socket:
        socket.write(frame(TEXT, message.encode()))
        assert await socket.message() == {"type": "error", "message": "No valid datapoints in batch"}
        await still_open(shared, socket, TELEMETRY)


@pytest.mark.parametrize(
    "message", [*INVALID_JSON.values(), *EMPTY.values(), '{"type": "pong"}', '{"type": ["ping"]}', '"ping"', "ping"]
)
async def test_the_stream_ignores_all_but_pings(shared: Server, message: str) -> None:
    async with await let_in(shared, STREAM) as socket:
        socket.write(frame(TEXT, message.encode()[:4096]))
        await still_open(shared, socket, STREAM)


# -- frames: tests/websocket has what is wrong with them ------------------------------------------------------------


@pytest.mark.promise("B6")
async def test_what_was_sent_before_the_fault_is_stored(shared: Server) -> None:
    good = frame(TEXT, json.dumps({"datapoints": [shared.reading()], "batch_id": str(uuid.uuid4())}).encode())
    before = await shared.parts.storage.count()
    async with await let_in(shared, TELEMETRY) as socket:
        socket.write(good + frame(0x3))
        assert (await socket.closing())[0] == 1002
    async with await let_in(shared, TELEMETRY) as socket:
        await still_open(shared, socket, TELEMETRY)  # in order, so the one before it has been stored
    assert await shared.parts.storage.count() == before + 2
