"""`python -m benchmarks.scale`: ten thousand events with a rule each, and twenty million readings of eight weeks.

How long a server takes to start on all that; what the questions of the pages cost; and what a reading costs that comes
in, with few events and with many, into an empty table and into a full one.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import click
import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks import wire
from benchmarks.installed import postgres
from benchmarks.load import Load
from benchmarks.server import Server, serving
from benchmarks.workers import Worker
from tests.plant import Plant, furnish, now_us, settings_for
from webmacs.extensions import load_storage
from webmacs.storage.base import Storage
from webmacs.storage.partitions import DAY_US
from webmacs.storage.rollups import Rollups

DAYS: Final = 56
BUSY: Final = 20  # events of which every other reading is, all the time
RUN: Final = 60  # so many readings in a row has each of the others, in turn
FEW: Final = 10
READINGS: Final = 500
CONTROLLERS: Final = 4
TIMEOUT_S: Final = 600.0
API: Final = "/api/v1/datapoints"
STARTS, TIMES = 5, 20

_NUMBERS: Final = {  # from 1 to `{count}`
    "sqlite": "(WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c)",
    "postgresql": "(SELECT n FROM generate_series(1, {count}) AS c (n))",
}
_EVENTS: Final = (
    """
    INSERT INTO events (public_id, name, min_value, max_value, unit, type, created_us)
    SELECT 'event-' || n, 'Event ' || n, 0.0, 100.0, 'V', 'sensor', 0 FROM {numbers} AS c
    """,
    """
    INSERT INTO channels (public_id, plugin_id, channel_id, channel_name, direction, unit, event_id, created_us)
    SELECT 'channel-' || id, (SELECT id FROM plugins), 'c' || id, name, 'input', unit, id, 0 FROM events
    WHERE public_id LIKE 'event-%'
    """,
    """
    INSERT INTO rules (public_id, name, event_id, operator, threshold, action, created_us)
    SELECT 'rule-' || id, name, id, 'gt', 1e9, 'log', 0 FROM events WHERE public_id LIKE 'event-%'
    """,
    "UPDATE experiments SET started_us = {begin_us}",
)
# Every other reading is of one that is busy, the rest of the others in turn; of a tenth of them there is none.
_WHO: Final = (
    "(SELECT min(id) FROM events WHERE public_id LIKE 'event-%') + CASE WHEN n % 2 = 0 THEN n / 2 % {busy}"
    " ELSE {busy} + n / 2 / {run} % {others} END"
)
_READINGS: Final = """
    INSERT INTO datapoints (id, event_id, time, value, experiment_id)
    SELECT n, {who}, {time}, n % 1000 / 10.0, (SELECT id FROM experiments) FROM {numbers} AS c
"""
_INDEX: Final = "CREATE INDEX datapoints_event_time ON datapoints (event_id, time)"  # as in the migrations


@dataclass
class Found:
    """What was measured on one storage."""

    filled_s: float = 0.0
    rolled_s: float = 0.0
    started_s: dict[str, list[float]] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)
    delays: dict[str, list[float]] = field(default_factory=dict)  # milliseconds
    costs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Of readings that come in: how many a second, and microseconds of the server's processor for each."""


