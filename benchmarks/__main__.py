"""`python -m benchmarks`, which is `make bench`: measure everything, show it, keep it as JSON."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from benchmarks import report
from benchmarks.cases import Delay, Sample, all_cases, measure, measure_delay, quick_cases
from benchmarks.limits import PostgresStore, SqliteStore, Store, opened
from benchmarks.server import Server, running

STORAGES = ("sqlite", "postgresql")


@click.command()
@click.option("--quick", is_flag=True, help="Fewer cases, each once: under a minute.")
@click.option("--repeat", type=click.IntRange(1), help="How often each case is measured. Default: 3; with --quick 1.")
@click.option("--seconds", type=click.FloatRange(0.1), default=1.0, show_default=True, help="How long each case sends.")
@click.option("--storage", type=click.Choice(STORAGES), multiple=True, help="Only this one. Default: both.")
@click.option("--only", default="", help='Only cases whose name contains this, like "500 a message" or "latency".')
@click.option("--postgres-url", help="A PostgreSQL whose databases may be made and dropped. Default: one is started.")
def main(
    quick: bool, repeat: int | None, seconds: float, storage: tuple[str, ...], only: str, postgres_url: str | None
) -> None:
    """Measure ingest through the socket into each storage beside the storage's own limit, and latency."""
    began = datetime.now(UTC)
    console = Console(width=None if Console().is_terminal else 130)
    repetitions = repeat or (1 if quick else 3)
    cases = [case for case in (quick_cases() if quick else all_cases()) if only in str(case)]
    latency = only in "latency"
    others_cpu_s, started = report.others_cpu_s(), time.monotonic()
    with ExitStack() as stack:
        tested = [stack.enter_context(_under_test(name, postgres_url)) for name in storage or STORAGES]
        findings = report.Findings(
            {store.name: store.limit_name for store, _ in tested}, {store.name: store.version() for store, _ in tested}
        )
        progress = Progress(console, repetitions * len(tested) * (len(cases) + latency))
        for repetition in range(repetitions):
            for store, server in tested:
                for number, case in enumerate(cases):
                    sample = measure(case, store, server, seconds, f"{repetition}-{number}")
                    findings.samples.setdefault((store.name, case), []).append(sample)
                    progress.say(f"{store.name}, {case}", sample)
                if latency:
                    delay = measure_delay(store, server, 3 * seconds)
                    findings.delays.setdefault(store.name, []).append(delay)
                    progress.say(f"{store.name}, latency", delay)
    findings.others_cores = (report.others_cpu_s() - others_cpu_s) / (time.monotonic() - started)
    path = report.save(findings, began)
    report.show(console, findings)
    console.print(f"kept as {path}")


class Progress:
    """One line a measurement, on a terminal as in a log."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._done = 0
        self._began = time.monotonic()

    def say(self, what: str, found: Sample | Delay) -> None:
        """One more is done."""
        self._done += 1
        left_s = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        if isinstance(found, Sample):
            result = f"{found.rows_per_s:>9,.0f} rows/s, {found.ratio:.2f} of its limit"
        else:
            result = f"p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms"
        left = f"{int(left_s) // 60}:{int(left_s) % 60:02} left"
        self._console.print(f"{self._done:>3}/{self._total}  {left}  {what}: {result}", highlight=False)


@contextmanager
def _under_test(name: str, postgres_url: str | None) -> Iterator[tuple[Store, Server]]:
    """A store with a server on it; everything is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="webmacs-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        if name == "sqlite":
            store = stack.enter_context(opened(SqliteStore(directory)))
        else:
            base = postgres_url or stack.enter_context(postgres())
            store = stack.enter_context(opened(PostgresStore(base, directory)))
        yield store, stack.enter_context(running(store.url, directory))


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL of one's own."""
    with warnings.catch_warnings():  # the wheel that carries PostgreSQL asks for a directory that we do not use
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        from tests.postgres import PostgresServer
    # As somebody has it who stores much: its own default is for small machines with much else on them.
    server = PostgresServer(shared_buffers="1GB", max_wal_size="4GB")
    try:
        yield server.url()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
