"""How the server ends a connection: to whom, when, and with which words.

Protocol decisions, "Authentication" (live sockets) and "Closing".
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.handlers.conftest import Serve
from tests.outage import Outage
from tests.plant import Newcomer, Server, now_us
from tests.rawsocket import PING, PONG, TEXT, RawSocket, frame
from tests.wire import (
    SOCKETS,
    STREAM,
    TELEMETRY,
    acknowledged,
    claims_of,
    connect,
    ending,
    heard,
    points,
    signed,
    until,
)
from webmacs.catalog import Snapshot
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.frames import text_frame
from webmacs.handlers import stream as stream_handler
from webmacs.hub import CONTROLLER, FRONTEND
from webmacs.model import Role, Write
from webmacs.storage import accounts
from webmacs.storage.base import Storage

WITHIN_S = 1.0
STOPPING = (1001, "Server is stopping")

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


@pytest.fixture
async def elsewhere(server: Server) -> AsyncIterator[Storage]:
    """The same storage, opened by another process, as `webmacs user` and `webmacs token` do."""
    other = load_storage(server.settings)
    await other.open()
    yield other
    await other.close()


async def leaves(server: Server, token: str, path: str, change: Callable[[], Awaitable[object]]) -> tuple[int, str]:
    """How a live socket is closed by a change, which takes no longer than a second; one of somebody else stays."""
    bystander = await server.stream(Role.VIEWER)
    socket = await connect(server, path, token)
    await until(lambda: server.parts.hub.size(CONTROLLER) + server.parts.hub.size(FRONTEND) == 2)
    await change()
    changed = time.monotonic()
    end = await ending(socket)
    assert time.monotonic() - changed < WITHIN_S
    await bystander.send_json({"type": "ping"})
    assert await heard(bystander) == {"type": "pong"}
    return end


async def set_role(storage: Storage, account: Newcomer, role: Role) -> None:
    await storage.write(
        Write("UPDATE users SET role = :role WHERE id = :id", ({"role": role.value, "id": account.id},))
    )


async def stuck_browser(server: Server) -> tuple[RawSocket, int]:
    """An administrator's browser that does not read, and how many bytes were sent to it: more than the kernel takes."""
    stuck = await RawSocket.open(server.address, STREAM, server.plant.tokens[Role.ADMIN])
    assert (await stuck.message())["type"] == "connected"
    stuck.pause()
    (client,) = (client for client in server.parts.hub.clients() if client.identity.user.role is Role.ADMIN)
    sent, filler = 0, text_frame(b" " * 100_000)
    while client.transport.get_write_buffer_size() < 1_000_000:
        client.write(filler)
        sent += len(filler)
    return stuck, sent


# -- live sockets ----------------------------------------------------------------------------------------------


@on_both_sockets
async def test_logging_out_closes_the_sockets_of_the_session(server: Server, path: str) -> None:
    jwt = await server.login(Role.OPERATOR)

    async def log_out() -> None:
        url, headers = f"{server.address}/api/v1/auth/logout", {"Authorization": f"Bearer {jwt}"}
        async with server.client.post(url, headers=headers) as response:
            assert response.status == 200

    assert await leaves(server, jwt, path, log_out) == (1008, "Token has been revoked")


async def test_logging_out_leaves_the_other_sessions_of_the_user_alone(server: Server) -> None:
    first, second = await server.login(Role.OPERATOR), await server.login(Role.OPERATOR)
    socket = await connect(server, TELEMETRY, second)
    url, headers = f"{server.address}/api/v1/auth/logout", {"Authorization": f"Bearer {first}"}
    async with server.client.post(url, headers=headers) as response:
        assert response.status == 200
    assert (await acknowledged(socket, {"datapoints": [server.reading()], "batch_id": "one"}))["accepted"] == 1


async def test_a_log_out_that_could_not_be_read_back_is_made_up_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    jwt = await server.login(Role.OPERATOR)
    socket = await connect(server, TELEMETRY, jwt)
    fetch, away = server.parts.catalog._fetch, asyncio.Event()
    away.set()

    async def failing() -> Snapshot:
        if away.is_set():
            raise StorageUnavailable("away, as told by the test")
        return await fetch()

    monkeypatch.setattr(server.parts.catalog, "_fetch", failing)
    url, headers = f"{server.address}/api/v1/auth/logout", {"Authorization": f"Bearer {jwt}"}
    async with server.client.post(url, headers=headers) as response:
        assert response.status == 503
    away.clear()
    assert await ending(socket) == (1008, "Token has been revoked")


