"""Webhooks in a storage, and receivers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import until
from tests.cli.runner import done
from tests.plant import settings_for
from webmacs.catalog import Snapshot
from webmacs.cli.setting import opened_storage
from webmacs.model import Webhook
from webmacs.storage import records
from webmacs.storage.base import Storage

URL = "https://user:CANARY-password@203.0.113.7:8443/CANARY-path?token=CANARY-query#CANARY-fragment"
READING = ("--event", "sensor.reading")
ALARM = ("--event", "sensor.threshold_exceeded")
DEADLINE_S = 60.0


def change(url: str, work: Callable[[Storage], Any]) -> None:
    """Do something to a storage, in a test that is no coroutine."""

    async def do() -> None:
        async with opened_storage(settings_for(url, Path())) as storage:
            await work(storage)

    asyncio.run(do())


def snapshot(url: str) -> Snapshot:
    """The configuration as a server would read it."""

    async def read() -> Snapshot:
        async with opened_storage(settings_for(url, Path())) as storage:
            return await records.snapshot(storage, 0)

    return asyncio.run(read())


def only_webhook(url: str) -> Webhook:
    (webhook,) = snapshot(url).webhooks
    return webhook


def add(config: Path, url: str = URL, *more: str, stdin: str = "") -> str:
    """The id of a new webhook."""
    return done("webhook", "add", url, *READING, *more, "--config", config, stdin=stdin).splitlines()[0]


@dataclass
class Receiver:
    """Remembers what came; answers what is next in `answers`, and 200 when nothing is left there."""

    answers: list[int] = field(default_factory=list)
    url: str = ""
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        self.calls.append((headers, await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def until(self, count: int) -> None:
        """Wait until there were so many calls."""
        await until(lambda: len(self.calls) >= count, DEADLINE_S)

    @property
    def ids(self) -> list[str]:
        """Of each call, which delivery it was."""
        return [headers["webhook-id"] for headers, _ in self.calls]


@asynccontextmanager
async def receiving(*answers: int) -> AsyncIterator[Receiver]:
    """A receiver on loopback, whose URL has something secret in each of its parts."""
    receiver = Receiver(list(answers))
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.handle)
    async with TestServer(app) as server:
        url = str(server.make_url("/CANARY-path?key=CANARY-query"))
        receiver.url = url.replace("://", "://CANARY-user:CANARY-password@")
        yield receiver
