"""`python -m benchmarks.rules`: what ten thousand rules on ten thousand events cost.

Servers side by side, each on an empty storage of its own, measured in turn: readings a second, 500 a message, without
acknowledgements, and the time from a reading to its acknowledgement at a steady rate. Medians over the repetitions.
Then what it takes to read the configuration again, and for how long that keeps the loop from everything else.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.crowd import Crowd, Noticed, Part
from benchmarks.installed import STORAGES, empty_store, postgres
from benchmarks.limits import Store
from benchmarks.load import Load
from benchmarks.server import Server, running
from benchmarks.workers import Worker
from tests.plant import Plant, now_us, settings_for
from webmacs.catalog import Catalog
from webmacs.extensions import load_storage
from webmacs.model import Scalar, Write
from webmacs.storage import plugins, records
from webmacs.storage.base import Storage

READINGS: Final = 500  # a message
RELOADS: Final = 20
TICK_S: Final = 0.001
CHUNK: Final = 1_000


@dataclass(frozen=True, slots=True)
class Case:
    """So many events, and a rule on each or on none; of the rules, one in so many is met by every value."""

    events: int
    rules: bool = False
    fires_one_in: int = 0
    action: str = "log"

    def __str__(self) -> str:
        if not self.rules:
            return f"{self.events:,} events, no rules"
        fires = f"1 % fire ({self.action})" if self.fires_one_in else "none fires"
        return f"{self.events:,} events and rules, {fires}"


CASES: Final = (
    Case(10),
    Case(10_000),
    Case(10_000, rules=True),
    Case(10_000, rules=True, fires_one_in=100),
)


@dataclass
class Found:
    """All measurements of a case."""

    rows_per_s: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="How long each load lasts; the steady rate five times.")
@click.option("--repeat", default=5, show_default=True, help="How often each case is measured.")
@click.option("--storage", type=click.Choice(STORAGES), default="sqlite", show_default=True)
@click.option("--postgres-url", help="A PostgreSQL whose databases may be made and dropped. Default: one is started.")
def main(seconds: float, repeat: int, storage: str, postgres_url: str | None) -> None:
    """Measure each case in turn."""
    console = Console(width=130)
    with ExitStack() as stack:
        base = postgres_url or (stack.enter_context(postgres()) if storage == "postgresql" else "")
        tested = {case: stack.enter_context(_under_test(case, base)) for case in CASES}
        found = {case: Found() for case in CASES}
        for repetition in range(repeat):
            for case in CASES[:: 1 if repetition % 2 == 0 else -1]:
                store, server = tested[case]
                found[case].rows_per_s.append(_rows_per_s(store, server, seconds, f"{repetition}"))
                delays = _acknowledged(server, 5 * seconds, f"{repetition}")
                found[case].p50.append(_percentile(delays, 50))
                found[case].p99.append(_percentile(delays, 99))
                console.print(
                    f"{case}: {found[case].rows_per_s[-1]:,.0f} rows/s, acknowledged p50 {found[case].p50[-1]:.2f} ms, "
                    f"p99 {found[case].p99[-1]:.2f} ms",
                    highlight=False,
                )
    console.print(_table(found))
    if storage == "sqlite":
        console.print(_reload(), highlight=False)


@contextmanager
def _under_test(case: Case, base: str) -> Iterator[tuple[Store, Server]]:
    async def prepare(storage: Storage, plant: Plant) -> None:
        await equip(storage, plant, case)

    with (
        empty_store("postgresql" if base else "sqlite", base) as (store, directory),
        running(store.url, directory, 0, prepare) as server,
    ):
        yield store, server


async def equip(storage: Storage, plant: Plant, case: Case) -> None:
    """Events that are linked, and a rule on each: in a few large transactions, which one by one would be 20,000."""
    plant.linked = [str(uuid.uuid4()) for _ in range(case.events)]
    ((plugin,),) = await storage.fetch("SELECT max(id) FROM plugins")
    for start in range(0, case.events, CHUNK):
        rows: list[dict[str, Scalar]] = [
            {
                "number": f"{number}",
                "event": event,
                "plugin": plugin,
                "threshold": -1e9 if case.fires_one_in and number % case.fires_one_in == 0 else 1e9,
                "action": case.action,
                "rule": str(uuid.uuid4()),
                "channel": str(uuid.uuid4()),
                "now_us": now_us(),
            }
            for number, event in enumerate(plant.linked[start : start + CHUNK], start)
        ]
        statements = [_EVENT, _CHANNEL, *([_RULE] if case.rules else [])]
        await storage.write(*(Write(statement, tuple(rows)) for statement in statements))


_EVENT: Final = (
    "INSERT INTO events (public_id, name, min_value, max_value, unit, type, created_us)"
    " VALUES (:event, 'Sensor ' || :number, 0, 100, 'V', 'sensor', :now_us)"
)
_CHANNEL: Final = (
    "INSERT INTO channels (public_id, plugin_id, channel_id, channel_name, direction, unit, event_id, created_us)"
    " SELECT :channel, :plugin, 'in' || :number, 'In', 'input', 'V', id, :now_us FROM events WHERE public_id = :event"
)
_RULE: Final = (
    "INSERT INTO rules (public_id, name, event_id, operator, threshold, action, cooldown_s, created_us)"
    " SELECT :rule, 'Rule ' || :number, id, 'gt', :threshold, :action, 1, :now_us FROM events WHERE public_id = :event"
)


# -- ingestion -------------------------------------------------------------------------------------------------------


def _rows_per_s(store: Store, server: Server, seconds: float, name: str) -> float:
    store.empty()
    load = Load(server.port, server.operator_token, server.events, READINGS, 2, False, seconds, f"load-{name}")
    with Worker("load", load) as sender:
        sent = sender.result()
    if store.count() != sent["rows"]:
        raise RuntimeError(f"{sent['rows']} rows were sent, {store.count()} are stored")
    return float(sent["rows"] / sent["seconds"])


def _acknowledged(server: Server, seconds: float, name: str) -> list[float]:
    """Milliseconds, at a steady rate, while messages of 500 readings come in beside."""
    asked, *events = server.events[: READINGS + 1]

    def worker(part: Part) -> Worker:
        return Worker("crowd", Crowd(part, server.port, server.operator_token, events, asked, 0, seconds, name))

    with ExitStack() as everyone, ThreadPoolExecutor() as signs:
        workers = {part: everyone.enter_context(worker(part)) for part in ("show", "ask")}
        results = {part: signs.submit(workers[part].result) for part in workers}
        return Noticed(**results["ask"].result()).delays


def _table(found: dict[Case, Found]) -> Table:
    table = Table("case", "rows/s", "of no rules", "spread", "p50 ms", "p99 ms", "of no rules", "spread")
    base = found[CASES[1]]
    for case, one in found.items():
        # Of the pairs that were measured side by side.
        rates = statistics.median(mine / theirs for mine, theirs in zip(one.rows_per_s, base.rows_per_s, strict=True))
        delays = statistics.median(mine / theirs for mine, theirs in zip(one.p99, base.p99, strict=True))
        table.add_row(
            str(case),
            f"{statistics.median(one.rows_per_s):,.0f}",
            f"{rates:.2f}",
            f"{min(one.rows_per_s):,.0f}–{max(one.rows_per_s):,.0f}",  # noqa: RUF001 - a range
            f"{statistics.median(one.p50):.2f}",
            f"{statistics.median(one.p99):.2f}",
            f"{delays:.2f}",
            f"{min(one.p99):.2f}–{max(one.p99):.2f}",  # noqa: RUF001 - a range
        )
    return table


# -- reading the configuration again ---------------------------------------------------------------------------------


def _reload() -> Table:
    """How long it takes, and for how long nothing else runs meanwhile."""
    table = Table("configuration", "reload ms", "loop stands ms")
    for case in CASES[:3]:
        with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, stood = runner.run(_reloads(case, Path(directory)))
        table.add_row(str(case), f"{statistics.median(took):.1f}", f"{statistics.median(stood):.1f}")
    return table


async def _reloads(case: Case, directory: Path) -> tuple[list[float], list[float]]:
    storage = load_storage(settings_for(f"sqlite:///{directory}/webmacs.db", directory))
    await storage.open()
    try:
        plant = Plant()
        plant.plugin = await plugins.add_plugin(storage, plugin_id="test", instance_name="Rig", now_us=now_us())
        await equip(storage, plant, case)
        catalog = Catalog(lambda: records.snapshot(storage, now_us()))
        took, stood = [], []
        for _ in range(RELOADS):
            reloading, began, longest = asyncio.create_task(catalog.reload()), time.perf_counter(), 0.0
            while not reloading.done():
                before = time.perf_counter()
                await asyncio.sleep(TICK_S)
                longest = max(longest, time.perf_counter() - before - TICK_S)
            took.append((time.perf_counter() - began) * 1000)
            stood.append(longest * 1000)
            await reloading
        return took, stood
    finally:
        await storage.close()


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
