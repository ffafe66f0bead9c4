"""No acknowledgement leaves before the disk has said that its readings are there: seen from outside, by strace.

A kill does not show that, as what the kernel was given survives it; what a power cut takes is what was not flushed. So
the log of the storage is read as it was written, and each acknowledgement held against it: the transaction of each of
its readings was written to its end, then a flush began, it returned, and only then the acknowledgement was sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.faults.disk import Flushed, on_postgresql, on_sqlite
from tests.faults.process import ServerProcess
from tests.faults.trace import Call, calls, tracing
from tests.plant import Plant, furnish, settings_for
from tests.postgres import PostgresServer
from tests.promises import LONG, Figure
from webmacs.extensions import load_storage
from webmacs.model import Role

SENDERS = 4
BATCHES = 500 if LONG else 25
READINGS = 3
DEADLINE_S = 120.0
ACKNOWLEDGEMENT = re.compile(rb'{"type":"ack","batch_id":"([^"]+)"')

CARELESS = """
import runpy, sqlite3

class Careless(sqlite3.Connection):
    def execute(self, statement, *values):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *values)

connect = sqlite3.connect
sqlite3.connect = lambda *where, **how: connect(*where, factory=Careless, **how)
runpy.run_module("webmacs", run_name="__main__", alter_sys=True)
"""
"""A server whose database leaves it to the kernel when things are written."""

PATIENT = "?options=-c%20synchronous_commit%3Doff"
"""To the end of the address of a PostgreSQL: it answers before it has flushed."""


@dataclass
class Seen:
    """A load, and what the server and its database asked of the kernel meanwhile."""

    sent: dict[str, list[float]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def acknowledgements(self) -> Iterator[tuple[str, Call]]:
        for call in self.calls:
            if call.file.startswith("TCP"):
                for batch_id in ACKNOWLEDGEMENT.findall(call.data):
                    yield batch_id.decode(), call

    def early(self, on: Callable[[Sequence[Call], Iterable[float]], Flushed]) -> list[str]:
        """Batches whose acknowledgement was sent before all of its readings were on the disk."""
        flushed = on(self.calls, [value for values in self.sent.values() for value in values])
        return [
            batch_id
            for batch_id, call in self.acknowledgements()
            if call.began <= max(flushed[value] for value in self.sent[batch_id])
        ]

    def said(self, early: list[str], log: str) -> str:
        flushes = sum(call.flushes and log in call.file for call in self.calls)
        return (
            f"{len(self.sent):,} acknowledgements of {READINGS * len(self.sent):,} readings, {flushes:,} flushes of the"
            f" log; sent before the flush of its commit had returned: {len(early)}"
        )


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Of one's own, as all of its processes are traced."""
    server = PostgresServer(autovacuum="off")  # its workers come and go, and cannot be attached to by then
    yield server
    server.remove()


async def watched(url: str, directory: Path, database: PostgresServer | None = None, *, program: str = "") -> Seen:
    """A load on a server of its own, traced with its database; every batch is acknowledged."""
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    plant = await furnish(storage)
    await storage.close()
    seen, log = Seen(), directory / "trace"
    server = ServerProcess(url, directory, program=program)
    try:
        await server.start()
        await server.until_it_listens()
        traced = [server.process.pid, *(database.processes() if database else ())]
        async with asyncio.timeout(DEADLINE_S), tracing(traced, log), asyncio.TaskGroup() as senders:
            for number in range(SENDERS):
                senders.create_task(send(server, plant, number, seen))
    finally:
        await server.end()
    seen.calls = calls(log)
    log.unlink()  # hundreds of megabytes
    assert sorted(batch_id for batch_id, _ in seen.acknowledgements()) == sorted(seen.sent)
    return seen


async def send(server: ServerProcess, plant: Plant, sender: int, seen: Seen) -> None:
    """Batch after batch, each acknowledged before the next. No value comes twice, and none is a whole number."""
    url, token = f"{server.address}/ws/controller/telemetry", plant.tokens[Role.OPERATOR]
    async with aiohttp.ClientSession() as client, client.ws_connect(url, params={"token": token}) as socket:
        for number in range(BATCHES):
            batch_id, first = f"{sender}-{number}", (sender * BATCHES + number) * READINGS
            seen.sent[batch_id] = values = [1e6 + first + place + 0.5 for place in range(READINGS)]
            items = [
                {"value": value, "event_public_id": event} for value, event in zip(values, plant.linked, strict=True)
            ]
            await socket.send_json({"datapoints": items, "batch_id": batch_id})
            answer = await socket.receive_json()
            assert (answer["type"], answer["batch_id"], answer["accepted"]) == ("ack", batch_id, READINGS)


@pytest.mark.promise("P1", "P6")
async def test_no_acknowledgement_leaves_before_the_flush_of_its_commit_on_sqlite(
    tmp_path: Path, figure: Figure
) -> None:
    seen = await watched(f"sqlite:///{tmp_path / 'test.db'}", tmp_path)
    early = seen.early(on_sqlite)
    figure(f"sqlite: {seen.said(early, '-wal')}")
    assert not early


@pytest.mark.promise("P1", "P6")
async def test_no_acknowledgement_leaves_before_the_flush_of_its_commit_on_postgresql(
    tmp_path: Path, postgres: PostgresServer, figure: Figure
) -> None:
    postgres.execute("CREATE DATABASE strict")
    seen = await watched(postgres.url("strict"), tmp_path, postgres)
    early = seen.early(on_postgresql)
    figure(f"postgresql: {seen.said(early, '/pg_wal/')}")
    assert not early


@pytest.mark.promise("P6")
async def test_a_database_that_is_set_to_answer_early_does_not_make_us_do_so(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    postgres.execute("CREATE DATABASE hasty")
    postgres.execute("ALTER DATABASE hasty SET synchronous_commit = off")
    seen = await watched(postgres.url("hasty"), tmp_path, postgres)
    assert not seen.early(on_postgresql)


async def test_a_server_on_sqlite_that_does_not_flush_is_found_out(tmp_path: Path) -> None:
    seen = await watched(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, program=CARELESS)
    assert len(seen.early(on_sqlite)) == len(seen.sent)


async def test_a_postgresql_that_answers_before_it_flushes_is_found_out(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    postgres.execute("CREATE DATABASE patient")
    seen = await watched(f"{postgres.url('patient')}{PATIENT}", tmp_path, postgres)
    assert len(seen.early(on_postgresql)) > len(seen.sent) / 2  # the log's own writer is quick at times
