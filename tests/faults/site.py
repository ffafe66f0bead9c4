"""One server on one storage for as many histories as one likes, what can happen to both, and an eye on what is stored.

The server listens on real sockets and runs in the loop of the test. Between it and PostgreSQL there is a proxy; the eye
looks past that, on a connection of its own and without giving the loop a moment, so that what it sees is what is
committed *now*.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import psycopg2
import pytest

from tests.plant import Plant, Server, furnish, now_us, running_server, settings_for
from tests.postgres import PostgresServer
from tests.proxy import Proxy, proxy_to
from webmacs.config import Settings
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage import webhooks

DEADLINE_S: Final = 10.0
WINDOW_S: Final = 0.02
NOBODY: Final = "http://127.0.0.1:9/nobody"  # refused by the address guard, so that all deliveries stay rows

Repair = Callable[[], Coroutine[Any, Any, None]]

BRISK: Final[dict[str, dict[str, Any]]] = {
    "server": {"shutdown_timeout_s": 1.0, "close_timeout_s": 0.5},
    "storage": {"statement_timeout_s": 0.3, "connect_timeout_s": 0.3},
    "pipeline": {"queue_rows": 12, "overload_timeout_s": 0.1, "max_retry_delay_s": 0.05},
    "stages": {"broadcast": {"interval_s": WINDOW_S}},
    "webhooks": {"first_retry_s": 3600.0, "max_retry_s": 3600.0},
}


class Site:
    """The base of both kinds, which differ in their faults and in how they are looked at."""

    faults: Sequence[str] = ()
    place: str = "?"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plant = Plant()
        self.client = aiohttp.ClientSession()
        self._run = AsyncExitStack()
        self._server: Server | None = None
        self._repair: Repair | None = None

    @property
    def server(self) -> Server:
        """The one that runs."""
        assert self._server is not None
        return self._server

    @property
    def broken(self) -> bool:
        """Whether there is a fault just now."""
        return self._repair is not None

    async def open(self) -> Self:
        """Furnish the storage and start."""
        storage = load_storage(self.settings)
        await storage.open()
        self.plant = await furnish(storage, events=0)
        await webhooks.add_webhook(storage, url=NOBODY, events=["sensor.threshold_exceeded"], now_us=now_us())
        await storage.close()
        await self.start()
        return self

    async def start(self) -> None:
        """Start a server on what there is."""
        self._server = await self._run.enter_async_context(running_server(self.settings, self.plant))

    async def stop(self) -> None:
        """Stop it, as SIGTERM does."""
        await self._run.aclose()
        self._server = None

    async def close(self) -> None:
        """Leave nothing open."""
        await self.repair()
        await self.stop()
        await self.client.close()

    async def break_(self, fault: str) -> None:
        """Let one of `faults` happen; it lasts until `repair`, if it is one that lasts."""
        self._repair = await getattr(self, f"_{fault}")()

    async def repair(self) -> None:
        """Undo the fault; returns before the server has noticed."""
        repair, self._repair = self._repair, None
        if repair is not None:
            await repair()

    async def recovered(self) -> None:
        """Wait until the server says of itself that it is well."""
        async with asyncio.timeout(DEADLINE_S):
            while (await self.ask("GET", "/health"))["status"] != "ok":  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)

    async def ask(self, method: str, path: str, token: str | None = None, **body: object) -> Any:
        """A request that must succeed; an administrator's unless a token is given."""
        bearer = {"Authorization": f"Bearer {token or self.administrator()}"}
        async with self.client.request(
            method, self.server.address + path, headers=bearer, json=body or None
        ) as response:
            text = await response.text()
            assert response.status < 400, f"{method} {path} {body}: {response.status} {text}"
            return json.loads(text) if response.content_type == "application/json" else text

    def administrator(self) -> str:
        """A session of the plant's administrator."""
        users = self.server.parts.catalog.current.users.values()
        (admin,) = [user for user in users if user.email == self.plant.emails[Role.ADMIN]]
        return self.server.parts.auth.issue(admin).token

    def look(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the storage has now; `?` stand for the values. Blocks the loop, which is the point of it."""
        raise NotImplementedError

    def has(self, event: str, value: float) -> bool:
        """Whether that reading is stored, or its event is gone with all that was."""
        there = "SELECT (SELECT count(*) FROM datapoints WHERE event_id = events.id AND value = ?) FROM events"
        return all(count for (count,) in self.look(f"{there} WHERE public_id = ?", value, event))

    def rows(self, events: Sequence[str]) -> list[tuple[str, float]]:
        """What is stored of those events, in the order in which it was."""
        places = ", ".join("?" * len(events)) or "NULL"
        return [
            (event, value)
            for event, value in self.look(
                "SELECT events.public_id, value FROM datapoints JOIN events ON events.id = event_id"
                f" WHERE events.public_id IN ({places}) ORDER BY datapoints.id",
                *events,
            )
        ]

    def last_delivery(self) -> int:
        """The id of the delivery that was asked for last."""
        ((last,),) = self.look("SELECT coalesce(max(id), 0) FROM deliveries")
        return int(last)

    def alarms(self, after: int) -> list[tuple[str, float]]:
        """Event and value of each delivery that was asked for later than that one."""
        found = [json.loads(text) for (text,) in self.look("SELECT payload FROM deliveries WHERE id > ?", after)]
        return [(payload["sensor"], payload["value"]) for payload in found]

    async def _answer_lost(self) -> Repair:
        """The next commit is done, but the server is not told."""
        storage = self.server.parts.storage
        append = storage.append

        async def lost(commit: Any) -> None:
            patch.undo()
            await append(commit)
            raise StorageUnavailable("the answer was lost, as told by the test")

        patch = pytest.MonkeyPatch()
        patch.setattr(storage, "append", lost)

        async def repair() -> None:
            patch.undo()

        return repair


class SqliteSite(Site):
    """On a file."""

    place = "sqlite"
    faults = ("locked", "answer_lost")

    def __init__(self, path: Path) -> None:
        super().__init__(settings_for(f"sqlite:///{path}", path.parent, **BRISK))
        self._path = path
        self._eye: sqlite3.Connection | None = None

    async def close(self) -> None:
        """See `Site`."""
        await super().close()
        if self._eye is not None:
            self._eye.close()

    def look(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See `Site`."""
        self._eye = self._eye or sqlite3.connect(self._path, isolation_level=None)
        return self._eye.execute(statement, values).fetchall()

    async def _locked(self) -> Repair:
        """Somebody else writes, and does not come to an end."""
        other = sqlite3.connect(self._path, isolation_level=None, timeout=DEADLINE_S, check_same_thread=False)
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")

        async def repair() -> None:
            other.close()

        return repair


class PostgresSite(Site):
    """On a database behind a proxy, of a server that nobody else uses meanwhile."""

    place = "postgresql"
    faults = ("stalled", "cut", "answer_lost", "commit_answer_lost", "restarted")

    def __init__(self, postgres: PostgresServer, url: str, proxy: Proxy, directory: Path) -> None:
        around = url.replace(f":{postgres.port}/", f":{proxy.port}/")
        super().__init__(settings_for(around, directory, **BRISK))
        self._postgres, self._url, self._proxy = postgres, url, proxy
        self._eye: Any = None

    async def stop(self) -> None:
        """See `Site`. What the proxy keeps back dies with the connection that it came by."""
        await super().stop()
        self._proxy.cut()

    async def close(self) -> None:
        """See `Site`."""
        await super().close()
        self._blink()

    def look(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """See `Site`. While PostgreSQL restarts, which is done by another thread, it waits."""
        give_up = time.monotonic() + DEADLINE_S
        while True:
            try:
                return self._seen(statement, values)
            except psycopg2.OperationalError:
                self._blink()
                if time.monotonic() > give_up:
                    raise
                time.sleep(WINDOW_S)

    def _seen(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if self._eye is None:
            self._eye = psycopg2.connect(self._url)
            self._eye.autocommit = True
        with self._eye.cursor() as cursor:
            cursor.execute(statement.replace("?", "%s"), values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    async def _stalled(self) -> Repair:
        """Connections are accepted, and nothing gets through."""
        self._proxy.stall()

        async def repair() -> None:
            self._proxy.cut()
            self._proxy.resume()

        return repair

    async def _cut(self) -> None:
        """All connections are cut, once."""
        self._proxy.cut()

    async def _commit_answer_lost(self) -> Repair:
        """PostgreSQL commits, and the connection breaks before it can say so."""
        self._proxy.lose_answer_to(b"COMMIT")

        async def repair() -> None:
            self._proxy.take_fault(b"COMMIT")

        return repair

    async def _restarted(self) -> None:
        """PostgreSQL ends as in a crash and starts again."""
        self._blink()
        await asyncio.to_thread(self._restart)  # in one go: between two, `look` would wait in the loop that starts it

    def _restart(self) -> None:
        self._postgres.stop()
        self._postgres.start()

    def _blink(self) -> None:
        if self._eye is not None:
            with contextlib.suppress(psycopg2.Error):
                self._eye.close()
            self._eye = None


@asynccontextmanager
async def on_sqlite(directory: Path) -> AsyncIterator[Site]:
    """A running site."""
    site = SqliteSite(directory / "test.db")
    try:
        yield await site.open()
    finally:
        await site.close()


@asynccontextmanager
async def on_postgres(postgres: PostgresServer, url: str, directory: Path) -> AsyncIterator[Site]:
    """A running site on that database, which is empty."""
    async with proxy_to(postgres.port) as proxy:
        site = PostgresSite(postgres, url, proxy, directory)
        try:
            yield await site.open()
        finally:
            await site.close()
