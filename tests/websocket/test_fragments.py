"""RFC 6455, section 5.4: messages in pieces, and what may come between them."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.plant import Server
from tests.rawsocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from tests.websocket.peer import ANSWERS, HARMLESS, PROTOCOL_ERROR, ends, let_in, still_open
from tests.wire import SOCKETS, TELEMETRY

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("W2"),
    pytest.mark.usefixtures("no_time_to_lose"),
]

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


def pieces(message: bytes, size: int, between: bytes = b"") -> bytes:
    """A message in fragments of that size."""
    parts = [message[begin : begin + size] for begin in range(0, len(message), size)]
    sent = frame(TEXT, parts[0], final=False)
    for part in parts[1:-1]:
        sent += between + frame(CONTINUATION, part, final=False)
    return sent + between + frame(CONTINUATION, parts[-1])


@on_both_sockets
@pytest.mark.parametrize("size", [1, 2, 7])
async def test_a_message_in_pieces_is_one_message(shared: Server, path: str, size: int) -> None:
    async with await let_in(shared, path) as socket:
        socket.write(pieces(HARMLESS[path], size))
        assert await socket.message() == ANSWERS[path]
        await still_open(shared, socket, path)


@on_both_sockets
async def test_a_ping_between_is_answered_before_the_message_is_complete(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, HARMLESS[path][:5], final=False) + frame(PING, b"now"))
        assert await socket.receive() == (PONG, b"now")
        socket.write(frame(CONTINUATION, HARMLESS[path][5:]))
        assert await socket.message() == ANSWERS[path]


@on_both_sockets
async def test_pings_and_pongs_between_all_pieces(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        socket.write(pieces(HARMLESS[path], 1, frame(PING, b"?") + frame(PONG, b"!")))
        for _ in HARMLESS[path][1:]:
            assert await socket.receive() == (PONG, b"?")
        assert await socket.message() == ANSWERS[path]


@on_both_sockets
async def test_pieces_may_be_empty(shared: Server, path: str) -> None:
    empty = frame(CONTINUATION, final=False)
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, final=False) + empty * 1000 + frame(CONTINUATION, HARMLESS[path]))
        assert await socket.message() == ANSWERS[path]
        socket.write(frame(TEXT, HARMLESS[path], final=False) + empty * 1000 + frame(CONTINUATION))
        assert await socket.message() == ANSWERS[path]


async def test_a_batch_in_two_hundred_pieces_is_stored_whole(shared: Server) -> None:
    items = [shared.reading(float(number)) for number in range(500)]
    batch = json.dumps({"datapoints": items, "batch_id": str(uuid.uuid4())}).encode()
    before = await shared.parts.storage.count()
    async with await let_in(shared, TELEMETRY) as socket:
        socket.write(pieces(batch, len(batch) // 200))
        assert (await socket.message())["accepted"] == 500
    assert await shared.parts.storage.count() == before + 500


@on_both_sockets
async def test_a_client_may_leave_in_the_middle_of_a_message(shared: Server, path: str) -> None:
    begun = frame(TEXT, HARMLESS[path][:5], final=False)
    assert await ends(shared, path, begun + frame(CLOSE, b"\x03\xe8")) == (1000, "")


OUT_OF_ORDER = {
    "the end of nothing": frame(CONTINUATION, b"{}"),
    "a part of nothing": frame(CONTINUATION, b"{}", final=False),
    "an empty end of nothing": frame(CONTINUATION),
    "an end after the end": frame(TEXT, b"{", final=False) + frame(CONTINUATION, b"}") + frame(CONTINUATION, b"}"),
    "text within text": frame(TEXT, b"{", final=False) + frame(TEXT, b"}"),
    "pieces within pieces": frame(TEXT, b"{", final=False) + frame(TEXT, b"}", final=False),
    "binary within text": frame(TEXT, b"{", final=False) + frame(BINARY, b"}"),
    "binary pieces within text": frame(TEXT, b"{", final=False) + frame(BINARY, b"}", final=False),
    "text after a ping within text": frame(TEXT, b"{", final=False) + frame(PING) + frame(TEXT, b"}"),
    "a reserved bit on a later piece": frame(TEXT, b"{", final=False) + frame(CONTINUATION, b"}", reserved=0b100),
}


@pytest.mark.promise("B6")
@on_both_sockets
@pytest.mark.parametrize("sent", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
async def test_pieces_out_of_order(shared: Server, path: str, sent: bytes) -> None:
    assert await ends(shared, path, sent) == PROTOCOL_ERROR


@pytest.mark.promise("B7")
@on_both_sockets
async def test_binary_in_pieces_is_binary(shared: Server, path: str) -> None:
    sent = frame(BINARY, b"{", final=False) + frame(PING) + frame(CONTINUATION, b"}")
    assert await ends(shared, path, sent) == (1003, "Text messages only")


@on_both_sockets
async def test_a_message_that_was_begun_with_nothing_may_be_begun_again(shared: Server, path: str) -> None:
    """By the standard that is 1002. aiohttp knows that a message is begun by what it holds, and this holds nothing."""
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, final=False) + frame(TEXT, HARMLESS[path]))
        assert await socket.message() == ANSWERS[path]
