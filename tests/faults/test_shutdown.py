"""SIGTERM in the middle of everything: 50 clients, five of which read nothing, and readings on their way."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import pytest

from tests.faults.browsers import Crowd, crowd
from tests.faults.ledger import Ledger
from tests.faults.process import ServerProcess
from tests.faults.senders import Careful, sending
from tests.plant import Plant, furnish, settings_for
from tests.promises import LONG, Figure
from tests.proxy import proxy_to
from tests.rawsocket import RawSocket
from webmacs.extensions import load_storage
from webmacs.model import Role
from webmacs.storage.base import Storage

STUCK = 5 if LONG else 2
SENDERS = 5
BROWSERS = 40 if LONG else 15
EVENTS = 40
SHUTDOWN_S = 4.0 if LONG else 2.0
SLACK_S = 15.0  # for a busy machine
DEADLINE_S = 120.0
GOING_AWAY = 1001
FULL = 50  # updates that had to wait for the stuck, which then have no room left anywhere

SETTINGS = {
    "SERVER__SHUTDOWN_TIMEOUT_S": str(SHUTDOWN_S),
    "SERVER__CLIENT_DEADLINE_S": "600",  # the stuck are there to the end
    "SERVER__CLIENT_BUFFER_BYTES": "65536",
    "STAGES__BROADCAST__INTERVAL_S": "0",
}


@dataclass
class Parting(Careful):
    """Remembers how each of its connections ended."""

    codes: list[int | None] = field(default_factory=list)

    async def _converse(self, link: aiohttp.ClientWebSocketResponse) -> None:
        try:
            await super()._converse(link)
        finally:
            self.codes.append(link.close_code)


@dataclass
class Site:
    """A server under load, with its clients, and all that is known of it from outside."""

    server: ServerProcess
    plant: Plant
    storage: Storage
    ledger: Ledger
    senders: list[Parting]
    crowd: Crowd

    def codes(self) -> list[int | None]:
        """How the connections of all that are not stuck have ended."""
        return [
            *(browser.closed[0] if browser.closed else None for browser in self.crowd.watching),
            *(sender.codes[0] if sender.codes else None for sender in self.senders),
        ]

    def told_within(self, began: float) -> float:
        """Seconds until the last browser heard of it."""
        return max(browser.closed[1] - began for browser in self.crowd.watching if browser.closed)

    async def until_the_stuck_are_full(self, client: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self._coalesced(client) < FULL * STUCK:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert not any(browser.cut for browser in self.crowd.stuck)

    async def _coalesced(self, client: aiohttp.ClientSession) -> float:
        headers = {"Authorization": f"Bearer {self.plant.tokens[Role.ADMIN]}"}
        async with client.get(f"{self.server.address}/metrics", headers=headers) as response:
            lines = (await response.text()).splitlines()
        return float(next(line for line in lines if line.startswith("webmacs_stream_coalesced_total ")).split()[1])


@asynccontextmanager
async def site(url: str, directory: Path, *, direct: str | None = None, **settings: str) -> AsyncIterator[Site]:
    """Everybody is there, readings come, and the stuck have no room left. `direct` is a way past a proxy."""
    storage = load_storage(settings_for(direct or url, directory))
    server = ServerProcess(url, directory, **(SETTINGS | settings))
    async with AsyncExitStack() as stack:
        await storage.open()
        stack.push_async_callback(storage.close)
        plant = await furnish(storage, events=EVENTS)
        await server.start()
        stack.push_async_callback(server.end)
        await server.until_it_listens()
        everyone = await stack.enter_async_context(
            crowd(server.address, plant.tokens[Role.VIEWER], watching=BROWSERS, stuck=STUCK)
        )
        ledger = Ledger()
        senders = [
            Parting(ledger, plant, random.Random(number), sizes=(EVENTS, EVENTS), pause_s=0.005)
            for number in range(SENDERS)
        ]
        await stack.enter_async_context(sending(server.address, *senders))
        found = Site(server, plant, storage, ledger, senders, everyone)
        async with aiohttp.ClientSession() as client:
            await found.until_the_stuck_are_full(client)
        yield found


async def refused_from(server: ServerProcess) -> float:
    """When nobody was let in any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with await RawSocket.connect(server.address):
                    await asyncio.sleep(0.01)
            except OSError:
                return time.monotonic()


