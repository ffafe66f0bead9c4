"""How many sockets a client may have, and when it may have another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiohttp import ClientWebSocketResponse

from tests.handlers.conftest import Serve
from tests.plant import Server
from tests.rawsocket import BINARY, CLOSE, PING, PONG, TEXT, RawSocket, frame
from tests.wire import SOCKETS, STREAM, TELEMETRY, connect, refusal
from webmacs.handlers.stream import Stream
from webmacs.model import Role

TOO_MANY = "Too many connections"
PROXY = {"trusted_proxies": ["127.0.0.0/8"]}


def at(address: str) -> dict[str, dict[str, str]]:
    """Options of a socket that is opened from there."""
    return {"headers": {"X-Forwarded-For": address}}


async def raw(server: Server, path: str = STREAM, role: Role = Role.OPERATOR) -> RawSocket:
    return await RawSocket.open(server.address, path, server.plant.tokens[role])


async def let_in(server: Server, path: str, token: str, address: str = "192.0.2.1") -> ClientWebSocketResponse:
    """A socket that is served, and stays open for as long as it is held."""
    socket = await connect(server, path, token, **at(address))
    await socket.send_str("{}")
    if path == STREAM:
        assert (await socket.receive_json(timeout=5))["type"] == "connected"
    else:
        assert (await socket.receive_json(timeout=5))["type"] == "error"
    return socket


@pytest.mark.promise("S6")
async def test_one_address_has_so_many_sockets_of_both_kinds(serve: Serve) -> None:
    server = await serve(server={**PROXY, "max_connections_per_address": 2})
    token, other = server.plant.tokens[Role.OPERATOR], server.plant.tokens[Role.ADMIN]
    held = [await let_in(server, STREAM, token), await let_in(server, TELEMETRY, other)]
    for path in SOCKETS:
        assert await refusal(server, path, other, **at("192.0.2.1")) == (1013, f"{TOO_MANY} from this address")
    held.append(await let_in(server, STREAM, token, "192.0.2.2"))
    assert not any(socket.closed for socket in held)


@pytest.mark.promise("S6")
async def test_one_user_has_so_many_sockets_by_whatever_token_and_from_wherever(serve: Serve) -> None:
    server = await serve(server={**PROXY, "max_connections_per_user": 2})
    owner = await server.newcomer()
    held = [
        await let_in(server, STREAM, owner.jwt, "192.0.2.1"),
        await let_in(server, TELEMETRY, owner.api_token, "192.0.2.2"),
    ]
    for path, token in ((STREAM, owner.api_token), (TELEMETRY, owner.jwt)):
        assert await refusal(server, path, token, **at("192.0.2.3")) == (1013, f"{TOO_MANY} of this user")
    held.append(await let_in(server, STREAM, server.plant.tokens[Role.ADMIN], "192.0.2.1"))
    assert not any(socket.closed for socket in held)


@pytest.mark.promise("S6")
async def test_those_who_are_refused_have_no_place(serve: Serve) -> None:
    """However many knock with tokens that are no good, and stay: their places are others'."""
    limits = {"max_connections": 1, "max_connections_per_address": 1, "close_timeout_s": 30.0, "max_refused": 3}
    server = await serve(server=limits)
    knocking = [await RawSocket.open(server.address, STREAM, "nonsense") for _ in range(3)]
    for stranger in knocking:
        assert await stranger.closing() == (1008, "Invalid or expired token")
    stays = await raw(server)
    assert (await stays.message())["type"] == "connected"

    # So many are waited for until they have read why. One more is cut, and all the others are still there.
    one_too_many = await RawSocket.open(server.address, STREAM, "nonsense")
    await one_too_many.within(5.0)
    assert one_too_many.at_end()
    assert not any(stranger.at_end() for stranger in knocking)
    for connection in (*knocking, one_too_many, stays):
        connection.cut()


# -- whatever way a socket ends --------------------------------------------------------------------------------------


async def leaves(socket: RawSocket, _server: Server) -> None:
    socket.write(frame(CLOSE, b"\x03\xe8"))
    await socket.closing()


async def goes_without_a_word(socket: RawSocket, _server: Server) -> None:
    socket.cut()


async def breaks_the_rules(socket: RawSocket, _server: Server) -> None:
    socket.write(frame(BINARY, b"x" * 10_000))
    await socket.closing()
    await socket.close()


async def is_no_websocket_any_more(socket: RawSocket, _server: Server) -> None:
    socket.write(b"GET / HTTP/1.1\r\n\r\n")
    await socket.closing()
    await socket.close()


async def does_not_close(socket: RawSocket, _server: Server) -> None:
    """After which it is cut by us."""
    socket.write(frame(BINARY, b""))
    await socket.closing()


async def loses_its_token(socket: RawSocket, server: Server) -> None:
    """And gets it back, for the next round."""
    known = server.parts.catalog.current
    server.parts.catalog.current = replace(known, tokens={})
    assert await socket.closing() == (1008, "Token has been revoked")
    server.parts.catalog.current = known
    await socket.close()


Ending = Callable[[RawSocket, Server], Awaitable[None]]
ENDS: list[Ending] = [
    leaves,
    goes_without_a_word,
    breaks_the_rules,
    is_no_websocket_any_more,
    does_not_close,
    loses_its_token,
]


@pytest.mark.promise("S6")
@pytest.mark.parametrize("path", SOCKETS)
async def test_a_place_is_given_back_whatever_way_a_socket_ends(serve: Serve, path: str) -> None:
    server = await serve(server={"max_connections": 1, "close_timeout_s": 0.3})
    async with AsyncExitStack() as stack:
        for end in ENDS * 2:
            socket = await stack.enter_async_context(await one_that_is_let_in(server, path))
            await end(socket, server)
        await stack.enter_async_context(await one_that_is_let_in(server, path))


async def one_that_is_let_in(server: Server, path: str) -> RawSocket:
    """As soon as there is room."""
    for _ in range(200):
        socket = await raw(server, path)
        socket.write(frame(TEXT, b"{") + frame(PING, b"?"))
        opcode, payload = await socket.receive()
        while opcode == TEXT:
            opcode, payload = await socket.receive()
        if opcode == PONG:
            return socket
        assert payload[2:] == TOO_MANY.encode()
        await socket.within(0.05)
        socket.cut()
    raise AssertionError("there is no room any more")


async def test_a_fault_of_ours_gives_the_place_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(server={"max_connections": 1})

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "_send_newest", broken)
        for _ in range(3):
            socket = await RawSocket.open(
                server.address, f"{STREAM}?snapshot=1&token={server.plant.tokens[Role.VIEWER]}"
            )
            assert await socket.closing() in {(1011, "Internal error"), (1013, TOO_MANY)}
            await socket.close()
    (await one_that_is_let_in(server, STREAM)).cut()
