"""What never becomes a request: answered as every error is, and one line in the log that repeats nothing."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import pytest
from aiohttp import web

from tests.plant import Server, furnished_server
from tests.rawsocket import RawSocket, exchange
from webmacs.handlers.front import MAX_LINE_BYTES
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"GET /health HTTP/1.1\r\nHost: a\r\n"
CANARY = b"canary"
MALFORMED = {
    "a request line of 40 KB": b"GET /health?token=" + CANARY * 7_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header of 40 KB": HEAD + b"Authorization: Bearer " + CANARY * 7_000 + b"\r\n\r\n",
    "a header name of 40 KB": HEAD + CANARY * 7_000 + b": a\r\n\r\n",
    "a thousand headers": HEAD + b"".join(CANARY + b"%d: a\r\n" % number for number in range(1000)) + b"\r\n",
    "a header without a colon": HEAD + CANARY + b"\r\n\r\n",
    "a header with a space in its name": HEAD + b"can ary: canary\r\n\r\n",
    "a header with a NUL": HEAD + b"X-A: " + CANARY + b"\x00\r\n\r\n",
    "a header with a lone line break": HEAD + b"X-A: " + CANARY + b"\rX-B: b\r\n\r\n",
    "a folded header": HEAD + b"X-A: a\r\n " + CANARY + b"\r\n\r\n",
    "two hosts": HEAD + b"Host: " + CANARY + b"\r\n\r\n",
    "no HTTP": CANARY + b"\r\n\r\n",
    "an empty method": b" /" + CANARY + b" HTTP/1.1\r\n\r\n",
    "a method that is none": b"G@T /" + CANARY + b" HTTP/1.1\r\n\r\n",
    "a version that is none": b"GET /" + CANARY + b" HTTP/9.9.9\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY,
    "a length that is none": HEAD + b"Content-Length: " + CANARY + b"\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a transfer encoding that is none": HEAD + b"Transfer-Encoding: " + CANARY + b"\r\n\r\n",
    "a host that is none": b"GET http://[canary/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a port that is none": b"GET http://a:canary/ HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.promise("B11")
@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_400_in_json_and_one_line_in_the_log(
    shared: Server, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with await RawSocket.connect(shared.address) as connection:
            connection.write(request_)
            answer = await connection.answer()
            assert await connection.ended() == b""
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})
    assert uuid.UUID(answer.headers["x-request-id"]).version == 4
    assert answer.headers["cache-control"] == "no-store"
    assert "canary" not in str(answer)
    (record,) = [record for record in caplog.records if record.name.startswith(("webmacs", "aiohttp"))]
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    assert "canary" not in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_a_connection_may_go_wrong_later(shared: Server) -> None:
    async with await RawSocket.connect(shared.address) as connection:
        for request, status in ((HEAD + b"\r\n", 200), (CANARY + b"\r\n\r\n", 400)):
            connection.write(request)
            assert (await connection.answer()).status == status


async def test_what_follows_a_declined_upgrade_is_judged_too(shared: Server) -> None:
    upgrade = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with await RawSocket.connect(shared.address) as connection:
        connection.write(upgrade + CANARY + b"\r\n\r\n")
        assert (await connection.answer()).status == 404
        answer = await connection.answer()
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/ws/datapoints/stream"])
async def test_an_expectation_that_nobody_meets_is_417_in_json(shared: Server, path: str) -> None:
    answer = await exchange(shared.address, f"GET {path} HTTP/1.1\r\nHost: a\r\nExpect: canary\r\n\r\n".encode())
    assert (answer.status, answer.json()) == (417, {"detail": "Expectation Failed"})
    assert answer.headers["x-request-id"]


@pytest.mark.promise("B8")
async def test_a_long_token_is_refused_by_us_with_its_reason(shared: Server) -> None:
    token = "x" * (MAX_LINE_BYTES - 1000)
    async with await RawSocket.open(shared.address, "/ws/datapoints/stream", token) as socket:
        assert await socket.closing() == (1008, "Invalid or expired token")
    request = f"GET /api/v1/auth/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    answer = await exchange(shared.address, request.encode())
    assert (answer.status, answer.json()) == (401, {"detail": "Invalid or expired token"})


async def test_what_goes_wrong_before_the_application_is_500_in_json(
    shared: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(web.UrlDispatcher, "resolve", broken)
    answer = await exchange(shared.address, HEAD + b"\r\n")
    assert (answer.status, answer.json()) == (500, {"detail": "Internal Server Error"})
    assert "a fault" in caplog.text


@pytest.mark.promise("S6")
@pytest.mark.parametrize("said", [b"", HEAD])
async def test_one_who_says_nothing_or_not_all_of_it_is_cut(said: bytes, tmp_path: Path) -> None:
    url, times = f"sqlite:///{tmp_path / 'test.db'}", {"idle_timeout_s": 0.2}
    async with furnished_server(url, tmp_path, server=times) as server:
        async with await RawSocket.connect(server.address) as connection:
            connection.write(said)
            assert await connection.ended() == b""
        stream = await server.stream(Role.VIEWER)  # which is not idle, whatever it says
        async with await RawSocket.connect(server.address) as connection:
            assert await connection.ended() == b""
        await stream.send_json({"type": "ping"})
        assert await stream.receive_json(timeout=5) == {"type": "pong"}


@pytest.mark.promise("S6")
@pytest.mark.parametrize("path", ["/ws/datapoints/stream", "/api/v1/auth/login"])
async def test_one_who_dribbles_the_head_is_cut(path: str, tmp_path: Path) -> None:
    url, times = f"sqlite:///{tmp_path / 'test.db'}", {"idle_timeout_s": 0.5}
    async with (
        furnished_server(url, tmp_path, server=times) as server,
        await RawSocket.connect(server.address) as connection,
    ):
        connection.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n".encode())
        assert await said_bit_by_bit(connection, b"X-A: a\r\n" * 1000) == b""


@pytest.mark.promise("S6")
async def test_one_who_dribbles_the_body_is_cut_with_408(tmp_path: Path) -> None:
    url, times = f"sqlite:///{tmp_path / 'test.db'}", {"body_timeout_s": 0.5}
    head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n"
    async with (
        furnished_server(url, tmp_path, server=times) as server,
        await RawSocket.connect(server.address) as connection,
    ):
        connection.write(f"{head}\r\n".encode())
        answer = await said_bit_by_bit(connection, b" " * 8999)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b'{"detail": "Request Timeout"}')


async def said_bit_by_bit(connection: RawSocket, rest: bytes) -> bytes:
    """Never pause for long, and never come to the end; what the server says to that."""
    answer = b""
    for number in range(len(rest)):
        connection.write(rest[number : number + 1])
        answer += (heard := await connection.within(0.02))
        if heard or connection.at_end():
            return answer
    raise AssertionError("the server listened to the end")
