"""`python -m benchmarks.history`: looking back on ten million readings.

20 events over ten days, stored as a server stores them. What pages, series and the newest values take over HTTP; what
an export of everything takes of the server's memory; and what those who send notice while ten days are asked for.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import psycopg2
from rich.console import Console
from rich.table import Table

from benchmarks import wire
from benchmarks.__main__ import postgres
from benchmarks.crowd import Crowd, Noticed, Part
from benchmarks.server import Server, running
from benchmarks.workers import Worker
from tests.plant import Plant, now_us
from webmacs.model import Reading, Write
from webmacs.storage import records
from webmacs.storage.base import Commit, Storage
from webmacs.storage.rollups import Rollups

EVENTS: Final = 20
DAYS_US: Final = 10 * 86_400_000_000
COMMIT_ROWS: Final = 8_000
TIMEOUT_S: Final = 600.0
MIB: Final = 2**20
API: Final = "/api/v1/datapoints"
PAUSE_S: Final = 0.2
ALONE, ASKED, BURNT = BESIDE = ("alone", "while ten days are asked for", "while a process computes as long")


@dataclass
class Found:
    """What was measured on one storage."""

    stored_s: float = 0.0
    rolled_s: float = 0.0
    delays: dict[str, list[float]] = field(default_factory=dict)  # milliseconds
    export_s: float = 0.0
    export_bytes: int = 0
    memory_mib: tuple[float, float] = (0.0, 0.0)  # before, and at most meanwhile
    acknowledged: dict[str, list[list[float]]] = field(default_factory=lambda: {beside: [] for beside in BESIDE})
    asked: int = 0


@click.command()
@click.option("--readings", default=10_000_000, show_default=True, help="How many are stored.")
@click.option("--seconds", default=15.0, show_default=True, help="How long each measurement of acknowledgements takes.")
@click.option("--repeat", default=3, show_default=True, help="How often it is done, with and without, in turn.")
@click.option(
    "--storage", "storages", type=click.Choice(["sqlite", "postgresql"]), multiple=True, help="Default: both."
)
def main(readings: int, seconds: float, repeat: int, storages: Sequence[str]) -> None:
    """Measure on each storage."""
    console = Console(width=120)
    found = {}
    for name in storages or ("sqlite", "postgresql"):
        with _store(name) as (url, directory):
            found[name] = _measure(console, name, url, directory, readings, seconds, repeat)
    console.print(_table(found, readings))


@contextmanager
def _store(name: str) -> Iterator[tuple[str, Path]]:
    directory = Path(tempfile.mkdtemp(prefix="webmacs-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        if name == "sqlite":
            yield f"sqlite:///{directory / 'webmacs.db'}", directory
            return
        base = stack.enter_context(postgres())
        connection = psycopg2.connect(base)
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE history")
        connection.close()
        yield f"{base.rpartition('/')[0]}/history", directory


def _measure(
    console: Console, name: str, url: str, directory: Path, readings: int, seconds: float, repeat: int
) -> Found:
    found = Found()

    async def prepare(storage: Storage, plant: Plant) -> None:
        began = time.perf_counter()
        await _fill(console, name, storage, plant, readings)
        found.stored_s = time.perf_counter() - began
        began = time.perf_counter()
        rollups = Rollups(storage)
        while await rollups.advance(now_us()):
            continue
        found.rolled_s = time.perf_counter() - began
        if name == "postgresql":
            _vacuum(url)
        console.print(f"{name}: stored in {found.stored_s:.0f} s, rolled up in {found.rolled_s:.0f} s")

    with running(url, directory, events=EVENTS + 1, prepare=prepare) as server:
        history, asked = server.events[:EVENTS], server.events[EVENTS]
        everything = {"event_public_ids": history, "minutes": 14_400}
        questions: dict[str, tuple[str, object, int]] = {
            "/latest": (f"{API}/latest", None, 200),
            "ten days, 20 events": (f"{API}/series", everything, 20),
            "ten days, 1 event": (f"{API}/series", {**everything, "event_public_ids": history[:1]}, 50),
            "six hours, 20 events": (f"{API}/series", {**everything, "minutes": 360, "max_points": 300}, 20),
            "an hour, 20 events": (f"{API}/series", {**everything, "minutes": 60}, 20),
            "page 1": (API, None, 20),
            "page 1,000": (f"{API}?page=1000", None, 20),
            "page 100,000": (f"{API}?page=100000&page_size=100", None, 5),
        }
        for what, (path, body, times) in questions.items():
            found.delays[what] = [_ask(server, path, body) for _ in range(times)]
            console.print(f"{name}: {what}: {statistics.median(found.delays[what]):.1f} ms")
        _export(server, found)
        console.print(f"{name}: exported {found.export_bytes / MIB:.0f} MiB in {found.export_s:.0f} s")
        for repetition in range(repeat):
            for beside in BESIDE if repetition % 2 == 0 else reversed(BESIDE):
                with ExitStack() as meanwhile:
                    if beside == ASKED:
                        meanwhile.enter_context(_asking(server, everything, found))
                    elif beside == BURNT:
                        meanwhile.enter_context(_burning(statistics.median(found.delays["ten days, 20 events"]) / 1000))
                    delays = _acknowledged(server, asked, history, seconds, f"{repetition}-{BESIDE.index(beside)}")
                found.acknowledged[beside].append(delays)
                console.print(
                    f"{name}: acknowledgements {beside}:"
                    f" p50 {_percentile(delays, 50):.2f} ms, p99 {_percentile(delays, 99):.2f} ms"
                )
    return found


def _vacuum(url: str) -> None:
    """What autovacuum does in the minutes after so much has been stored."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute("VACUUM ANALYZE")
    connection.close()


