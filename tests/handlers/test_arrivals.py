"""Connections on which nothing is said, or HTTP: how many there may be, and that each place is given back."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.handlers.conftest import Serve
from tests.plant import Server
from tests.promises import LONG, Figure
from tests.rawsocket import RawSocket, exchange
from tests.wire import SOCKETS, STREAM, call
from webmacs.model import Role

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
PROXY = {"trusted_proxies": ["127.0.0.0/8"]}
LIMIT = 20


def refused(server: Server) -> float:
    return server.parts.metrics.counter("connections_refused", "").value


async def held(server: Server, stack: AsyncExitStack, count: int) -> list[RawSocket]:
    """So many connections, of which the server knows."""
    connections = [await stack.enter_async_context(await RawSocket.connect(server.address)) for _ in range(count)]
    await known(server, count)
    return connections


async def known(server: Server, count: int) -> None:
    """Wait until the server has so many connections; its own client's is none of them."""
    async with asyncio.timeout(10):
        while taken(server) != count:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


def taken(server: Server) -> float:
    (line,) = [
        line for line in server.parts.metrics.text().decode().splitlines() if line.startswith("webmacs_connections ")
    ]
    return float(line.split()[1])


async def let_in(server: Server) -> RawSocket | None:
    """A connection on which a request is answered; None when it is cut."""
    connection = await RawSocket.connect(server.address)
    connection.write(HEALTH)
    try:
        assert (await connection.answer()).status == 200
    except (asyncio.IncompleteReadError, ConnectionError):
        connection.cut()
        return None
    return connection


@pytest.mark.promise("S6")
async def test_silent_connections_of_one_address_are_bounded_and_the_places_come_back(
    serve: Serve, figure: Figure
) -> None:
    server = await serve(server={"max_http_connections_per_address": LIMIT})
    async with AsyncExitStack() as stack:
        silent = await held(server, stack, LIMIT)
        begin = time.perf_counter()
        strangers = 2_000 if LONG else 100
        for _ in range(strangers):
            async with await RawSocket.connect(server.address) as one_too_many:
                assert await one_too_many.within(5.0) == b""
                assert one_too_many.at_end()
        each_ms = (time.perf_counter() - begin) / strangers * 1000
        assert refused(server) == strangers
        assert not any(connection.at_end() for connection in silent)
        for connection in silent:
            connection.cut()
        await known(server, 0)
        again = await let_in(server)
        assert again is not None
        again.cut()
    kind = server.settings.storage.url.partition(":")[0]
    figure(f"{kind}: {strangers} connections too many from one address, each cut within {each_ms:.1f} ms")


@pytest.mark.promise("S6")
async def test_all_connections_together_are_bounded_those_of_a_proxy_too(serve: Serve) -> None:
    server = await serve(server={**PROXY, "max_http_connections": LIMIT, "max_http_connections_per_address": 1})
    async with AsyncExitStack() as stack:
        silent = await held(server, stack, LIMIT)  # a proxy's are many people's
        assert await let_in(server) is None
        silent[0].cut()
        await known(server, LIMIT - 1)
        again = await let_in(server)
        assert again is not None
        again.cut()


@pytest.mark.promise("S6")
@pytest.mark.parametrize("path", SOCKETS)
async def test_a_socket_that_is_open_takes_no_place_of_those_who_arrive(serve: Serve, path: str) -> None:
    server = await serve(server={"max_http_connections_per_address": 1})
    async with AsyncExitStack() as stack:
        for _ in range(5):
            socket = await RawSocket.open(server.address, path, server.plant.tokens[Role.OPERATOR])
            await stack.enter_async_context(socket)
            await known(server, 0)
    await known(server, 0)  # and none is given back twice
    again = await let_in(server)
    assert again is not None
    assert await let_in(server) is None
    again.cut()


@pytest.mark.promise("S6")
async def test_a_place_is_given_back_whatever_way_a_connection_ends(serve: Serve) -> None:
    server = await serve(server={"idle_timeout_s": 0.3})
    upgrade = f"GET {STREAM} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
    login = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{"
    for said in (b"", b"GET /heal", b"nonsense\r\n\r\n", HEALTH, HEALTH * 40, login, upgrade):
        for answered in (True, False):
            connection = await RawSocket.connect(server.address)
            connection.write(said)
            await connection.drain()
            if answered:  # or cut when its time is over
                await connection.within(0.5)
            connection.cut()
    assert (await exchange(server.address, HEALTH)).status == 200  # all of them have been accepted by then
    await known(server, 0)


@pytest.mark.promise("S6")
async def test_sockets_that_are_open_go_on_while_a_stranger_takes_all_places(serve: Serve) -> None:
    server = await serve(server={"max_http_connections_per_address": LIMIT})
    stream = await server.stream()
    client = await call(server, "GET", "/health")
    assert client.status == 200  # a connection that is kept
    async with AsyncExitStack() as stack:
        for _ in range(2 * LIMIT):
            await stack.enter_async_context(await RawSocket.connect(server.address))
        await known(server, LIMIT)
        await stream.send_json({"type": "ping"})
        assert await stream.receive_json(timeout=5) == {"type": "pong"}
        assert (await call(server, "GET", "/health")).status == 200
