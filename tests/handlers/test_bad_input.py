"""What no well-behaved client sends, and what it gets for it: item, message, frame, request.

Protocol decisions, "`/ws/controller/telemetry`" and "`/ws/datapoints/stream`".
"""

from __future__ import annotations

import json
import struct
import tracemalloc
import uuid
import zlib

import pytest

from tests.plant import Server
from tests.rawsocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame
from tests.wire import SOCKETS, STREAM, TELEMETRY, acknowledged, connect, ending, heard
from webmacs.handlers import sockets
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw client does not answer a close frame; the server waits less long for it than it would."""
    monkeypatch.setattr(sockets, "GRACE_S", 0.0)


impatient = pytest.mark.usefixtures("no_time_to_lose")
on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


async def raw(server: Server, path: str) -> RawSocket:
    """A connection that has been let in."""
    socket = await RawSocket.open(server.address, path, server.plant.tokens[Role.OPERATOR])
    if path == STREAM:
        assert (await socket.message())["type"] == "connected"
    return socket


async def still_open(server: Server, socket: RawSocket, path: str) -> None:
    """Check that a connection goes on as if nothing had happened."""
    if path == STREAM:
        socket.write(frame(TEXT, b'{"type":"ping"}'))
        assert await socket.message() == {"type": "pong"}
    else:
        batch_id = str(uuid.uuid4())
        socket.write(frame(TEXT, json.dumps({"datapoints": [server.reading()], "batch_id": batch_id}).encode()))
        assert (await socket.message())["batch_id"] == batch_id


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


# -- items -----------------------------------------------------------------------------------------------------

NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "true", "false", '"1.5"', "null"]
NO_VALUES = [*NO_NUMBERS, '"NaN"', "[]", "[1]", "{}", '""']


@pytest.mark.parametrize("value", NO_VALUES, ids=lambda value: value[:12])
async def test_what_is_no_finite_number_is_no_value(shared: Server, value: str) -> None:
    assert await judged(shared, batch(shared, value)) == (1, 1, 0)


@pytest.mark.parametrize("value", ["0", "-0", "-0.0", "1e-400", "5e-324", "1.7976931348623157e308", "1E3", str(2**53)])
async def test_every_finite_number_is_a_value(shared: Server, value: str) -> None:
    stream = await shared.stream(query={"events": shared.plant.linked[1]})
    assert await judged(shared, batch(shared, value, json.dumps(shared.plant.linked[1]))) == (2, 0, 0)
    (point,) = (await heard(stream))["datapoints"]
    assert point["value"] == float(value)
    await stream.close()


NO_IDS = ['"\\ud800"', '"a\\udfffb"', '"\\u0000"', '"a\\u0000b"', '"a\\nb"', '"\\u007f"', '"\\u0085"', '""']
NO_EVENTS = [*NO_IDS, f'"{"x" * 101}"', "1", "null", "true", "[]", "{}", '["a"]']


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


@pytest.mark.parametrize("message", INVALID_JSON.values(), ids=INVALID_JSON.keys())
async def test_what_is_no_json_object_is_said_so_and_the_socket_stays_open(shared: Server, message: str) -> None:
    async with await raw(shared, TELEMETRY) as socket:
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
    async with await raw(shared, TELEMETRY) as socket:
        socket.write(frame(TEXT, message.encode()))
        assert await socket.message() == {"type": "error", "message": "No valid datapoints in batch"}
        await still_open(shared, socket, TELEMETRY)


@pytest.mark.parametrize(
    "message", [*INVALID_JSON.values(), *EMPTY.values(), '{"type": "pong"}', '{"type": ["ping"]}', '"ping"', "ping"]
)
async def test_the_stream_ignores_all_but_pings(shared: Server, message: str) -> None:
    async with await raw(shared, STREAM) as socket:
        socket.write(frame(TEXT, message.encode()[:4096]))
        await still_open(shared, socket, STREAM)


# -- frames ----------------------------------------------------------------------------------------------------


@impatient
@on_both_sockets
async def test_a_binary_frame(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(BINARY, b"{}"))
        assert await socket.closing() == (1003, "Text messages only")
        assert await socket.ended() == b""


BROKEN = {
    "broken UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "a lone surrogate in UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "UTF-8 that breaks off": (frame(TEXT, b"\xf0\x9f"), 1007),
    "a broken reason": (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), 1007),
    "a bad opcode": (frame(0x3), 1002),
    "a bad control opcode": (frame(0xB), 1002),
    "the first reserved bit": (frame(TEXT, b"{}", reserved=0b100), 1002),
    "the second reserved bit": (frame(TEXT, b"{}", reserved=0b010), 1002),
    "the third reserved bit": (frame(TEXT, b"{}", reserved=0b001), 1002),
    "compressed without having agreed on it": (frame(TEXT, zlib.compress(b"{}")[2:-5], reserved=0b100), 1002),
    "a close code that is none": (frame(CLOSE, struct.pack(">H", 999)), 1002),
    "a close code that must not be sent": (frame(CLOSE, struct.pack(">H", 1005)), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a fragmented ping": (frame(PING, final=False), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "the end of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "a message within a message": (frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), 1002),
}


@impatient
@on_both_sockets
@pytest.mark.parametrize(("sent", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_frame_that_breaks_the_rules(shared: Server, path: str, sent: bytes, code: int) -> None:
    reason = {1002: "Protocol error", 1007: "Text is not UTF-8"}[code]
    async with await raw(shared, path) as socket:
        socket.write(sent)
        assert await socket.closing() == (code, reason)
        assert await socket.ended() == b""


async def test_what_was_sent_before_the_fault_is_stored(shared: Server) -> None:
    good = frame(TEXT, json.dumps({"datapoints": [shared.reading()], "batch_id": str(uuid.uuid4())}).encode())
    before = await shared.parts.storage.count()
    async with await raw(shared, TELEMETRY) as socket:
        socket.write(good + frame(0x3))
        assert (await socket.closing())[0] == 1002
    async with await raw(shared, TELEMETRY) as socket:
        await still_open(shared, socket, TELEMETRY)  # in order, so the one before it has been stored
    assert await shared.parts.storage.count() == before + 2


LIMITS = {TELEMETRY: 128 * 1024, STREAM: 4096}


@on_both_sockets
async def test_a_message_of_just_the_limit(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        message = b'{"type":"ping"}' if path == STREAM else b'{"datapoints":[]}'
        socket.write(frame(TEXT, message.ljust(LIMITS[path])))
        assert (await socket.message())["type"] in {"pong", "error"}
        await still_open(shared, socket, path)


@impatient
@on_both_sockets
async def test_a_message_of_one_byte_more(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(TEXT, b"x" * (LIMITS[path] + 1)))
        assert await socket.closing() == (1009, "Message too big")
        assert await socket.ended() == b""


@on_both_sockets
async def test_a_message_of_five_megabytes_is_told_why_while_it_is_still_sending(shared: Server, path: str) -> None:
    socket = await connect(shared, path, shared.plant.tokens[Role.OPERATOR])
    await socket.send_str("x" * 5_000_000)
    assert await ending(socket) == (1009, "Message too big")
    assert socket.close_code == 1009


@on_both_sockets
async def test_fragments_that_are_too_big_together(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(TEXT, b"x" * 1000, final=False))
        for _ in range(LIMITS[path] // 1000):
            socket.write(frame(CONTINUATION, b"x" * 1000, final=False))
        assert await socket.closing() == (1009, "Message too big")


@on_both_sockets
async def test_a_message_may_come_in_fragments_with_a_ping_between(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(TEXT, b'{"type"', final=False) + frame(PING, b"?") + frame(CONTINUATION, b':"ping"}'))
        assert await socket.receive() == (PONG, b"?")
        expected = {"type": "pong"} if path == STREAM else {"type": "error", "message": "No valid datapoints in batch"}
        assert await socket.message() == expected


@on_both_sockets
@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**63 - 1, 2**40])
async def test_a_frame_that_claims_to_be_enormous(shared: Server, path: str, length: int) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(TEXT, b"x" * 100, length=length))
        assert await socket.closing() == (1009, "Message too big")


async def test_memory_stays_flat_under_endless_fragments(shared: Server) -> None:
    chunk = frame(CONTINUATION, b"x" * 60_000, final=False)
    tracemalloc.start()
    try:
        for _ in range(20):
            async with await raw(shared, TELEMETRY) as socket:
                socket.write(frame(TEXT, b"x", final=False))
                for _ in range(20):
                    socket.write(chunk)
                assert (await socket.closing())[0] == 1009
        assert tracemalloc.get_traced_memory()[1] < 20_000_000  # 24 MB were sent, client and server are one process
    finally:
        tracemalloc.stop()


@on_both_sockets
async def test_frames_without_a_mask_are_accepted(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(TEXT, b'{"type":"ping"}', masked=False))
        assert (await socket.message())["type"] in {"pong", "error"}


@on_both_sockets
async def test_compression_is_not_agreed_to(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as socket:
        answer = await socket.upgrade(path, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers


@on_both_sockets
async def test_the_servers_close_frame_ends_what_it_says(shared: Server, path: str) -> None:
    async with await raw(shared, path) as socket:
        socket.write(frame(CLOSE, struct.pack(">H", 1000) + b"bye") + frame(PING))
        assert (await socket.closing())[0] == 1000
        assert await socket.ended() == b""
