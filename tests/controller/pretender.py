"""A server that says hello to controllers, as `docs/protocol.md` has it, and does what a test tells it: no storage."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

TOKEN = "wm_a-token-that-the-pretender-knows"
OUTPUTS = ("heater", "valve")
FEATURES = ("ack", "setpoints", "status", "changes")


class Pretender:
    """Takes batches, answers them, and remembers everything."""

    def __init__(self, *, features: tuple[str, ...] | None = FEATURES, answers: bool = True) -> None:
        """`features` None: it says no hello."""
        self.features, self.answers = features, answers
        self.max_batch_size, self.max_message_bytes = 500, 131_072
        self.ahead_s = 0.0
        """How far its clock is ahead of ours."""
        self.batches: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.plugins: list[dict[str, Any]] = []
        self.latest: list[dict[str, Any]] = []
        self.setpoints: list[dict[str, Any]] = []
        self.refuses: dict[str, Any] | None = None
        """What a batch is answered instead of an acknowledgement."""
        self.status = 0
        """What HTTP is answered, unless 0."""
        self.headers: dict[str, str] = {}
        self.logins = 0
        self.connections = 0
        self._sockets: set[web.WebSocketResponse] = set()
        self._seen: set[str] = set()

    # -- what tests ask for ----------------------------------------------------------------------------------------

    @property
    def readings(self) -> list[dict[str, Any]]:
        """What was measured; what outputs were set to is apart."""
        return [reading for reading in self._all() if reading["event_public_id"].partition(".")[2] not in OUTPUTS]

    @property
    def values(self) -> list[float]:
        return [reading["value"] for reading in self.readings]

    @property
    def reports(self) -> list[tuple[str, float]]:
        """What outputs were set to, as it was told."""
        outputs = [reading for reading in self._all() if reading["event_public_id"].partition(".")[2] in OUTPUTS]
        return [(reading["event_public_id"], reading["value"]) for reading in outputs]

    def _all(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches:
            yield from batch["datapoints"]

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=self.ahead_s)

    def setpoint(self, event: str, value: float, age_s: float = 0.0) -> dict[str, Any]:
        moment = (self.now() - timedelta(seconds=age_s)).isoformat(timespec="microseconds")
        return {"event_public_id": event, "value": value, "timestamp": moment}

    async def say(self, message: dict[str, Any]) -> None:
        for socket in self._sockets:
            await socket.send_str(json.dumps(message))

    async def give(self, event: str, value: float, age_s: float = 0.0) -> None:
        """A user gives a setpoint."""
        await self.say({"type": "setpoints", "setpoints": [self.setpoint(event, value, age_s)]})

    def cut(self) -> None:
        """Cut all sockets, as a reset does."""
        for socket in self._sockets:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()

    # -- what controllers ask for ----------------------------------------------------------------------------------

    def app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._dated)
        app.router.add_get("/ws/controller/telemetry", self._telemetry)
        app.router.add_get("/api/v1/plugins", self._plugins)
        app.router.add_get("/api/v1/datapoints/latest", self._latest)
        app.router.add_post("/api/v1/datapoints/batch", self._batch)
        app.router.add_post("/api/v1/plugins/status", self._status)
        app.router.add_post("/api/v1/auth/login", self._login)
        return app

    async def _dated(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self.now(), usegmt=True)

    async def _telemetry(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        if not self._knows(request):
            await socket.close(code=1008, message=b"Invalid or expired token")
            return socket
        if self.features is not None and request.query.get("agent") == "1":
            await socket.send_json(
                {
                    "type": "hello",
                    "server": "webmacs",
                    "version": "9.9",
                    "time": self.now().isoformat(timespec="microseconds"),
                    "max_batch_size": self.max_batch_size,
                    "max_message_bytes": self.max_message_bytes,
                    "features": list(self.features),
                }
            )
            if "setpoints" in self.features:
                await socket.send_json({"type": "setpoints", "setpoints": self.setpoints})
        self._sockets.add(socket)
        try:
            async for message in socket:
                said = json.loads(message.data)
                if said.get("type") == "status":
                    self.statuses.append(said)
                else:
                    await self._take(socket, said)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _take(self, socket: web.WebSocketResponse, batch: dict[str, Any]) -> None:
        if self.refuses is not None:
            await socket.send_json({"type": "error", "batch_id": batch["batch_id"], **self.refuses})
            return
        duplicate = self._keep(batch)
        if self.answers:
            await socket.send_json({"type": "ack", "batch_id": batch["batch_id"], **_numbers(batch, duplicate)})

    def _keep(self, batch: dict[str, Any]) -> bool:
        """Whether it had been there before."""
        duplicate = batch.get("batch_id") in self._seen
        if not duplicate and batch["datapoints"]:
            self._seen.add(batch.get("batch_id", ""))
            self.batches.append(batch)
        return duplicate

    async def _batch(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        batch = await request.json()
        duplicate = self._keep(batch)
        answer = {"status": "success", "message": f"{len(batch['datapoints'])} datapoints accepted"}
        if self.answers and batch["datapoints"]:
            answer |= {"batch_id": batch["batch_id"], **_numbers(batch, duplicate)}
        return web.json_response(answer, status=201)

    async def _plugins(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        page, size = int(request.query["page"]), int(request.query["page_size"])
        items = self.plugins[(page - 1) * size : page * size]
        return web.json_response({"page": page, "page_size": size, "total": len(self.plugins), "data": items})

    async def _latest(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response(self.latest)

    async def _status(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        self.statuses.append(await request.json())
        return web.json_response({"status": "success", "message": "noted"})

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body != {"email": "me@example.org", "password": "secret"}:
            return web.json_response({"detail": "no"}, status=401)
        self.logins += 1
        return web.json_response({"access_token": f"session {self.logins}"})

    def _knows(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return given in {TOKEN, f"session {self.logins}"}

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._knows(request):
            return web.json_response({"detail": "Invalid or expired token"}, status=401)
        if self.status:
            return web.json_response({"detail": "as told by the test"}, status=self.status, headers=self.headers)
        return None


def _numbers(batch: dict[str, Any], duplicate: bool) -> dict[str, Any]:
    numbers = {"accepted": len(batch["datapoints"]), "rejected": 0, "invalid": 0, "unlinked": 0, "skewed": 0}
    return {**numbers, **({"duplicate": True} if duplicate else {})}


def instance(public_id: str = "one", plugin_id: str = "rig", **more: Any) -> dict[str, Any]:
    """An instance as the contract shows one; each channel is linked to the event `PUBLIC_ID.CHANNEL`."""
    channels = {"in0": "input", "in1": "input", "in2": "input", "heater": "output", "valve": "output"}
    return {
        "public_id": public_id,
        "plugin_id": plugin_id,
        "instance_name": f"Rig {public_id}",
        "demo_mode": False,
        "enabled": True,
        "config_json": None,
        "channel_mappings": [channel(public_id, name, direction) for name, direction in channels.items()],
        **more,
    }


def channel(public_id: str, name: str, direction: str = "input", **more: Any) -> dict[str, Any]:
    return {
        "public_id": f"channel {public_id} {name}",
        "channel_id": name,
        "channel_name": name.title(),
        "direction": direction,
        "unit": "V",
        "event_public_id": f"{public_id}.{name}",
        **more,
    }


@asynccontextmanager
async def pretending(pretender: Pretender, port: int | None = None) -> AsyncIterator[str]:
    """It listens; yields its address. On the way out all its connections are cut."""
    server = TestServer(pretender.app(), port=port)
    await server.start_server(shutdown_timeout=0)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        pretender.cut()
        await asyncio.sleep(0)
        await server.close()
