"""What a client sees: messages on the two sockets, how they end, answers over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.plant import SECRET, Server, now_us
from webmacs.auth import ALGORITHM
from webmacs.model import Datapoint

TELEMETRY: Final = "/ws/controller/telemetry"
STREAM: Final = "/ws/datapoints/stream"
SOCKETS: Final = (TELEMETRY, STREAM)
TIMEOUT_S: Final = 5.0

GONE: Final = object()
"""A claim that is left out."""


async def connect(server: Server, path: str, token: str | None = None, **options: Any) -> ClientWebSocketResponse:
    """An upgraded connection, whether or not the token is any good."""
    params = {} if token is None else {"token": token}
    socket: ClientWebSocketResponse = await server.client.ws_connect(
        f"{server.address}{path}", params=params, **options
    )
    return socket


async def agent(server: Server, token: str, **options: Any) -> ClientWebSocketResponse:
    """A telemetry socket that asks to be told things; nothing of that has been read."""
    socket: ClientWebSocketResponse = await server.client.ws_connect(
        f"{server.address}{TELEMETRY}", params={"token": token, "agent": "1"}, **options
    )
    return socket


async def ending(socket: ClientWebSocketResponse) -> tuple[int, str]:
    """Code and reason with which the server ends it, whatever it says before."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.CLOSE:
                return message.data, message.extra or ""
            assert message.type is WSMsgType.TEXT, message


async def refusal(server: Server, path: str, token: str | None = None, **options: Any) -> tuple[int, str]:
    """Code and reason with which a client is refused; that it gets nothing before is checked."""
    socket = await connect(server, path, token, **options)
    message = await socket.receive(timeout=TIMEOUT_S)
    assert message.type is WSMsgType.CLOSE, message
    return message.data, message.extra or ""


async def heard(socket: ClientWebSocketResponse) -> Any:
    """The next message."""
    return await socket.receive_json(timeout=TIMEOUT_S)


async def acknowledged(socket: ClientWebSocketResponse, batch: dict[str, Any] | str) -> Any:
    """Send a batch and return what comes next."""
    await socket.send_str(batch if isinstance(batch, str) else json.dumps(batch))
    return await heard(socket)


async def points(stream: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """The datapoints of the next message of a stream."""
    message = await heard(stream)
    assert message["type"] == "datapoints_batch", message
    assert set(message) == {"type", "datapoints"}
    found: list[dict[str, Any]] = message["datapoints"]
    return found


def claims_of(server: Server, user_public_id: str, **changes: object) -> dict[str, Any]:
    """The claims of a good JWT for a user, changed."""
    now_s = now_us() // 1_000_000
    user = server.parts.catalog.current.users.get(user_public_id)
    claims: dict[str, Any] = {
        "sub": user_public_id,
        "jti": f"jti-{now_us()}",
        "sv": user.session_version if user else 1,
        "iat": now_s,
        "exp": now_s + 600,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not GONE}


def signed(claims: dict[str, Any], key: str = SECRET, algorithm: str = ALGORITHM) -> str:
    """A JWT of those claims."""
    return jwt.encode(claims, key, algorithm)


async def history(server: Server, event: int = 0) -> list[Datapoint]:
    """What is stored of the linked event of that number, by time."""
    snapshot = server.parts.catalog.current
    event_id = snapshot.events[server.plant.linked[event]].id
    return await server.parts.storage.history(snapshot, event_id, limit=10_000)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def detail(self) -> str:
        """The text of an error, which is all that its body holds."""
        assert set(self.body) == {"detail"}, self.body
        assert isinstance(self.body["detail"], str)
        text: str = self.body["detail"]
        return text


async def call(server: Server, method: str, path: str, token: str | None = None, **options: Any) -> Reply:
    """One request over HTTP, with a bearer token if one is given. Redirects are not followed."""
    headers = dict(options.pop("headers", {}))
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    options.setdefault("allow_redirects", False)
    async with server.client.request(method, server.address + path, headers=headers, **options) as response:
        raw = await response.read()
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Reply(response.status, dict(response.headers), json.loads(raw) if is_json and raw else raw)