@pytest.mark.promise("S2")
@on_both_sockets
async def test_logging_out_elsewhere_closes_them_too(server: Server, elsewhere: Storage, path: str) -> None:
    owner = await server.newcomer()
    claims = claims_of(server, owner.public_id)
    end = await leaves(
        server, signed(claims), path, lambda: accounts.revoke(elsewhere, claims["jti"], now_us() + 10**9, now_us())
    )
    assert end == (1008, "Token has been revoked")


@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_deleted_api_token(server: Server, elsewhere: Storage, path: str) -> None:
    owner = await server.newcomer()
    end = await leaves(server, owner.api_token, path, lambda: accounts.remove_token(elsewhere, owner.api_token_id))
    assert end == (1008, "Token has been revoked")


@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_changed_password(server: Server, elsewhere: Storage, path: str) -> None:
    owner = await server.newcomer()
    end = await leaves(server, owner.jwt, path, lambda: accounts.set_password(elsewhere, owner.id, "another hash"))
    assert end == (1008, "Token has been revoked")


@pytest.mark.promise("S2")
@on_both_sockets
@pytest.mark.parametrize("credential", ["jwt", "api_token"])
async def test_a_deleted_user(server: Server, elsewhere: Storage, path: str, credential: str) -> None:
    owner = await server.newcomer()
    token: str = getattr(owner, credential)
    end = await leaves(server, token, path, lambda: accounts.remove_user(elsewhere, owner.id))
    assert end == (1008, "User not found")


@pytest.mark.promise("S3")
@pytest.mark.parametrize("credential", ["jwt", "api_token"])
async def test_a_lost_role(server: Server, elsewhere: Storage, credential: str) -> None:
    owner = await server.newcomer()
    token: str = getattr(owner, credential)
    end = await leaves(server, token, TELEMETRY, lambda: set_role(elsewhere, owner, Role.VIEWER))
    assert end == (1008, "Insufficient permissions")


async def test_a_role_that_is_still_enough_keeps_the_socket(server: Server, elsewhere: Storage) -> None:
    owner = await server.newcomer(Role.ADMIN)
    controller, browser = await connect(server, TELEMETRY, owner.jwt), await connect(server, STREAM, owner.jwt)
    await set_role(elsewhere, owner, Role.OPERATOR)
    await until(lambda: server.parts.catalog.current.users[owner.public_id].role is Role.OPERATOR)
    assert (await acknowledged(controller, {"datapoints": [server.reading()], "batch_id": "one"}))["accepted"] == 1
    await set_role(elsewhere, owner, Role.VIEWER)
    assert await ending(controller) == (1008, "Insufficient permissions")
    await browser.send_json({"type": "ping"})
    while (await heard(browser))["type"] != "pong":
        continue


@on_both_sockets
async def test_an_expired_session(server: Server, path: str) -> None:
    owner = await server.newcomer()
    expires = now_us() / 1e6 + 0.3
    socket = await connect(server, path, signed(claims_of(server, owner.public_id, exp=expires)))
    assert await ending(socket) == (1008, "Invalid or expired token")
    assert expires <= now_us() / 1e6 < expires + WITHIN_S


@on_both_sockets
async def test_the_lifetime_of_a_session_is_a_setting(serve: Serve, path: str) -> None:
    server = await serve(auth={"token_lifetime_s": 0.01})  # a whole second at the most
    socket = await connect(server, path, await server.login(Role.OPERATOR))
    assert await ending(socket) == (1008, "Invalid or expired token")


async def test_one_who_is_still_sending_hears_why(server: Server) -> None:
    owner = await server.newcomer()
    message = frame(TEXT, json.dumps({"datapoints": [server.reading()] * 400}).encode())
    async with await RawSocket.open(server.address, TELEMETRY, owner.jwt) as socket:

        async def flood() -> None:
            while True:
                socket.write(message)
                await socket.drain()

        flooding = asyncio.create_task(flood())
        await until(lambda: b"webmacs_readings_stored_total 0.0" not in server.parts.metrics.text())
        await accounts.set_password(server.parts.storage, owner.id, "another hash")
        await server.parts.catalog.reload()
        assert await socket.closing() == (1008, "Token has been revoked")
        flooding.cancel()
        await asyncio.wait([flooding])


