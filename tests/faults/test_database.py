"""The database restarts hard, freezes, is stalled on the way, or locked by somebody else, while readings come.

Senders with `batch_id` go on all the time. What was acknowledged is stored, and stored once; the server process stays
the same, says of itself how it is, and recovers without help.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.faults.installation import Installation, installed
from tests.faults.ledger import Balance, Ledger
from tests.faults.process import DEADLINE_S
from tests.faults.senders import Careful, sending
from tests.postgres import PostgresServer
from tests.promises import LONG, Figure
from tests.proxy import Proxy, proxy_to

RESTARTS = 20 if LONG else 2
SENDERS = 3
BOUND_S = 5.0
"""Within which a database that says nothing is found out, with the settings that come without asking."""
SLACK_S = 0.0 if LONG else 10.0  # for a machine that is busy with other tests
LIMIT_S = 5.0 if LONG else 0.5
"""For one statement; the long form has the default."""

HELD_S = 15.0 if LONG else 0.0
LOCKED_S = 30.0 if LONG else 2.0  # longer than it takes to wait for a thread, its work and an answer
UNHINDERED = ("/api/v1/datapoints/latest", "/health", "/metrics", "/api/v1/auth/me")
"""What needs no database."""

LIMITS = {"STORAGE__STATEMENT_TIMEOUT_S": f"{LIMIT_S}", "STORAGE__CONNECT_TIMEOUT_S": f"{LIMIT_S}"}


def three(ledger: Ledger, site: Installation) -> list[Careful]:
    return [Careful(ledger, site.plant, random.Random(number)) for number in range(SENDERS)]


@pytest.mark.promise("F1", "P1", "P2")
async def test_a_database_that_restarts_hard_costs_nothing_but_time(
    stoppable: PostgresServer, stoppable_url: str, tmp_path: Path, figure: Figure
) -> None:
    chance, ledger = random.Random(1), Ledger()
    back_after_s = []
    async with installed(stoppable_url, tmp_path) as site:
        async with sending(site.server.address, *three(ledger, site)):
            for _ in range(RESTARTS):
                await ledger.acknowledged_after(time.monotonic())
                await asyncio.sleep(chance.uniform(0, 1.0))
                await asyncio.to_thread(stoppable.stop)
                await site.until_health("degraded")
                await asyncio.to_thread(stoppable.start)
                answers = time.monotonic()
                back_after_s.append(await ledger.acknowledged_after(answers) - answers)
                await site.until_health("ok")
        balance = await ledger.balance(site.storage)
        assert balance.even, balance
        assert balance.stored == balance.acknowledged
    figure(
        f"{RESTARTS} hard restarts under load: {balance}; storing again {statistics.median(back_after_s):.1f} s"
        f" (median), {max(back_after_s):.1f} s (longest) after the database answers; one process all the time"
    )


@dataclass(frozen=True)
class Endured:
    """How a fault went that all must survive; durations in seconds."""

    degraded_s: float
    """From the fault until /health said so."""
    answer_s: float
    """The slowest answer that needs no database."""
    login: int
    login_s: float
    back_s: float
    """From the end of the fault to the next acknowledgement."""
    balance: Balance

    def __str__(self) -> str:
        return (
            f"degraded after {self.degraded_s:.1f} s; meanwhile latest values and /health within"
            f" {self.answer_s * 1000:.0f} ms, a login {self.login} after {self.login_s:.1f} s; storing again"
            f" {self.back_s:.1f} s after it; {self.balance}"
        )


async def endured(
    site: Installation, ledger: Ledger, fault: AbstractAsyncContextManager[object], held_s: float
) -> Endured:
    """Senders at work, a fault that lasts a while, what must hold meanwhile, and recovery without help."""
    async with sending(site.server.address, *three(ledger, site)):
        await ledger.acknowledged_after(time.monotonic())
        async with fault:
            began = time.monotonic()
            degraded_s = await site.until_health("degraded") - began
            silent_since = ledger.acknowledged_at
            answers_s = [await timed(site.get(path)) for path in UNHINDERED]
            login_s = -time.monotonic()
            login = await site.sign_in(within_s=3 * LIMIT_S + SLACK_S)
            login_s += time.monotonic()
            while time.monotonic() < began + held_s:
                answers_s += [await timed(site.get(path)) for path in UNHINDERED]
                await asyncio.sleep(0.1)
            assert ledger.acknowledged_at == silent_since
        over = time.monotonic()
        back_s = await ledger.acknowledged_after(over) - over
        await site.until_health("ok")
    balance = await ledger.balance(site.storage)
    assert balance.even, balance
    assert balance.stored == balance.acknowledged
    return Endured(degraded_s, max(answers_s), login, login_s, back_s, balance)


async def timed(call: Awaitable[object]) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began


@asynccontextmanager
async def frozen(postgres: PostgresServer) -> AsyncIterator[None]:
    postgres.freeze()
    try:
        yield
    finally:
        postgres.thaw()


@asynccontextmanager
async def stalled(proxy: Proxy) -> AsyncIterator[None]:
    proxy.stall()
    try:
        yield
    finally:
        proxy.resume()


@pytest.mark.promise("F2")
async def test_a_database_that_says_nothing_is_found_out_and_holds_up_nobody_else(
    stoppable: PostgresServer, stoppable_url: str, tmp_path: Path, figure: Figure
) -> None:
    parts = urlsplit(stoppable_url)
    async with proxy_to(parts.port or 0) as proxy:
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}"
        async with installed(url, tmp_path, LIMITS, direct=stoppable_url) as site:
            ledger = Ledger()
            for name, fault in (("frozen", frozen(stoppable)), ("stalled", stalled(proxy))):
                result = await endured(site, ledger, fault, HELD_S)
                assert result.degraded_s < BOUND_S + SLACK_S
                assert result.login == 503
                figure(f"{name}: {result}")


@asynccontextmanager
async def table_locked(url: str) -> AsyncIterator[None]:
    """Somebody has `datapoints` to themselves."""
    other = psycopg2.connect(url)
    try:
        with other.cursor() as cursor:
            await asyncio.to_thread(cursor.execute, "LOCK TABLE datapoints")
        yield
    finally:
        other.close()


@asynccontextmanager
async def file_locked(path: Path) -> AsyncIterator[None]:
    """Somebody has the right to write, and does not let go of it."""
    other = sqlite3.connect(path, isolation_level=None, timeout=DEADLINE_S, check_same_thread=False)
    try:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


@pytest.mark.promise("F6")
async def test_a_database_locked_by_somebody_else_for_longer_than_all_timeouts_is_waited_for(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    kind = urlsplit(storage_url).scheme
    async with installed(storage_url, tmp_path, LIMITS) as site:
        fault = file_locked(tmp_path / "test.db") if kind == "sqlite" else table_locked(storage_url)
        result = await endured(site, Ledger(), fault, LOCKED_S)
        assert result.login == (503 if kind == "sqlite" else 200)  # there, only the readings are locked
    figure(f"{kind}, locked for {LOCKED_S:.0f} s: {result}")