async def _fill(console: Console, name: str, storage: Storage, plant: Plant, readings: int) -> None:
    """Evenly over the ten days before now, in one experiment that began with them."""
    begin_us = now_us() - DAYS_US
    await storage.write(Write("UPDATE experiments SET started_us = :begin_us", ({"begin_us": begin_us},)))
    snapshot = await records.snapshot(storage, now_us())
    events = [snapshot.events[public_id] for public_id in plant.linked[:EVENTS]]
    (experiment,) = snapshot.experiments
    step_us = DAYS_US // (readings // EVENTS)
    chance = random.Random(1)
    said = time.monotonic()
    rows: list[Reading] = []
    seq = stored = 0

    async def commit() -> None:
        nonlocal seq, stored
        seq += 1
        await storage.append(Commit(seq, await storage.reserve(len(rows)), rows))
        stored += len(rows)
        rows.clear()

    for number in range(readings // EVENTS):
        time_us = begin_us + number * step_us
        wave = 50 * math.sin(number / 5_000)
        rows += [Reading(event, time_us + n, wave + chance.random(), experiment) for n, event in enumerate(events)]
        if len(rows) >= COMMIT_ROWS:
            await commit()
        if time.monotonic() > said + 10:
            said = time.monotonic()
            console.print(f"{name}: {stored / 1e6:.1f} million readings stored")
    await commit()


def _request(server: Server, path: str, body: object) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(wire.HOST, server.port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {server.viewer_token}", "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {response.status} {response.read()!r}")
    return response


def _ask(server: Server, path: str, body: object) -> float:
    began = time.perf_counter()
    _request(server, path, body).read()
    return (time.perf_counter() - began) * 1000


def _export(server: Server, found: Found) -> None:
    experiments = json.loads(_request(server, "/api/v1/experiments", None).read())["data"]
    before = most = server.memory_mib()
    began, looked = time.perf_counter(), 0.0
    response = _request(server, f"/api/v1/experiments/{experiments[0]['public_id']}/export/csv", None)
    while some := response.read(1 << 16):
        found.export_bytes += len(some)
        if time.perf_counter() > looked + 0.2:
            looked = time.perf_counter()
            most = max(most, server.memory_mib())
    found.export_s = time.perf_counter() - began
    found.memory_mib = (before, most)


@contextmanager
def _asking(server: Server, body: object, found: Found) -> Iterator[None]:
    """Ten days of all events, again and again, as a wall of charts does: the next a moment after the last."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(PAUSE_S):
            _ask(server, f"{API}/series", body)
            found.asked += 1

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        try:
            yield
        finally:
            over.set()
            asking.result()


@contextmanager
def _burning(seconds: float) -> Iterator[None]:
    """What it costs on this machine that there is work beside, whatever work it is."""
    code = (
        "import time\nwhile True:\n"
        f"    until = time.perf_counter() + {seconds}\n    while time.perf_counter() < until: pass\n"
        f"    time.sleep({PAUSE_S})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


def _acknowledged(server: Server, asked: str, events: list[str], seconds: float, name: str) -> list[float]:
    """Milliseconds from a reading's being sent to its acknowledgement, while others come in beside."""

    def worker(part: Part) -> Worker:
        return Worker("crowd", Crowd(part, server.port, server.operator_token, events, asked, 0, seconds, name))

    with ExitStack() as everyone, ThreadPoolExecutor() as signs:
        workers = {part: everyone.enter_context(worker(part)) for part in ("show", "ask")}
        results = {part: signs.submit(workers[part].result) for part in workers}
        return Noticed(**results["ask"].result()).delays


def _table(found: dict[str, Found], readings: int) -> Table:
    table = Table(f"{readings / 1e6:g} million readings", *found, title="milliseconds, median and largest")
    columns = [_rows(one, readings) for one in found.values()]
    for cells in zip(*columns, strict=True):
        table.add_row(cells[0][0], *(value for _, value in cells))
    return table


def _rows(found: Found, readings: int) -> Iterator[tuple[str, str]]:
    for what, delays in found.delays.items():
        yield what, f"{statistics.median(delays):.1f}, {max(delays):.1f}"
    yield "export, readings/s", f"{readings / found.export_s:,.0f}"
    yield "memory before and during it, MiB", f"{found.memory_mib[0]:.0f}, {found.memory_mib[1]:.0f}"
    for beside in BESIDE:
        p50, p99 = (statistics.median(_percentile(one, n) for one in found.acknowledged[beside]) for n in (50, 99))
        yield f"acknowledgements {beside}, p50 and p99", f"{p50:.2f}, {p99:.2f}"
    yield "questions asked meanwhile", str(found.asked)


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