async def test_one_who_goes_on_sending_before_reading_hears_why(server: Server) -> None:
    owner = await server.newcomer()
    async with await RawSocket.open(server.address, TELEMETRY, owner.jwt) as socket:
        await until(lambda: server.parts.hub.size(CONTROLLER) == 1)
        await accounts.set_password(server.parts.storage, owner.id, "another hash")
        await server.parts.catalog.reload()
        for _ in range(200):
            socket.write(frame(TEXT, b"x" * 100_000))  # more than any buffer on the way holds
            await socket.drain()
        assert await socket.closing() == (1008, "Token has been revoked")


async def test_one_who_was_not_read_for_long_hears_why(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline={"queue_rows": 10, "overload_timeout_s": 60.0})
    outage = Outage(server.parts.storage, monkeypatch)
    owner = await server.newcomer()
    message = frame(TEXT, json.dumps({"datapoints": [server.reading()] * 400}).encode())
    with outage.held():
        async with await RawSocket.open(server.address, TELEMETRY, owner.jwt) as socket:
            for _ in range(500):  # 20 MB, so that the server has stopped reading in the middle
                socket.write(message)
            await accounts.set_password(server.parts.storage, owner.id, "another hash")
            await server.parts.catalog.reload()
            async with asyncio.timeout(5):
                await socket.drain()
            assert await socket.closing() == (1008, "Token has been revoked")