@click.command()
@click.option("--rows", default=20_000_000, show_default=True, help="How many readings there are.")
@click.option("--events", default=10_000, show_default=True, help="How many events, each with a rule.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each measurement of ingestion sends.")
@click.option("--repeat", default=3, show_default=True, help="How often ingestion is measured.")
@click.option(
    "--storage", "storages", type=click.Choice(["sqlite", "postgresql"]), multiple=True, help="Default: both."
)
@click.option("--postgres-url", help="A PostgreSQL whose databases may be made and dropped. Default: one is started.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where what is filled stays, for the next run.")
def main(
    rows: int,
    events: int,
    seconds: float,
    repeat: int,
    storages: Sequence[str],
    postgres_url: str | None,
    keep: Path | None,
) -> None:
    """Measure on each storage."""
    console = Console(width=120)
    found = {}
    for name in storages or ("sqlite", "postgresql"):
        with ExitStack() as stack:
            base = postgres_url or (stack.enter_context(postgres()) if name == "postgresql" else "")
            bench = Bench(console, name, base)
            found[name] = bench.found
            for there, stored, kept in ((FEW, 0, None), (events, 0, None), (events, rows, keep and keep / name)):
                with (
                    _directory(kept) as directory,
                    bench.installation(directory, "full" if stored else "empty", there, stored) as (url, plant),
                ):
                    what = f"{there:,} events, {stored / 1e6:g} million readings"
                    bench.start(what, url, directory, plant)
                    with serving(url, directory, plant) as server:
                        if stored:
                            bench.ask(server)
                        for sent in sorted({FEW, READINGS, there}):
                            if sent <= there:
                                bench.ingest(f"{what}, {sent:,} sent", server, plant.linked[:sent], seconds, repeat)
    console.print(_table(found, rows, events))


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    """One that stays, or one that goes."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    directory = Path(tempfile.mkdtemp(prefix="webmacs-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


class Bench:
    """One storage at work."""

    def __init__(self, console: Console, name: str, base: str) -> None:
        """`base`: for PostgreSQL, the URL of a server on which databases may be made."""
        self._console, self._name, self._base = console, name, base
        self.found = Found()

    @contextmanager
    def installation(self, directory: Path, what: str, events: int, rows: int) -> Iterator[tuple[str, Plant]]:
        """A storage with so many events and readings; what was kept there is taken as it is."""
        url = f"sqlite:///{directory / 'webmacs.db'}"
        if self._name == "postgresql":
            url = f"{self._base.rpartition('/')[0]}/scale_{what}"
        note = directory / "plant.json"
        if not note.exists():
            if self._name == "postgresql":
                _run(self._base, f"DROP DATABASE IF EXISTS scale_{what}", f"CREATE DATABASE scale_{what}")
            plant = asyncio.run(self._made(url, directory, events, rows))
            note.write_text(json.dumps(asdict(plant)))
        yield url, Plant(**json.loads(note.read_text()))

    async def _made(self, url: str, directory: Path, events: int, rows: int) -> Plant:
        storage = load_storage(settings_for(url, directory))
        await storage.open()
        try:
            begin_us = now_us() - DAYS * DAY_US
            for day in range(DAYS + 1):  # as a server has made them that was there all the time
                await storage.make_room(begin_us + day * DAY_US)
            plant = await furnish(storage, events=0)
            self._fill(storage, events, rows, begin_us)
            plant.linked = [f"event-{number}" for number in range(1, events + 1)]
            if rows:
                await self._roll_up(storage)
        finally:
            await storage.close()
        if rows and self._name == "postgresql":
            _run(url, "VACUUM ANALYZE")  # as autovacuum does in the minutes after
        return plant

    def _fill(self, storage: Storage, events: int, rows: int, begin_us: int) -> None:
        """By the database itself, the index at last: that is quickest."""
        began = time.perf_counter()
        numbers = _NUMBERS[self._name].format(count=events)
        statements = [statement.format(numbers=numbers, begin_us=begin_us) for statement in _EVENTS]
        if rows:
            others = max(1, (events - BUSY) * 9 // 10)
            who = _WHO.format(busy=min(BUSY, events), run=RUN, others=others)
            moment = storage.dialect.moment(f"{begin_us} + n * CAST({DAYS * DAY_US // rows} AS bigint)")
            readings = _READINGS.format(who=who, time=moment, numbers=_NUMBERS[self._name].format(count=rows))
            statements += ["DROP INDEX datapoints_event_time", readings, _INDEX]
            if self._name == "postgresql":
                statements.append(f"SELECT setval('datapoint_blocks', {rows // 2**20 + 2})")
        if self._name == "sqlite":
            with closing(sqlite3.connect(storage.url.removeprefix("sqlite:///"), isolation_level=None)) as database:
                for statement in ("PRAGMA cache_size = -1000000", "BEGIN", *statements, "COMMIT"):
                    database.execute(statement)
        else:
            _run(storage.url, "SET maintenance_work_mem = '1GB'", *statements, "ANALYZE")
        if rows:
            self.found.filled_s = time.perf_counter() - began
            self._console.print(f"{self._name}: {rows / 1e6:g} million readings in {self.found.filled_s:.0f} s")

    async def _roll_up(self, storage: Storage) -> None:
        began = time.perf_counter()
        rollups = Rollups(storage)
        while await rollups.advance(now_us()):
            continue
        self.found.rolled_s = time.perf_counter() - began
        self._console.print(f"{self._name}: rolled up in {self.found.rolled_s:.0f} s")

    def start(self, what: str, url: str, directory: Path, plant: Plant) -> None:
        """From the start of the process until it listens."""
        times = []
        for _ in range(STARTS):
            with serving(url, directory, plant) as server:
                times.append(server.started_s)
                self.found.memory_mib[what] = server.memory_mib()
        self.found.started_s[what] = times
        self._console.print(f"{self._name}: {what}: listens after {statistics.median(times):.2f} s")

    def ask(self, server: Server) -> None:
        """What the pages ask."""
        busy, quiet = server.events[:BUSY], server.events[BUSY : 2 * BUSY]
        questions: dict[str, tuple[str, object]] = {
            "/latest": (f"{API}/latest", None),
            "page 1": (API, None),
            "page 1,000": (f"{API}?page=1000", None),
            "page 100,000": (f"{API}?page=100000&page_size=100", None),
            "an hour, 20 busy events": (f"{API}/series", {"event_public_ids": busy, "minutes": 60}),
            "ten days, 1 busy event": (f"{API}/series", {"event_public_ids": busy[:1], "minutes": 14_400}),
            "ten days, 20 busy events": (f"{API}/series", {"event_public_ids": busy, "minutes": 14_400}),
            "ten days, 20 quiet events": (f"{API}/series", {"event_public_ids": quiet, "minutes": 14_400}),
        }
        for what, (path, body) in questions.items():
            self.found.delays[what] = [_ask(server, path, body) for _ in range(TIMES)]
            self._console.print(f"{self._name}: {what}: {statistics.median(self.found.delays[what]):.1f} ms")

    def ingest(self, what: str, server: Server, events: list[str], seconds: float, repeat: int) -> None:
        """As fast as the server reads, of these events."""
        for _ in range(repeat):
            name = uuid.uuid4().hex
            load = Load(server.port, server.operator_token, events, READINGS, CONTROLLERS, False, seconds, name)
            with Worker("load", load) as sender:
                cpu_s = server.cpu_s()
                sent = sender.result()
                cpu_s = server.cpu_s() - cpu_s
            cost = sent["rows"] / sent["seconds"], cpu_s / sent["rows"] * 1e6
            self.found.costs.setdefault(what, []).append(cost)
            self._console.print(f"{self._name}: {what}: {cost[0]:,.0f} readings/s, {cost[1]:.2f} µs for each")


def _ask(server: Server, path: str, body: object) -> float:
    connection = http.client.HTTPConnection(wire.HOST, server.port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {server.viewer_token}", "Content-Type": "application/json"}
    began = time.perf_counter()
    with closing(connection):
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {response.status} {answer!r}")
    return (time.perf_counter() - began) * 1000


def _run(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _table(found: dict[str, Found], rows: int, events: int) -> Table:
    title = f"{rows / 1e6:g} million readings, {events:,} events with a rule each; median and largest"
    table = Table("", *found, title=title)
    columns = [list(_rows(one)) for one in found.values()]
    for cells in zip(*columns, strict=True):
        table.add_row(cells[0][0], *(value for _, value in cells))
    return table


def _rows(found: Found) -> Iterator[tuple[str, str]]:
    for what, times in found.started_s.items():
        yield f"{what}: listens after, s", f"{statistics.median(times):.2f}, {max(times):.2f}"
        yield f"{what}: memory, MiB", f"{found.memory_mib[what]:.0f}"
    for what, delays in found.delays.items():
        yield f"{what}, ms", f"{statistics.median(delays):.1f}, {max(delays):.1f}"
    for what, costs in found.costs.items():
        per_s, each_us = (statistics.median(column) for column in zip(*costs, strict=True))
        yield f"{what}: readings/s", f"{per_s:,.0f}"
        yield f"{what}: µs of the server for each", f"{each_us:.2f}"


if __name__ == "__main__":
    main()
