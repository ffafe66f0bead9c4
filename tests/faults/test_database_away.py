"""The storage is away for longer than the queue lasts, at full rate: who is told what, what is counted, and memory."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import BACKENDS
from tests.faults.installation import Installation, installed
from tests.faults.ledger import Ledger
from tests.faults.process import DEADLINE_S
from tests.faults.senders import Careful, Careless, sending
from tests.postgres import PostgresServer
from tests.promises import LONG, Figure
from webmacs.model import Role
from webmacs.pipeline.queue import NOT_STORED

AWAY_S = 60.0 if LONG else 0.5  # once senders are being refused
PAUSE_S = 0.0 if LONG else 0.005
SIZE = 100
FLAT_MIB = 16.0
"""What the memory of a process may move by: 20,000 readings are as much."""
SHORT = {
    "PIPELINE__QUEUE_ROWS": "2000",
    "PIPELINE__OVERLOAD_TIMEOUT_S": "0.3",
    "STORAGE__STATEMENT_TIMEOUT_S": "0.5",
}
SETTINGS: dict[str, str] = {} if LONG else SHORT


@asynccontextmanager
async def stopped(postgres: PostgresServer) -> AsyncIterator[None]:
    await asyncio.to_thread(postgres.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(postgres.start)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Another process writes, and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None, timeout=DEADLINE_S, check_same_thread=False)
    try:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


async def refused_over_http(site: Installation, ledger: Ledger) -> None:
    """The same over HTTP: 503, when to come again, and counted like any other."""
    values = ledger.issue(5)
    body = {"datapoints": [{"value": value, "event_public_id": site.plant.linked[0]} for value in values]}
    headers = {"Authorization": f"Bearer {site.plant.tokens[Role.OPERATOR]}"}
    ledger.sent += len(values)
    async with site.client.post(
        f"{site.server.address}/api/v1/datapoints/batch", json=body, headers=headers
    ) as response:
        assert (response.status, (await response.json())["detail"]) == (503, NOT_STORED)
        assert int(response.headers["Retry-After"]) > 0
    ledger.refuse(values, NOT_STORED)


@pytest.mark.promise("F3")
@pytest.mark.parametrize("kind", BACKENDS)
async def test_what_an_outage_costs_is_told_and_counted_exactly_and_memory_stays_flat(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, figure: Figure
) -> None:
    ledger, memory = Ledger(), list[float]()
    if kind == "sqlite":
        url, outage = f"sqlite:///{tmp_path / 'test.db'}", locked(tmp_path / "test.db")
    else:
        url = request.getfixturevalue("stoppable_url")
        outage = stopped(request.getfixturevalue("stoppable"))
    async with installed(url, tmp_path, SETTINGS) as site:
        early, late = (
            [Careful(ledger, site.plant, random.Random(n), (SIZE, SIZE), PAUSE_S) for n in range(2)] for _ in range(2)
        )
        careless = [Careless(ledger, site.plant, random.Random(n), (SIZE, SIZE), PAUSE_S) for n in range(2)]
        senders = [*early, *careless, *late]
        async with AsyncExitStack() as at_work:
            await at_work.enter_async_context(sending(site.server.address, *early, *careless))
            await ledger.acknowledged_after(time.monotonic())
            await asyncio.sleep(AWAY_S / 20)
            before = site.server.memory_mib()
            async with outage:
                await site.until_health("degraded")
                silent_since = ledger.acknowledged_at
                async with asyncio.timeout(DEADLINE_S):
                    while not all(sender.complaints for sender in careless):  # noqa: ASYNC110 - they tell nobody else
                        await asyncio.sleep(0.05)
                full = site.server.memory_mib()
                # The batches of the others are in the queue, where nobody has to be told of them.
                await at_work.enter_async_context(sending(site.server.address, *late))
                began = time.monotonic()
                while time.monotonic() < began + AWAY_S or not ledger.refused:
                    assert (await site.get("/health"))["status"] == "degraded"
                    memory.append(site.server.memory_mib())
                    await asyncio.sleep(AWAY_S / 50)
                await refused_over_http(site, ledger)
                assert ledger.acknowledged_at == silent_since
            await ledger.acknowledged_after(time.monotonic())
            await site.until_health("ok")
            after = site.server.memory_mib()
        balance = await ledger.balance(site.storage)
        refused = await site.counted("readings_refused_total")
        # Whoever was cut off in between would have sent what never came.
        assert [sender.connections for sender in senders] == [1] * len(senders)
        assert balance.even, balance
        assert set(ledger.said) == {NOT_STORED}
        # Those that do not ask are told once, of the outage and not of each batch.
        assert [sender.complaints for sender in careless] == [1, 1]
        assert refused > ledger.refused
        assert ledger.sent == balance.stored + refused + ledger.repeated
        assert await site.counted("readings_stored_total") == balance.stored
        assert max(memory) - full < FLAT_MIB
    figure(
        f"{kind}, {AWAY_S:.0f} s of refusals: {ledger.sent:,} readings came = {balance.stored:,} stored + {refused:,}"
        f" refused, of which {ledger.refused:,} one by one with their `batch_id`; lost {balance.lost}, stored twice"
        f" {balance.twice}; memory {before:.0f} MiB before, {full:.0f} with the queue full, at most"
        f" {max(memory):.0f} from then on, {after:.0f} after"
    )
