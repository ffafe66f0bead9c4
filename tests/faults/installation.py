"""A furnished storage and a server process on it, as most faults need them; and what it says of its own health."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.process import DEADLINE_S, ServerProcess
from tests.plant import PASSWORD, Plant, furnish, settings_for
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage.base import Storage

QUICK_S = 5.0
"""What does not need the storage is answered well within this, also on a busy machine."""
LOOK_S = 0.05


@dataclass(frozen=True)
class Installation:
    """A server with its plant; `storage` is a second way into the same storage, past every fault in between."""

    server: ServerProcess
    plant: Plant
    storage: Storage
    client: aiohttp.ClientSession

    async def get(self, path: str, within_s: float = QUICK_S, role: Role = Role.ADMIN) -> Any:
        """What an answer of 200 says; text, or JSON."""
        async with asyncio.timeout(within_s):
            headers = {"Authorization": f"Bearer {self.plant.tokens[role]}"}
            async with self.client.get(f"{self.server.address}{path}", headers=headers) as response:
                text = await response.text()
                assert response.status == 200, text
                return json.loads(text) if response.content_type == "application/json" else text

    async def post(self, path: str, **body: object) -> Any:
        """What an administrator is answered, which is no error."""
        headers = {"Authorization": f"Bearer {self.plant.tokens[Role.ADMIN]}"}
        async with self.client.post(f"{self.server.address}{path}", json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def sign_in(self, within_s: float) -> int:
        """The status of a login."""
        async with asyncio.timeout(within_s):
            body = {"email": self.plant.emails[Role.ADMIN], "password": PASSWORD}
            async with self.client.post(f"{self.server.address}/api/v1/auth/login", json=body) as response:
                await response.read()
                return response.status

    async def until_health(self, status: str) -> float:
        """Wait until /health says so; when it did. It answers quickly all the time."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.get("/health"))["status"] != status:  # noqa: ASYNC110 - asking is the point
                await asyncio.sleep(LOOK_S)
        return time.monotonic()

    async def counted(self, name: str) -> int:
        """The value of a counter, as Prometheus would read it."""
        for line in (await self.get("/metrics")).splitlines():
            if line.startswith(f"webmacs_{name} "):
                return int(float(line.split()[1]))
        raise KeyError(name)


@asynccontextmanager
async def installed(
    url: str,
    directory: Path,
    settings: Mapping[str, str] | None = None,
    *,
    direct: str | None = None,
    events: int = 3,
) -> AsyncIterator[Installation]:
    """A server that listens. That it is the same process all the time, and ends well when told to, is checked.

    `settings` are as `ServerProcess` takes them; `direct` is a way to the storage that leads past a proxy.
    """
    storage = load_storage(settings_for(direct or url, directory, storage={"statement_timeout_s": DEADLINE_S}))
    server = ServerProcess(url, directory, **(settings or {}))
    await storage.open()
    try:
        plant = await furnish(storage, events=events)
        await server.start()
        await server.until_it_listens()
        async with aiohttp.ClientSession() as client:
            yield Installation(server, plant, storage, client)
        assert server.process.returncode is None, server.said()
        code, _ = await server.end(signal.SIGTERM)
        assert code == 0, server.said()
        assert "Traceback" not in server.said(), server.said()
    finally:
        await server.end()
        await storage.close()
