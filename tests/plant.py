"""A furnished installation for tests: users of each role, events linked to a plugin instance, one that is not."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from webmacs import experiments
from webmacs.app import PARTS, Parts, build_app
from webmacs.auth import Passwords, api_token_digest, new_api_token
from webmacs.bundle import Bundle
from webmacs.clock import Clock
from webmacs.config import Settings
from webmacs.extensions import load_storage
from webmacs.handlers.front import Runner
from webmacs.model import Role
from webmacs.storage import accounts, plugins, records
from webmacs.storage.base import Storage

SECRET = "a-key-for-tests-that-is-long-enough"
PASSWORD = "correct horse battery staple"
_PASSWORD_HASH = Passwords(1, 1).hash(PASSWORD)


@dataclass
class Plant:
    """What `furnish` has put into a storage."""

    emails: dict[Role, str] = field(default_factory=dict)
    tokens: dict[Role, str] = field(default_factory=dict)
    linked: list[str] = field(default_factory=list)
    unlinked: str = ""
    plugin: str = ""
    experiment: str = ""


def now_us() -> int:
    return time.time_ns() // 1000


def settings_for(url: str, directory: Path, **sections: dict[str, Any]) -> Settings:
    """Settings of a server on a free port; `sections` override."""
    document: dict[str, Any] = {
        # Tests ask without a pause and fail on purpose, all from one address.
        "server": {"port": 0, "shutdown_timeout_s": 3.0, "requests_per_minute": 0},
        "auth": {"secret_key": SECRET, "free_failures": 1000},
        "storage": {"url": url, "startup_timeout_s": 0},
        "directory": directory,
    }
    for name, section in sections.items():
        document[name] = {**document.get(name, {}), **section}
    return Settings.model_validate(document)


async def furnish(storage: Storage, *, events: int = 3, experiment: bool = True) -> Plant:
    """Fill an open, empty storage."""
    plant = Plant()
    for role in Role:
        email = plant.emails[role] = f"{role}@example.org"
        await accounts.add_user(
            storage, email=email, username=role.value, password_hash=_PASSWORD_HASH, role=role, now_us=now_us()
        )
        user, _ = await accounts.user_by_email(storage, email)
        text = plant.tokens[role] = new_api_token()
        await accounts.add_token(
            storage, user_id=user.id, name="test", digest=api_token_digest(text), expires_us=None, now_us=now_us()
        )
    plant.plugin = await plugins.add_plugin(storage, plugin_id="test", instance_name="Test rig", now_us=now_us())
    for number in range(events):
        event = await records.add_event(storage, name=f"Sensor {number}", unit="V", now_us=now_us())
        plant.linked.append(event)
        await plugins.add_channel(
            storage,
            plugin=plant.plugin,
            channel_id=f"in{number}",
            channel_name=f"In {number}",
            unit="V",
            event=event,
            now_us=now_us(),
        )
    plant.unlinked = await records.add_event(storage, name="Spare", unit="V", now_us=now_us())
    if experiment:
        plant.experiment = await experiments.start(storage, name="Run 1", now_us=now_us())
    return plant


@dataclass(frozen=True)
class Newcomer:
    """An account with one credential of each kind."""

    id: int
    public_id: str
    email: str
    api_token: str
    api_token_id: str
    jwt: str


@dataclass
class Server:
    """A running server with its plant, and a client that knows its address."""

    address: str
    parts: Parts
    plant: Plant
    client: aiohttp.ClientSession
    settings: Settings
    stop: Callable[[], Coroutine[Any, Any, None]]
    """Stop it in good order, as SIGTERM does, while its clients look on."""

    async def telemetry(self, role: Role = Role.OPERATOR, **options: Any) -> aiohttp.ClientWebSocketResponse:
        """An open telemetry socket, by API token."""
        socket: aiohttp.ClientWebSocketResponse = await self.client.ws_connect(
            f"{self.address}/ws/controller/telemetry", params={"token": self.plant.tokens[role]}, **options
        )
        return socket

    async def stream(
        self, role: Role = Role.VIEWER, query: dict[str, str] | None = None, **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        """An open stream socket, its confirmation read and checked."""
        socket: aiohttp.ClientWebSocketResponse = await self.client.ws_connect(
            f"{self.address}/ws/datapoints/stream",
            params={"token": self.plant.tokens[role], **(query or {})},
            **options,
        )
        confirmation = await socket.receive_json(timeout=5)
        assert confirmation == {"type": "connected", "message": "Subscribed to live datapoint stream."}
        return socket

    def headers(self, role: Role = Role.ADMIN) -> dict[str, str]:
        """The bearer header of a role."""
        return {"Authorization": f"Bearer {self.plant.tokens[role]}"}

    def reading(self, value: object = 1.0, event: int = 0, **more: object) -> dict[str, object]:
        """An item of a batch, for the linked event of that number."""
        return {"value": value, "event_public_id": self.plant.linked[event], **more}

    async def newcomer(self, role: Role = Role.OPERATOR) -> Newcomer:
        """An account of one's own, to be changed or removed."""
        storage = self.parts.storage
        email = f"{uuid.uuid4()}@example.org"
        public_id = await accounts.add_user(
            storage, email=email, username=email, password_hash=_PASSWORD_HASH, role=role, now_us=now_us()
        )
        user, _ = await accounts.user_by_email(storage, email)
        text = new_api_token()
        token_id = await accounts.add_token(
            storage, user_id=user.id, name="test", digest=api_token_digest(text), expires_us=None, now_us=now_us()
        )
        await self.parts.catalog.reload()
        return Newcomer(user.id, public_id, email, text, token_id, self.parts.auth.issue(user).token)

    async def login(self, role: Role = Role.ADMIN) -> str:
        """A fresh JWT."""
        body = {"email": self.plant.emails[role], "password": PASSWORD}
        async with self.client.post(f"{self.address}/api/v1/auth/login", json=body) as response:
            assert response.status == 200
            token: str = (await response.json())["access_token"]
            return token


@asynccontextmanager
async def running_server(
    settings: Settings,
    plant: Plant,
    *,
    clock: Clock | None = None,
    storage: Storage | None = None,
    bundle: Bundle | None = None,
) -> AsyncIterator[Server]:
    """Serve in this process, on a real port, as `webmacs serve` does; on the storage of the settings, or on another."""
    app = build_app(settings, clock=clock, storage=storage, bundle=bundle)
    runner = Runner(app, settings.server, app[PARTS].metrics, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as client:
            yield Server(f"http://127.0.0.1:{port}", app[PARTS], plant, client, settings, runner.cleanup)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def furnished_server(
    url: str, directory: Path, *, clock: Clock | None = None, bundle: Bundle | None = None, **sections: dict[str, Any]
) -> AsyncIterator[Server]:
    """A server on a fresh storage with the usual plant."""
    settings = settings_for(url, directory, **sections)
    storage = load_storage(settings)
    await storage.open()
    plant = await furnish(storage)
    await storage.close()
    async with running_server(settings, plant, clock=clock, bundle=bundle) as server:
        yield server
