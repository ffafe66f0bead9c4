"""A real server in a process of its own, on an SQLite file with three accounts and nothing else; readings for it."""

from __future__ import annotations

import asyncio
import math
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.process import ServerProcess
from tests.plant import PASSWORD, PASSWORD_HASH, now_us, settings_for
from webmacs.bundle import DIRECTORY
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage import accounts
from webmacs.tasks import end

EMAILS = {role: f"{role}@example.org" for role in Role}
FILE = "webmacs.db"

# A server whose dashboard lies elsewhere.
ELSEWHERE = """\
from pathlib import Path
import webmacs.bundle
webmacs.bundle.DIRECTORY = Path({directory!r})
from webmacs.cli import main
main()
"""


async def make_blank(directory: Path) -> Path:
    """The file that each installation begins with: an account of each role, `admin@example.org` and so on."""
    storage = load_storage(settings_for(f"sqlite:///{directory / FILE}", directory))
    await storage.open()
    try:
        for role, email in EMAILS.items():
            await accounts.add_user(
                storage, email=email, username=role.value, password_hash=PASSWORD_HASH, role=role, now_us=now_us()
            )
    finally:
        await storage.close()
    return directory / FILE


class Telemetry:
    """An open telemetry socket, as a controller has one."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._sent = socket, 0

    async def send(self, values: Mapping[str, float], *, at: datetime | None = None) -> None:
        """Send a reading of each event, by public id; return when all of them are stored."""
        self._sent += 1
        batch_id = f"{id(self)}-{self._sent}"
        measured = {} if at is None else {"timestamp": at.isoformat()}
        datapoints = [{"event_public_id": event, "value": value, **measured} for event, value in values.items()]
        await self._socket.send_json({"batch_id": batch_id, "datapoints": datapoints})
        answer = await self._socket.receive_json(timeout=10)
        assert (answer["batch_id"], answer["accepted"]) == (batch_id, len(values)), answer

    async def steadily(self, *events: str, every_s: float = 0.1) -> None:
        """Send waves between 20 and 30, each event's behind the one before, until cancelled."""
        while True:
            now_s = time.monotonic()
            await self.send({event: 25 + 5 * math.sin(now_s + place) for place, event in enumerate(events)})
            await asyncio.sleep(every_s)


class Installation:
    """A server that can be stopped, killed and started again at the same address; and ways into it past the browser.

    A session that was begun before stays good: the key that signs is in the configuration.
    """

    def __init__(
        self, directory: Path, blank: Path, dashboard: Path, settings: Mapping[str, str], client: aiohttp.ClientSession
    ) -> None:
        shutil.copy(blank, directory / FILE)
        program = "" if dashboard == DIRECTORY else ELSEWHERE.format(directory=str(dashboard))
        self.server = ServerProcess(f"sqlite:///{directory / FILE}", directory, program=program, **settings)
        self.address = self.server.address
        self._client = client
        self._sessions: dict[Role, str] = {}

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        await self.server.start()
        await self.server.until_it_listens()

    async def stop(self) -> None:
        """Tell it to end (SIGTERM), which must go well."""
        code, _ = await self.server.end(signal.SIGTERM)
        assert code == 0, self.server.said()

    async def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        await self.server.end(signal.SIGKILL)

    async def session(self, role: Role = Role.ADMIN) -> str:
        """The token of a session of that account, which is begun at the first call."""
        if role not in self._sessions:
            body = {"email": EMAILS[role], "password": PASSWORD}
            async with self._client.post(f"{self.address}/api/v1/auth/login", json=body) as response:
                assert response.status == 200, await response.text()
                self._sessions[role] = (await response.json())["access_token"]
        return self._sessions[role]

    async def rest(self, method: str, path: str, body: object = None, *, role: Role = Role.ADMIN) -> Any:
        """What `/api/v1` and a path, as `/events`, is answered with, which is no error."""
        headers = {"Authorization": f"Bearer {await self.session(role)}"}
        url = f"{self.address}/api/v1{path}"
        async with self._client.request(method, url, json=body, headers=headers) as response:
            assert response.status < 300, f"{method} {path}: {response.status} {await response.text()}"
            return await response.json()

    async def found(self, path: str, name: str, key: str = "name") -> str:
        """The public id of what is called so in a list of at most a hundred."""
        page = await self.rest("GET", f"{path}?page_size=100")
        (public_id,) = [one["public_id"] for one in page["data"] if one[key] == name]
        assert isinstance(public_id, str)
        return public_id

    async def add_events(self, *names: str, unit: str = "°C", direction: str = "input") -> list[str]:
        """Events from 0 to 100, each linked to a channel of a new plugin instance: their public ids.

        The instance belongs to a plugin that the server does not have, as one that a controller serves.
        """
        instance = f"Rig of {names[0]}"
        await self.rest("POST", "/plugins", {"plugin_id": "test", "instance_name": instance, "enabled": True})
        path = f"/plugins/{await self.found('/plugins', instance, 'instance_name')}/channels"
        made = []
        for place, name in enumerate(names):
            kind = "sensor" if direction == "input" else "actuator"
            event = {"name": name, "unit": unit, "min_value": 0, "max_value": 100, "type": kind}
            await self.rest("POST", "/events", event)
            made.append(await self.found("/events", name))
            channel = {"channel_id": f"c{place}", "channel_name": name, "direction": direction, "unit": unit}
            await self.rest("POST", path, {**channel, "event_public_id": made[-1]})
        return made

    @asynccontextmanager
    async def telemetry(self) -> AsyncIterator[Telemetry]:
        """A telemetry socket, by an operator's session. It does not outlast the server's process."""
        params = {"token": await self.session(Role.OPERATOR)}
        async with self._client.ws_connect(f"{self.address}/ws/controller/telemetry", params=params) as socket:
            yield Telemetry(socket)

    @asynccontextmanager
    async def readings(self, *events: str, every_s: float = 0.1) -> AsyncIterator[None]:
        """Readings of those events come, as `Telemetry.steadily` sends them; that they are all stored is checked."""
        async with self.telemetry() as telemetry:
            sending = asyncio.create_task(telemetry.steadily(*events, every_s=every_s))
            try:
                yield
                if sending.done():
                    await sending
            finally:
                await end(sending)

    async def close(self) -> None:
        """End it as `stop` does, unless a test has; whatever comes of that, it is gone."""
        try:
            if self.server.process.returncode is None:
                await self.stop()
            assert "Traceback" not in self.server.said(), self.server.said()
        finally:
            await self.server.end()


def ago(seconds: float) -> datetime:
    """A time before now, for readings of the past."""
    return datetime.fromtimestamp(time.time() - seconds, UTC)
