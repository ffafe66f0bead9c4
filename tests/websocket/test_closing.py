"""RFC 6455, sections 5.5.1 and 7: how a connection ends when the client ends it."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.plant import Server
from tests.rawsocket import BINARY, CLOSE, PING, TEXT, RawSocket, frame
from tests.websocket.peer import HARMLESS, NO_TEXT, PROTOCOL_ERROR, ends, let_in
from tests.wire import SOCKETS, STREAM, TELEMETRY, acknowledged, until
from webmacs.frames import text_frame
from webmacs.model import Role

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("W4"),
    pytest.mark.usefixtures("no_time_to_lose"),
]

GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535]

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


@on_both_sockets
@pytest.mark.parametrize("code", GOOD_CODES)
async def test_a_code_is_answered_with_itself(shared: Server, path: str, code: int) -> None:
    assert await ends(shared, path, closing(code)) == (code, "")


@on_both_sockets
@pytest.mark.parametrize("reason", [b"bye", b"x" * 123, "Ende der Übertragung 🌡".encode()], ids=len)
async def test_a_reason_is_heard_and_not_repeated(shared: Server, path: str, reason: bytes) -> None:
    assert await ends(shared, path, closing(1000, reason)) == (1000, "")


@on_both_sockets
async def test_no_code_is_answered_with_1000(shared: Server, path: str) -> None:
    assert await ends(shared, path, frame(CLOSE)) == (1000, "")


@pytest.mark.promise("B6")
@on_both_sockets
@pytest.mark.parametrize("code", BAD_CODES)
async def test_a_code_that_nobody_may_send(shared: Server, path: str, code: int) -> None:
    assert await ends(shared, path, closing(code)) == PROTOCOL_ERROR


@on_both_sockets
async def test_half_a_code(shared: Server, path: str) -> None:
    assert await ends(shared, path, frame(CLOSE, b"\x03")) == PROTOCOL_ERROR


@pytest.mark.promise("B6")
@on_both_sockets
@pytest.mark.parametrize("reason", [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"cut \xf0\x9f\x8c"], ids=repr)
async def test_a_reason_that_is_no_text(shared: Server, path: str, reason: bytes) -> None:
    assert await ends(shared, path, closing(1000, reason)) == NO_TEXT


FOLLOWS = {
    "a ping": frame(PING, b"?"),
    "a message": frame(TEXT, b'{"type":"ping"}'),
    "binary": frame(BINARY, b"{}"),
    "what is no frame": frame(0x3),
    "another close": closing(1008),
    "garbage": b"\xff" * 1000,
}


@on_both_sockets
@pytest.mark.parametrize("sent", FOLLOWS.values(), ids=FOLLOWS.keys())
async def test_what_follows_a_close_is_not_heard(shared: Server, path: str, sent: bytes) -> None:
    assert await ends(shared, path, closing(4000) + sent) == (4000, "")


async def test_a_batch_after_a_close_is_not_stored_and_those_before_are(shared: Server) -> None:
    def batch() -> bytes:
        return frame(TEXT, json.dumps({"datapoints": [shared.reading()]}).encode())

    before = await shared.parts.storage.count()
    assert await ends(shared, TELEMETRY, batch() * 3 + closing(1000) + batch()) == (1000, "")
    last = {"datapoints": [shared.reading()], "batch_id": str(uuid.uuid4())}
    await acknowledged(await shared.telemetry(), last)  # in order, so what came before has been stored
    assert await shared.parts.storage.count() == before + 3 + 1


@on_both_sockets
async def test_the_server_ends_the_connection_first_and_is_gone(shared: Server, path: str) -> None:
    """Section 7.1.1: so that it is the server that holds the port, not the client."""
    hub = shared.parts.hub
    async with await let_in(shared, path) as socket:
        await until(lambda: any(client.identity.user.role is Role.OPERATOR for client in hub.clients()))
        socket.write(closing(1000))
        assert await socket.closing() == (1000, "")
        assert await socket.ended() == b""  # we have not closed
        await socket.close()
        await until(lambda: not any(client.identity.user.role is Role.OPERATOR for client in hub.clients()))


async def test_one_who_leaves_while_much_waits_for_it_gets_that_first(shared: Server) -> None:
    async with await RawSocket.open(shared.address, STREAM, shared.plant.tokens[Role.ADMIN]) as socket:
        assert (await socket.message())["type"] == "connected"
        (client,) = (client for client in shared.parts.hub.clients() if client.identity.user.role is Role.ADMIN)
        socket.pause()
        sent = 0
        while client.transport.get_write_buffer_size() < 1_000_000:
            client.write(text_frame(b" " * 100_000))
            sent += 1
        socket.write(closing(4001))
        await until(client.transport.is_closing)
        client.write(text_frame(b"too late"))
        socket.resume()
        for _ in range(sent):
            assert await socket.receive() == (TEXT, b" " * 100_000)
        assert await socket.closing() == (4001, "")
        assert await socket.ended() == b""


@on_both_sockets
async def test_when_both_close_each_says_so_once(shared: Server, path: str) -> None:
    hub = shared.parts.hub
    async with await let_in(shared, path) as socket:
        await until(lambda: any(client.identity.user.role is Role.OPERATOR for client in hub.clients()))
        for client in hub.clients():
            if client.identity.user.role is Role.OPERATOR:
                client.close(1008, "ours")
        socket.write(frame(TEXT, HARMLESS[path]) + closing(4000))
        assert await socket.closing() == (1008, "ours")
        assert await socket.ended() == b""