@dataclass(frozen=True)
class End:
    """How the server came to its end, in seconds from the first signal."""

    code: int
    took_s: float
    refused_s: float
    cut_s: float
    told_s: float
    codes: list[int | None]

    def __str__(self) -> str:
        told = self.codes.count(GOING_AWAY)
        return (
            f"exit {self.code} after {self.took_s:.1f} s; nobody let in after {self.refused_s:.2f} s; 1001 seen by"
            f" {told} of {len(self.codes)} that read, the last after {self.told_s:.2f} s; {STUCK} stuck cut by"
            f" {self.cut_s:.1f} s"
        )

    def holds(self) -> None:
        """In good order, and in time."""
        assert (self.code, self.codes) == (0, [GOING_AWAY] * (BROWSERS + SENDERS))
        assert max(self.refused_s, self.told_s, self.cut_s, self.took_s) < SHUTDOWN_S + SLACK_S


async def stopped(found: Site, *again: signal.Signals) -> End:
    """Tell it to stop, and then a few times more if somebody is impatient."""
    began = time.monotonic()
    refusing = asyncio.create_task(refused_from(found.server))
    cutting = [asyncio.create_task(browser.until_cut()) for browser in found.crowd.stuck]
    ending = asyncio.create_task(found.server.end(signal.SIGTERM))
    for number in again:
        await asyncio.sleep(0.2)
        found.server.process.send_signal(number)
    code, took_s = await ending
    assert "Traceback" not in found.server.said(), found.server.said()
    cut_s = max([await cut - began for cut in cutting])
    return End(code, took_s, await refusing - began, cut_s, found.told_within(began), found.codes())


async def balanced(found: Site) -> str:
    """Start it again, let everyone send what was not acknowledged, and hold the ledger against the table."""
    assert (await found.ledger.balance(found.storage)).even
    await found.server.start()
    await found.server.until_it_listens()
    for sender in found.senders:
        sender.stopped = True
    async with asyncio.timeout(DEADLINE_S):
        while not all(sender.done for sender in found.senders):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    balance = await found.ledger.balance(found.storage)
    assert balance.even
    return str(balance)


@pytest.mark.promise("F9")
async def test_all_are_told_at_once_the_stuck_are_cut_and_what_was_queued_is_committed(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    async with site(storage_url, tmp_path) as found:
        end = await stopped(found)
        end.holds()
        figure(f"{found.storage.scheme}: {end}; {await balanced(found)}")


@pytest.mark.promise("F9")
async def test_the_same_holds_while_the_database_is_away(storage_url: str, tmp_path: Path, figure: Figure) -> None:
    async with AsyncExitStack() as stack:
        url = storage_url
        if not url.startswith("sqlite"):
            parts = urlsplit(storage_url)
            proxy = await stack.enter_async_context(proxy_to(parts.port or 0))
            url = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}"))
        found = await stack.enter_async_context(site(url, tmp_path, direct=storage_url))
        if url == storage_url:
            other = sqlite3.connect(url.removeprefix("sqlite:///"))
            stack.callback(other.close)
            other.execute("BEGIN IMMEDIATE")
            end = await stopped(found)
            other.rollback()
        else:
            proxy.stall()
            end = await stopped(found)
            proxy.resume()
        end.holds()
        figure(f"{found.storage.scheme} away: {end}; {await balanced(found)}")


@pytest.mark.promise("F9")
async def test_who_is_impatient_gets_the_same(tmp_path: Path) -> None:
    async with site(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as found:
        (await stopped(found, signal.SIGTERM, signal.SIGINT, signal.SIGINT)).holds()
        await balanced(found)
