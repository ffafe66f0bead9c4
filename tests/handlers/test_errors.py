"""Errors of every kind as one application's handlers may raise them, on a server that has nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import web

from tests.rawsocket import RawSocket, exchange
from webmacs.auth import AUTHENTICATION_REQUIRED, INSUFFICIENT, REVOKED
from webmacs.config import ServerSettings
from webmacs.errors import (
    AuthError,
    ConfigError,
    Conflict,
    InvalidMessage,
    InvalidRows,
    NotFound,
    Overloaded,
    ShuttingDown,
    StorageError,
    StorageUnavailable,
    TooOften,
    WebmacsError,
)
from webmacs.handlers.front import Runner
from webmacs.handlers.http import errors_as_json, mark
from webmacs.handlers.sockets import Socket
from webmacs.metrics import Metrics

Raises = Callable[[Exception], Awaitable[str]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[Any], Awaitable[str]]]:
    """Serves one handler; returns the address."""
    runners = []

    async def serve(handler: Any) -> str:
        app = web.Application(middlewares=[errors_as_json])
        app.on_response_prepare.append(mark)
        app.router.add_get("/", handler)
        runner = Runner(app, ServerSettings(), Metrics(), access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def raising(serving: Callable[[Any], Awaitable[str]]) -> Raises:
    """Serves a handler that raises."""

    async def serve(error: Exception) -> str:
        async def handler(_request: web.Request) -> web.Response:
            raise error

        return await serving(handler)

    return serve


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidMessage("why"), 422),
        (InvalidRows("why"), 422),
        (NotFound("why"), 404),
        (Conflict("why"), 409),
        (Overloaded("why"), 503),
        (ShuttingDown("why"), 503),
        (AuthError(REVOKED), 401),
        (AuthError(INSUFFICIENT), 403),
    ],
)
async def test_an_error_of_ours_has_its_status_and_says_why(raising: Raises, error: WebmacsError, status: int) -> None:
    answer = await exchange(await raising(error), GET)
    assert (answer.status, answer.json()) == (status, {"detail": str(error)})
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_of_a_storage_that_is_away_the_client_learns_neither_host_nor_file(
    raising: Raises, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answer = await exchange(await raising(StorageUnavailable("/var/lib/canary.db is locked")), GET)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"detail": "Storage unavailable, try again in a moment"}
    assert "/var/lib/canary.db is locked" in caplog.text


@pytest.mark.parametrize(("wait_s", "said"), [(0.001, "1"), (1.0, "1"), (1.001, "2"), (299.5, "300")])
async def test_one_who_comes_too_often_is_told_when_in_whole_seconds(raising: Raises, wait_s: float, said: str) -> None:
    answer = await exchange(await raising(TooOften("why", wait_s)), GET)
    assert (answer.status, answer.json(), answer.headers["retry-after"]) == (429, {"detail": "why"}, said)


async def test_a_missing_credential_says_which_kind_is_meant(raising: Raises) -> None:
    answer = await exchange(await raising(AuthError(AUTHENTICATION_REQUIRED)), GET)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("error", [ConfigError("canary"), StorageError("canary"), OSError("canary"), TimeoutError()])
async def test_what_has_no_status_is_500_and_the_reason_is_in_the_log_alone(
    raising: Raises, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await exchange(await raising(error), GET)
    assert (answer.status, answer.json()) == (500, {"detail": "Internal Server Error"})
    assert type(error).__name__ in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


async def test_a_connection_that_failed_elsewhere_is_our_fault_not_the_clients(raising: Raises) -> None:
    answer = await exchange(await raising(ConnectionResetError("of a database")), GET)
    assert answer.status == 500


async def test_what_aiohttp_says_of_an_error_is_not_repeated(raising: Raises) -> None:
    answer = await exchange(await raising(web.HTTPBadRequest(text="canary", headers={"X-Canary": "1"})), GET)
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})
    assert "x-canary" not in answer.headers


async def test_a_redirect_is_an_answer(raising: Raises) -> None:
    answer = await exchange(await raising(web.HTTPFound("/elsewhere")), GET)
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert answer.headers["x-request-id"]


async def test_an_answer_that_breaks_off_is_cut_not_continued_with_another(
    serving: Callable[[Any], Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of it")
        raise ZeroDivisionError("a fault")

    async with await RawSocket.connect(await serving(handler)) as connection:
        connection.write(GET)
        whole = await connection.ended()
    assert b"half of it" in whole
    assert b"500" not in whole
    assert not whole.endswith(b"0\r\n\r\n")  # which would say that it is complete
    assert "a fault" in caplog.text


async def test_a_handler_may_set_the_headers_that_all_answers_have(serving: Callable[[Any], Awaitable[str]]) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(headers={"Cache-Control": "max-age=60"})

    answer = await exchange(await serving(handler), GET)
    assert answer.headers["cache-control"] == "max-age=60"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_one_who_leaves_while_we_think_leaves_no_trace(
    serving: Callable[[Any], Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        reached.set()
        while request.transport is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        left.set()
        return web.Response()

    with caplog.at_level(logging.INFO):
        async with await RawSocket.connect(await serving(handler)) as connection:
            connection.write(GET)
            await reached.wait()
        async with asyncio.timeout(5):
            await left.wait()
        await asyncio.sleep(0)
    assert not caplog.records


async def test_one_who_leaves_while_the_handshake_is_answered_leaves_no_trace(
    serving: Callable[[Any], Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """As a browser does whose page is closed at that moment: uvloop tells of both at once."""
    closed = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        assert request.transport is not None
        closed.set()
        return (await Socket.accept(request, ServerSettings(), 1)).response

    with caplog.at_level(logging.INFO):
        async with await RawSocket.connect(await serving(handler)) as connection:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await connection.upgrade("/")
            await closed.wait()
        await asyncio.sleep(0.02)
    assert not caplog.records


def test_one_who_leaves_during_the_handshake_is_no_socket() -> None:
    class Gone:
        transport = None

    with pytest.raises(ConnectionResetError):
        Socket(cast(web.Request, Gone()), cast(Any, None), ServerSettings())