async def test_nothing_follows_a_close_frame(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await server.newcomer()
    other, controller = await server.stream(), await server.telemetry()
    async with await RawSocket.open(server.address, STREAM, owner.jwt) as socket:
        assert (await socket.message())["type"] == "connected"
        await accounts.set_password(server.parts.storage, owner.id, "another hash")
        await server.parts.catalog.reload()
        await controller.send_json({"datapoints": [server.reading()]})
        assert [point["value"] for point in await points(other)] == [1.0]
        assert await socket.closing() == (1008, "Token has been revoked")
        assert await socket.ended() == b""


async def test_nothing_of_what_is_sent_afterwards_is_taken(server: Server) -> None:
    owner = await server.newcomer()
    async with await RawSocket.open(server.address, TELEMETRY, owner.jwt) as socket:
        await until(lambda: server.parts.hub.size(CONTROLLER) == 1)
        await accounts.set_password(server.parts.storage, owner.id, "another hash")
        await server.parts.catalog.reload()
        socket.write(frame(TEXT, json.dumps({"datapoints": [server.reading()]}).encode()))
        assert await socket.closing() == (1008, "Token has been revoked")
        assert await socket.ended() == b""
    assert await server.parts.storage.count() == 0


# -- stopping --------------------------------------------------------------------------------------------------


async def test_all_are_told_at_once_that_the_server_stops(server: Server) -> None:
    sockets = [*[await server.telemetry() for _ in range(10)], *[await server.stream() for _ in range(40)]]
    begin = time.monotonic()
    stopping = asyncio.create_task(server.stop())
    assert await asyncio.gather(*(ending(socket) for socket in sockets)) == [STOPPING] * 50
    await stopping
    assert time.monotonic() - begin < 2.0


async def test_what_is_queued_is_committed_shown_and_acknowledged_before(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(server.parts.storage, monkeypatch)
    stored = 0
    stream = await server.stream()
    async with await RawSocket.open(server.address, TELEMETRY, server.plant.tokens[Role.OPERATOR]) as socket:
        with outage.held():
            for number in range(20):
                batch = {"datapoints": [server.reading(float(number))], "batch_id": str(number)}
                socket.write(frame(TEXT, json.dumps(batch).encode()))
            socket.write(frame(PING))
            assert await socket.receive() == (PONG, b"")
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0.05)
        for number in range(20):
            answer = await socket.message()
            assert (answer["batch_id"], answer["accepted"]) == (str(number), 1)
            stored += answer["accepted"]
        assert await socket.closing() == STOPPING
    assert stored == 20
    seen = []
    while 19.0 not in seen:
        seen += [point["value"] for point in await points(stream)]
    assert await ending(stream) == STOPPING
    await stopping


async def test_a_value_that_waits_for_its_window_is_shown_before(serve: Serve) -> None:
    server = await serve(stages={"broadcast": {"interval_s": 60.0}})
    stream, socket = await server.stream(), await server.telemetry()
    await acknowledged(socket, {"datapoints": [server.reading(1.0)], "batch_id": "first"})
    assert [point["value"] for point in await points(stream)] == [1.0]
    await acknowledged(socket, {"datapoints": [server.reading(2.0)], "batch_id": "second"})
    stopping = asyncio.create_task(server.stop())
    assert [point["value"] for point in await points(stream)] == [2.0]
    assert await ending(stream) == STOPPING
    await ending(socket)
    await stopping


async def test_what_cannot_be_stored_any_more_is_given_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(server={"shutdown_timeout_s": 0.4})
    outage = Outage(server.parts.storage, monkeypatch)
    socket = await server.telemetry()
    with outage():
        await socket.send_json({"datapoints": [server.reading()], "batch_id": "being stored"})
        await until(lambda: outage.refused > 0)
        await socket.send_json({"datapoints": [server.reading()], "batch_id": "waiting"})
        stopping = asyncio.create_task(server.stop())
        assert await heard(socket) == {
            "type": "error",
            "message": "Storage unavailable, batch not stored",
            "batch_id": "waiting",
            "retry": True,
        }
        assert await ending(socket) == STOPPING
        await stopping


async def test_those_who_do_not_read_are_cut_at_the_deadline(serve: Serve) -> None:
    server = await serve(server={"shutdown_timeout_s": 4.0, "client_deadline_s": 60.0})
    healthy = await server.stream()
    stuck, sent = await stuck_browser(server)
    async with stuck:
        begin = time.monotonic()
        stopping = asyncio.create_task(server.stop())
        assert await ending(healthy) == STOPPING
        assert time.monotonic() - begin < 3.0
        await stopping
        assert time.monotonic() - begin < 10.0
        stuck.resume()
        assert len(await stuck.within(5.0)) < sent  # what the kernel had taken, and no more
    assert not list(server.parts.hub.clients())


async def test_nobody_is_let_in_any_more(server: Server) -> None:
    await server.stop()
    with pytest.raises(OSError, match="Connect"):
        await RawSocket.connect(server.address)


async def test_a_request_that_waits_for_its_commit_is_answered(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(server.parts.storage, monkeypatch)
    url = f"{server.address}/api/v1/datapoints"
    with outage.held():
        answering = asyncio.create_task(
            server.client.post(url, json=server.reading(), headers=server.headers(Role.OPERATOR))
        )
        await until(lambda: b"webmacs_queue_rows 1.0" in server.parts.metrics.text())
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
    assert (await answering).status == 201
    await stopping


# -- other ends ------------------------------------------------------------------------------------------------


@on_both_sockets
async def test_a_client_that_leaves_is_answered_in_kind(serve: Serve, path: str) -> None:
    server = await serve(server={"close_timeout_s": 10.0})
    async with await RawSocket.open(server.address, path, server.plant.tokens[Role.OPERATOR]) as socket:
        if path == STREAM:
            await socket.message()
        begin = time.monotonic()
        socket.write(frame(0x8, b"\x03\xe8bye"))
        assert await socket.closing() == (1000, "")
        assert await socket.ended() == b""
        assert time.monotonic() - begin < 5.0


async def test_what_was_sent_before_leaving_is_stored(server: Server) -> None:
    socket = await server.telemetry()
    for number in range(100):
        await socket.send_json({"datapoints": [server.reading(float(number))]})
    await socket.close()
    await until(lambda: b"webmacs_readings_stored_total 100.0" in server.parts.metrics.text())


async def test_our_own_fault_is_1011(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_text: str) -> bool:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(stream_handler, "is_ping", broken)
    stream = await server.stream()
    with caplog.at_level(logging.ERROR):
        await stream.send_json({"type": "ping"})
        assert await ending(stream) == (1011, "Internal error")
    assert "a fault" in caplog.text
    assert server.plant.tokens[Role.VIEWER] not in caplog.text
    await until(lambda: server.parts.hub.size(FRONTEND) == 0)
    assert [record.name for record in caplog.records] == ["webmacs.handlers.sockets"]


async def test_a_browser_that_takes_nothing_is_cut_and_the_others_are_not(serve: Serve) -> None:
    server = await serve(
        server={"client_buffer_bytes": 1000, "client_deadline_s": 0.3, "close_timeout_s": 0.5},
        stages={"broadcast": {"interval_s": 0}},
    )
    healthy, controller = await server.stream(), await server.telemetry()
    stuck, _ = await stuck_browser(server)
    async with stuck:
        begin, number = time.monotonic(), 0.0
        while server.parts.hub.size(FRONTEND) == 2:
            assert time.monotonic() - begin < 3.0
            number += 1
            await controller.send_json({"datapoints": [server.reading(number)]})
            assert [point["value"] for point in await points(healthy)] == [number]
