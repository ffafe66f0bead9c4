"""However many live sockets a credential has: with it they all end, and everybody else's go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.handlers.conftest import Serve
from tests.plant import Newcomer, Server
from tests.promises import LONG, Figure
from tests.wire import STREAM, TELEMETRY, call, connect, ending
from webmacs.model import Role

Deed = Callable[[Server, Newcomer], Awaitable[None]]
SOCKETS_EACH = 200 if LONG else 30


async def removed(server: Server, owner: Newcomer) -> None:
    """By an administrator."""
    path = f"/api/v1/users/{owner.public_id}"
    assert (await call(server, "DELETE", path, server.plant.tokens[Role.ADMIN])).status == 200


async def logged_out(server: Server, owner: Newcomer) -> None:
    assert (await call(server, "POST", "/api/v1/auth/logout", owner.jwt)).status == 200


@pytest.mark.promise("S2", "S3")
@pytest.mark.parametrize(
    ("deed", "reason"), [(removed, "User not found"), (logged_out, "Token has been revoked")], ids=["user", "session"]
)
async def test_all_sockets_of_who_is_out_end_within_a_second(
    serve: Serve, deed: Deed, reason: str, figure: Figure
) -> None:
    server = await serve()
    owner, other = await server.newcomer(), await server.newcomer()
    sockets = [await connect(server, path, owner.jwt) for path in (STREAM, TELEMETRY) for _ in range(SOCKETS_EACH)]
    stays = await connect(server, STREAM, other.jwt)
    begin = time.perf_counter()
    await deed(server, owner)
    said = await asyncio.gather(*(ending(socket) for socket in sockets))
    took = time.perf_counter() - begin
    assert set(said) == {(1008, reason)}
    await stays.send_json({"type": "ping"})
    assert [(await stays.receive_json(timeout=5))["type"] for _ in range(2)] == ["connected", "pong"]
    assert took < 5.0  # a second, on a machine that has nothing else to do
    kind = server.settings.storage.url.partition(":")[0]
    figure(
        f"{kind}: {len(sockets)} live sockets of one {'user' if deed is removed else 'session'} closed in {took:.2f} s"
    )
