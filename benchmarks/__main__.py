"""`python -m benchmarks`, which is `make bench`: measure everything, show it, keep it as JSON with a plot."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks import mosquitto, report, sections
from benchmarks.breadth import breadth
from benchmarks.depth import depth
from benchmarks.installed import STORAGES, installed, postgres
from benchmarks.run import Run

PARTS: Final[dict[str, Callable[[Run], None]]] = {
    "latency": sections.latency,
    "fan-out": sections.fan_out,
    "breadth": breadth,
    "depth": depth,
}
NAMES: Final = ("ingest", *PARTS)
READINGS: Final = 2_000_000
QUICK_READINGS: Final = 50_000


@click.command()
@click.option("--quick", is_flag=True, help="Everything in small, each once: under a minute.")
@click.option("--repeat", type=click.IntRange(1), help="How often each case is measured. Default: 3; with --quick 1.")
@click.option("--seconds", type=click.FloatRange(0.1), help="How long each case sends. Default: 1; with --quick 0.3.")
@click.option(
    "--readings", type=click.IntRange(1_000), help="That a full table has. Default: 2 million; quick: 50,000."
)
@click.option("--storage", type=click.Choice(STORAGES), multiple=True, help="Only this one. Default: both.")
@click.option("--part", type=click.Choice(NAMES), multiple=True, help="Only this one. Default: all.")
@click.option("--only", default="", help='Of ingest, only cases whose name contains this, like "500 a message".')
@click.option("--keep", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where else to keep it.")
@click.option("--postgres-url", help="A PostgreSQL whose databases may be made and dropped. Default: one is started.")
def main(
    quick: bool,
    repeat: int | None,
    seconds: float | None,
    readings: int | None,
    storage: tuple[str, ...],
    part: tuple[str, ...],
    only: str,
    keep: Path | None,
    postgres_url: str | None,
) -> None:
    """Measure WebMACS, each figure beside its limit in the same run."""
    began = datetime.now(UTC)
    console = Console(width=None if Console().is_terminal else 160)
    others_cpu_s, started = report.others_cpu_s(), time.monotonic()
    storages = storage or STORAGES
    with ExitStack() as stack:
        base = postgres_url or (stack.enter_context(postgres()) if "postgresql" in storages else "")
        run = Run(
            console,
            storages,
            base,
            [stack.enter_context(installed(name, base)) for name in storages],
            repeat or (1 if quick else 3),
            seconds or (0.3 if quick else 1.0),
            readings or (QUICK_READINGS if quick else READINGS),
            quick,
        )
        versions = {store.name: store.version() for store, _ in run.tested}
        program = mosquitto.find_mosquitto()
        if program is None:
            run.say("fan-out has no limit beside it: mosquitto is not installed (Debian's package has that name)")
        else:
            versions["Mosquitto"] = mosquitto.version(program)
        if not part or "ingest" in part:
            sections.ingest(run, only)
        for name, measure in PARTS.items():
            if name in part or not part:
                measure(run)
    others_cores = (report.others_cpu_s() - others_cpu_s) / (time.monotonic() - started)
    report.show(console, run.book, others_cores)
    paths = report.save(run.book, began, versions, others_cores, kept=keep)
    console.print(f"kept as {' and '.join(str(path) for path in paths)}", soft_wrap=True)


if __name__ == "__main__":
    main()
