"""RFC 6455, section 4: what a handshake has to be, and what is answered to one that is none."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.plant import Server
from tests.rawsocket import CLOSE, Answer, RawSocket, exchange, frame
from tests.wire import SOCKETS, STREAM, TELEMETRY
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("W1")]

HOST, UPGRADE, CONNECTION = "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"
KEY, VERSION = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # that key's, by section 1.3

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


async def asked(server: Server, *lines: str, target: str = STREAM, method: str = "GET", http: str = "1.1") -> Answer:
    """The answer to a request; one that upgrades is seen to work."""
    query = "&" if "?" in target else "?"
    begin = f"{method} {target}{query}token={server.plant.tokens[Role.OPERATOR]} HTTP/{http}"
    async with await RawSocket.connect(server.address) as socket:
        socket.write("\r\n".join((begin, *lines, "", "")).encode("utf-8", "surrogateescape"))
        answer = await socket.answer()
        if answer.status == 101:
            socket.write(frame(CLOSE))
            assert (await socket.closing())[0] == 1000
        return answer


def without(*left_out: str) -> list[str]:
    """The lines of a good handshake but those."""
    return [line for line in (HOST, UPGRADE, CONNECTION, KEY, VERSION) if line not in left_out]


@on_both_sockets
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_answer_proves_that_the_key_was_read(shared: Server, path: str, slash: str) -> None:
    answer = await asked(shared, *without(), target=path + slash)
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == ACCEPTED
    assert answer.headers["upgrade"].lower() == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"


async def test_a_key_of_ones_own(shared: Server) -> None:
    key = base64.b64encode(bytes(range(16))).decode()
    answer = await asked(shared, *without(KEY), f"Sec-WebSocket-Key: {key}")
    expected = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
    assert answer.headers["sec-websocket-accept"] == expected.decode()


SPELLINGS = {
    "names in capitals": [line.upper() if line is VERSION else line for line in without()],
    "names in small letters": ["host: a", "upgrade: websocket", "connection: upgrade", KEY.replace("S", "s"), VERSION],
    "Upgrade in capitals": [*without(UPGRADE), "Upgrade: WEBSOCKET"],
    "Upgrade as browsers once wrote it": [*without(UPGRADE), "Upgrade: WebSocket"],
    "Connection in capitals": [*without(CONNECTION), "Connection: UPGRADE"],
    "Connection as Firefox writes it": [*without(CONNECTION), "Connection: keep-alive, Upgrade"],
    "Connection the other way round": [*without(CONNECTION), "Connection: Upgrade, keep-alive"],
    "Connection without spaces": [*without(CONNECTION), "Connection: keep-alive,upgrade"],
    "Connection in two lines": [*without(CONNECTION), "Connection: keep-alive", "Connection: Upgrade"],
    "spaces around the version": [*without(VERSION), "Sec-WebSocket-Version:   13  "],
    "no space at all": [line.replace(": ", ":") for line in without()],
    "in another order": without()[::-1],
}


@pytest.mark.parametrize("lines", SPELLINGS.values(), ids=SPELLINGS.keys())
async def test_spellings_that_mean_the_same(shared: Server, lines: list[str]) -> None:
    assert (await asked(shared, *lines)).status == 101


@pytest.mark.parametrize("origin", ["http://localhost", "ws://localhost", "http://another.example"])
async def test_a_target_in_absolute_form_is_that_path(shared: Server, origin: str) -> None:
    assert (await asked(shared, *without(), target=origin + STREAM)).status == 101
    assert (await asked(shared, *without(), target=f"{origin}/nowhere")).status == 404


async def test_subprotocols_and_extensions_are_not_agreed_to(shared: Server) -> None:
    asking = ("Sec-WebSocket-Protocol: mqtt, graphql-ws", "Sec-WebSocket-Extensions: permessage-deflate, x-mux; a=1")
    answer = await asked(shared, *without(), *asking)
    assert answer.status == 101
    assert not {"sec-websocket-protocol", "sec-websocket-extensions"} & set(answer.headers)


# -- what is none ------------------------------------------------------------------------------------------------------

OTHER_VERSIONS = {
    "none": [],
    "empty": ["Sec-WebSocket-Version:"],
    "of a draft, with another header for the origin": ["Sec-WebSocket-Version: 8"],
    "of an older draft": ["Sec-WebSocket-Version: 7"],
    "of the future": ["Sec-WebSocket-Version: 25"],
    "with a zero": ["Sec-WebSocket-Version: 013"],
    "two in one line": ["Sec-WebSocket-Version: 13, 8"],
    "two lines": [VERSION, "Sec-WebSocket-Version: 8"],
    "two lines, the other way round": ["Sec-WebSocket-Version: 8", VERSION],
}


@on_both_sockets
@pytest.mark.parametrize("lines", OTHER_VERSIONS.values(), ids=OTHER_VERSIONS.keys())
async def test_another_version_is_told_which_one_there_is(shared: Server, path: str, lines: list[str]) -> None:
    answer = await asked(shared, *without(VERSION), *lines, target=path)
    assert (answer.status, answer.json()) == (426, {"detail": "Upgrade Required"})
    assert answer.headers["sec-websocket-version"] == "13"
    assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "upgrade")


NO_HANDSHAKE = {
    "nothing of it": [HOST],
    "no Upgrade": without(UPGRADE),
    "another Upgrade": [*without(UPGRADE), "Upgrade: h2c"],
    "no Connection": without(CONNECTION),
    "another Connection": [*without(CONNECTION), "Connection: keep-alive"],
    "no key": without(KEY),
    "an empty key": [*without(KEY), "Sec-WebSocket-Key:"],
    "a key that is no base64": [*without(KEY), "Sec-WebSocket-Key: a"],
    "a key that is no ASCII": [*without(KEY), "Sec-WebSocket-Key: ü"],
    "a key of letters that base64 does not have": [*without(KEY), "Sec-WebSocket-Key: dGhl!!IHNhbXBsZSBub25jZQ=="],
    "a key without its padding": [*without(KEY), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"],
    "a short key": [*without(KEY), "Sec-WebSocket-Key: YQ=="],
    "a long key": [*without(KEY), f"Sec-WebSocket-Key: {base64.b64encode(bytes(17)).decode()}"],
    "two keys": [*without(), KEY],
    "no host": without(HOST),
    "two hosts": [*without(), "Host: another.example"],
    "a body": [*without(), "Content-Length: 5"],
    "a body in chunks": [*without(), "Transfer-Encoding: chunked"],
}


@on_both_sockets
@pytest.mark.parametrize("lines", NO_HANDSHAKE.values(), ids=NO_HANDSHAKE.keys())
async def test_what_is_no_handshake(shared: Server, path: str, lines: list[str]) -> None:
    answer = await asked(shared, *lines, target=path)
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})


@pytest.mark.parametrize("http", ["1.0", "0.9", "1.2", "2.0"])
async def test_another_http_than_1_1(shared: Server, http: str) -> None:
    answer = await asked(shared, *without(), http=http)
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})


@pytest.mark.parametrize("upgrade", ["Upgrade: h2c, websocket", "Upgrade: websocket, h2c", "Upgrade: websocket/13"])
async def test_an_upgrade_to_one_of_several_is_not_understood(shared: Server, upgrade: str) -> None:
    """The standard would have it. aiohttp's parser reads one name, and no client offers more."""
    assert (await asked(shared, *without(UPGRADE), upgrade)).status == 400


@on_both_sockets
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_than_get(shared: Server, path: str, method: str) -> None:
    answer = await asked(shared, *without(), target=path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("path", [TELEMETRY, STREAM])
async def test_a_head_is_answered_with_a_head(shared: Server, path: str) -> None:
    request = f"HEAD {path} HTTP/1.1\r\n{HOST}\r\n\r\n".encode()
    assert (await exchange(shared.address, request, body=False)).status == 405


async def test_after_a_refusal_the_connection_can_be_used_again(shared: Server) -> None:
    def request(*lines: str) -> bytes:
        target = f"{STREAM}?token={shared.plant.tokens[Role.VIEWER]}"
        return "\r\n".join((f"GET {target} HTTP/1.1", *lines, "", "")).encode()

    async with await RawSocket.connect(shared.address) as socket:
        socket.write(request(*without(VERSION), "Sec-WebSocket-Version: 25"))
        assert (await socket.answer()).headers["sec-websocket-version"] == "13"
        socket.write(request(*without()))
        assert (await socket.answer(body=False)).status == 101
        assert (await socket.message())["type"] == "connected"
