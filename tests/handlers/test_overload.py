"""The storage is away or too slow: what senders notice, and when.

Protocol decisions, "storage down or queue full" and "HTTP ingestion".
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.outage import Outage
from tests.plant import Server
from tests.rawsocket import PING, PONG, TEXT, RawSocket, frame
from tests.wire import TELEMETRY, acknowledged, heard, history, until
from webmacs import health as health_handler
from webmacs.errors import StorageUnavailable
from webmacs.model import Role

NOT_STORED = {"type": "error", "message": "Storage unavailable, batch not stored"}
PATIENCE_S = 0.3
SMALL = {"queue_rows": 10, "overload_timeout_s": PATIENCE_S, "max_retry_delay_s": 0.05}


def batch(server: Server, size: int = 1, value: float = 1.0, **more: object) -> dict[str, Any]:
    return {"datapoints": [server.reading(value)] * size, **more}


def message(server: Server, size: int = 1, value: float = 1.0, **more: object) -> bytes:
    return frame(TEXT, json.dumps(batch(server, size, value, **more)).encode())


async def raw(server: Server) -> RawSocket:
    return await RawSocket.open(server.address, TELEMETRY, server.plant.tokens[Role.OPERATOR])


async def health(server: Server) -> dict[str, Any]:
    async with server.client.get(f"{server.address}/health") as response:
        found: dict[str, Any] = await response.json()
        return found


async def test_a_full_queue_is_back_pressure_at_first(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    async with await raw(server) as socket:
        with outage():
            socket.write(message(server, 10) + frame(PING, b"queued"))
            assert await socket.receive() == (PONG, b"queued")
            socket.write(message(server, 5) + frame(PING, b"not read yet"))
            begin = time.monotonic()
            assert await socket.message() == NOT_STORED
            assert PATIENCE_S * 0.9 <= time.monotonic() - begin < PATIENCE_S + 1
            assert await socket.receive() == (PONG, b"not read yet")


async def test_room_that_comes_in_time_is_no_error(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline={**SMALL, "overload_timeout_s": 5.0})
    outage = Outage(server.parts.storage, monkeypatch)
    async with await raw(server) as socket:
        with outage():
            socket.write(message(server, 10) + message(server, 5, 2.0, batch_id="waited"))
            await until(lambda: outage.refused > 3)
        assert (await socket.message())["accepted"] == 5
    assert await server.parts.storage.count() == 15


async def test_without_batch_id_there_is_one_error_an_outage_and_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    async with await raw(server) as first, await raw(server) as second:
        with outage():
            first.write(message(server, 10) + message(server) * 20 + frame(PING))
            assert await first.message() == NOT_STORED
            assert await first.receive() == (PONG, b"")
            second.write(message(server) * 20 + frame(PING))
            assert await second.message() == NOT_STORED
            assert await second.receive() == (PONG, b"")


async def test_a_second_outage_is_said_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    async with await raw(server) as socket:
        for number in range(2):
            with outage():
                socket.write(message(server, 10) + message(server) + message(server))
                assert await socket.message() == NOT_STORED
            await until(lambda: server.parts.pipeline.healthy)
            socket.write(message(server, batch_id=str(number)))
            assert (await socket.message())["accepted"] == 1


async def test_with_batch_id_each_is_answered_at_once_and_can_be_sent_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    async with await raw(server) as socket:
        with outage():
            socket.write(message(server, 10))
            socket.write(message(server, batch_id="first"))
            assert await socket.message() == {**NOT_STORED, "batch_id": "first", "retry": True}
            begin = time.monotonic()
            for number in range(10):
                socket.write(message(server, batch_id=str(number)))
                assert await socket.message() == {**NOT_STORED, "batch_id": str(number), "retry": True}
            assert time.monotonic() - begin < PATIENCE_S
        await until(lambda: server.parts.pipeline.healthy)
        for number in range(10):
            socket.write(message(server, batch_id=str(number)))
            answer = await socket.message()
            assert (answer["batch_id"], answer["accepted"], "duplicate" in answer) == (str(number), 1, False)
    assert await server.parts.storage.count() == 20


async def test_what_was_queued_before_is_stored_in_order_when_the_storage_is_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(pipeline={**SMALL, "queue_rows": 1000})
    outage = Outage(server.parts.storage, monkeypatch)
    socket = await server.telemetry()
    with outage():
        for number in range(100):
            await socket.send_json(batch(server, 1, float(number), batch_id=str(number)))
        await until(lambda: outage.refused > 3)
    for number in range(100):
        assert (await heard(socket))["batch_id"] == str(number)
    stored = await history(server)
    assert [datapoint.value for datapoint in stored] == [float(number) for number in range(100)]
    assert [datapoint.id for datapoint in stored] == sorted(datapoint.id for datapoint in stored)


async def test_health_says_so_and_stays_200(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    socket = await server.telemetry()
    assert (await health(server))["status"] == "ok"
    with outage():
        await socket.send_json(batch(server))
        await until(lambda: outage.refused > 0)
        assert (await health(server))["status"] == "degraded"
    await until(lambda: server.parts.pipeline.healthy)
    assert (await health(server))["status"] == "ok"


async def test_health_says_when_the_database_cannot_be_reached(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()

    async def away() -> None:
        raise StorageUnavailable("away, as told by the test")

    monkeypatch.setattr(server.parts.storage, "ping", away)
    found = await health(server)
    assert (found["status"], found["database"]) == ("degraded", "error")


async def test_health_does_not_wait_for_a_database_that_says_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    monkeypatch.setattr(health_handler, "PING_TIMEOUT_S", 0.05)
    monkeypatch.setattr(server.parts.storage, "ping", lambda: asyncio.sleep(3600))
    found = await health(server)
    assert (found["status"], found["database"]) == ("degraded", "error")


async def test_the_stream_and_the_latest_values_go_on_without_a_storage(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    await acknowledged(await server.telemetry(), batch(server, batch_id="one"))
    with outage.held():
        stream = await server.stream(query={"snapshot": "1"})
        assert (await heard(stream))["datapoints"][0]["value"] == 1.0
        url = f"{server.address}/api/v1/datapoints/latest"
        async with server.client.get(url, headers=server.headers()) as response:
            assert [point["value"] for point in await response.json()] == [1.0]


# -- HTTP ------------------------------------------------------------------------------------------------------


async def post(server: Server, path: str, body: object) -> tuple[int, dict[str, str], Any]:
    url = f"{server.address}/api/v1/datapoints{path}"
    async with server.client.post(url, json=body, headers=server.headers(Role.OPERATOR)) as response:
        return response.status, dict(response.headers), await response.json()


async def test_over_http_it_is_503_with_retry_after_in_seconds(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    with outage():
        await (await server.telemetry()).send_json(batch(server, 10))
        await until(lambda: outage.refused > 0)
        for path, body in (("", server.reading()), ("/batch", batch(server))):
            status, headers, answer = await post(server, path, body)
            assert (status, answer) == (503, {"detail": "Storage unavailable, batch not stored"})
            assert float(headers["Retry-After"]) > 0
            assert headers["Retry-After"].isdigit()


async def test_a_batch_that_was_answered_503_not_stored_is_never_stored(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(pipeline={**SMALL, "queue_rows": 1000})
    outage = Outage(server.parts.storage, monkeypatch)
    with outage.held():
        await (await server.telemetry()).send_json(batch(server, value=1.0))
        await until(lambda: b"webmacs_queue_rows 1.0" in server.parts.metrics.text())
        status, _, answer = await post(server, "", server.reading(2.0))
        assert (status, answer) == (503, {"detail": "Storage unavailable, batch not stored"})
    await acknowledged(await server.telemetry(), batch(server, value=3.0, batch_id="after it"))
    assert [datapoint.value for datapoint in await history(server)] == [1.0, 3.0]


async def test_one_that_is_being_stored_says_that_nobody_knows(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(pipeline=SMALL)
    outage = Outage(server.parts.storage, monkeypatch)
    body = batch(server, batch_id="one")
    with outage.held():
        status, _, answer = await post(server, "/batch", body)
        assert status == 503
        assert answer["detail"].startswith("Storage unavailable, batch not confirmed")
    status, _, answer = await post(server, "/batch", body)
    assert (status, answer["duplicate"], answer["accepted"]) == (201, True, 1)
    assert await server.parts.storage.count() == 1
