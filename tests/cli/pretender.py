"""A server that speaks as much of the protocol as a test wants, and behaves as badly as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import until
from webmacs.cli.feed import Mode
from webmacs.cli.point import Point

CONNECTED = {"type": "connected", "message": "Subscribed to live datapoint stream."}
TIME = "2026-05-04T12:00:00.000000+00:00"

Conversation = Callable[[web.WebSocketResponse], Awaitable[None]]


def reading(event: str = "e1", value: float = 1.0, time: str = TIME) -> dict[str, Any]:
    return {"value": value, "event_public_id": event, "timestamp": time, "experiment_public_id": None}


def batch(*readings: dict[str, Any]) -> str:
    return json.dumps({"type": "datapoints_batch", "datapoints": readings})


async def listen(socket: web.WebSocketResponse) -> None:
    """Keep the connection until the client leaves."""
    async for _ in socket:
        pass


@dataclass
class Pretender:
    """What the server does next. `script` has what happens on each connection in turn; the last one goes on."""

    address: str = ""
    script: list[Conversation | int] = field(default_factory=list)
    latest: list[dict[str, Any]] = field(default_factory=list)
    lists: dict[str, list[dict[str, Any]] | None] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"good"})
    logins: int = 0
    polls: int = 0
    page_queries: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    poll_status: int = 200
    poll_text: str | None = None
    poll_gate: asyncio.Event | None = None
    poll_detail: str | None = "not now"

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        turn = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(turn, int):
            return web.Response(status=turn)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.query.get("token") not in self.tokens:
            await socket.close(code=1008, message=b"Invalid or expired token")
        else:
            await socket.send_json(CONNECTED)
            await turn(socket)
        return socket

    async def polled(self, request: web.Request) -> web.Response:
        self.polls += 1
        if self.poll_gate is not None:
            await self.poll_gate.wait()
        self.check(request)
        if self.poll_status != 200 and self.poll_text is not None:
            return web.Response(text=self.poll_text, status=self.poll_status)
        if self.poll_status != 200:
            return web.json_response({"detail": self.poll_detail}, status=self.poll_status)
        return web.Response(text=json.dumps(self.latest) if self.poll_text is None else self.poll_text)

    async def login(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["password"] == "nonsense":
            return web.Response(text="no JSON here")
        if body["password"] != "right":
            return web.json_response({"detail": "Incorrect email or password"}, status=401)
        self.logins += 1
        token = f"session {self.logins}"
        self.tokens.add(token)
        return web.json_response({"status": "success", "access_token": token})

    async def listed(self, request: web.Request) -> web.Response:
        self.check(request)
        self.page_queries.append(request.query_string)
        found = self.lists.get(request.match_info["list"])
        if found is None:
            raise web.HTTPNotFound
        page, size = int(request.query["page"]), int(request.query["page_size"])
        data = found[(page - 1) * size : page * size]
        return web.json_response({"page": page, "page_size": size, "total": len(found), "data": data})

    def check(self, request: web.Request) -> None:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise web.HTTPUnauthorized(text='{"detail": "Invalid or expired token"}')


@asynccontextmanager
async def pretending(*script: Conversation | int) -> AsyncIterator[Pretender]:
    """A server on a port of loopback."""
    pretender = Pretender(script=list(script) or [listen])
    app = web.Application()
    app.router.add_get("/ws/datapoints/stream", pretender.stream)
    app.router.add_get("/api/v1/datapoints/latest", pretender.polled)
    app.router.add_post("/api/v1/auth/login", pretender.login)
    app.router.add_get("/api/v1/{list}", pretender.listed)
    async with TestServer(app) as server:
        pretender.address = str(server.make_url("")).rstrip("/")
        yield pretender


class Recorder:
    """A listener that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.modes: list[tuple[Mode, str | None]] = []

    async def received(self, points: list[Point]) -> None:
        self.points += points

    def changed(self, mode: Mode, problem: str | None) -> None:
        self.modes.append((mode, problem))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        await until(condition)


async def hang_up(socket: web.WebSocketResponse) -> None:
    """End the connection in good order."""
    await socket.close(code=1001, message=b"Server is stopping")


async def cut(socket: web.WebSocketResponse) -> None:
    """End the connection without a word."""
    assert socket._req is not None
    assert socket._req.transport is not None
    socket._req.transport.abort()
    await listen(socket)


def telling(*readings: dict[str, Any]) -> Conversation:
    """Send a batch, then listen."""

    async def tell(socket: web.WebSocketResponse) -> None:
        await socket.send_str(batch(*readings))
        await listen(socket)

    return tell


def closing(code: int, reason: str) -> Conversation:
    """Close with code and reason."""

    async def close(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=reason.encode())

    return close


async def text_messages(socket: web.WebSocketResponse, count: int) -> list[Any]:
    """The next messages of a client."""
    found = []
    async for message in socket:
        assert message.type is WSMsgType.TEXT
        found.append(json.loads(message.data))
        if len(found) == count:
            break
    return found
