"""`python -m benchmarks.history`: looking back on ten million readings.

20 events over ten days, stored as a server stores them. What pages, series and the newest values take over HTTP; what
an export of everything takes of the server's memory; and what those who send notice while ten days are asked for.
"""

from __future__ import annotations

import http.client
import json
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
from benchmarks.crowd import Crowd, Noticed, Part
from benchmarks.installed import postgres
from benchmarks.past import EVENTS, fill, roll_up, vacuum
from benchmarks.server import Server, running
from benchmarks.workers import Worker
from tests.plant import Plant
from webmacs.storage.base import Storage

TIMEOUT_S: Final = 600.0
MIB: Final = 2**20
LOOKING: Final = "Looking back"
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
        await fill(storage, plant, readings, lambda text: console.print(f"{name}: {text}"))
        found.stored_s = time.perf_counter() - began
        began = time.perf_counter()
        await roll_up(storage)
        found.rolled_s = time.perf_counter() - began
        if name == "postgresql":
            vacuum(url)
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
            found.delays[what] = [ask(server, path, body) for _ in range(times)]
            console.print(f"{name}: {what}: {statistics.median(found.delays[what]):.1f} ms")
        _export(server, found)
        console.print(f"{name}: exported {found.export_bytes / MIB:.0f} MiB in {found.export_s:.0f} s")
        for repetition in range(repeat):
            for beside in BESIDE if repetition % 2 == 0 else reversed(BESIDE):
                looked: list[float] = []
                with ExitStack() as meanwhile:
                    if beside == ASKED:
                        looked = meanwhile.enter_context(asking(server, everything))
                    elif beside == BURNT:
                        meanwhile.enter_context(burning(statistics.median(found.delays["ten days, 20 events"]) / 1000))
                    delays = acknowledged(server, asked, history, seconds, f"{repetition}-{BESIDE.index(beside)}")
                found.asked += len(looked)
                found.acknowledged[beside].append(delays)
                console.print(
                    f"{name}: acknowledgements {beside}:"
                    f" p50 {percentile(delays, 50):.2f} ms, p99 {percentile(delays, 99):.2f} ms"
                )
    return found


def _request(server: Server, path: str, body: object) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(wire.HOST, server.port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {server.viewer_token}", "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {response.status} {response.read()!r}")
    return response


def ask(server: Server, path: str, body: object) -> float:
    """Milliseconds until the whole answer is there."""
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
def asking(server: Server, body: object) -> Iterator[list[float]]:
    """A series again and again, as a wall of charts does: the next a moment after the last; what each took."""
    over = threading.Event()
    took: list[float] = []

    def look() -> None:
        while not over.wait(PAUSE_S):
            took.append(ask(server, f"{API}/series", body))

    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(look)
        try:
            yield took
        finally:
            over.set()
            looking.result()


@contextmanager
def burning(seconds: float) -> Iterator[None]:
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


def acknowledged(server: Server, asked: str, events: list[str], seconds: float, name: str) -> list[float]:
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
        p50, p99 = (statistics.median(percentile(one, n) for one in found.acknowledged[beside]) for n in (50, 99))
        yield f"acknowledgements {beside}, p50 and p99", f"{p50:.2f}, {p99:.2f}"
    yield "questions asked meanwhile", str(found.asked)


def percentile(values: Sequence[float], percent: int) -> float:
    """Of values in any order."""
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
