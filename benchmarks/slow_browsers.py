"""`python -m benchmarks.slow_browsers`: what the others notice of a browser that does not read and one that is slow.

200 healthy browsers and two controllers, with and without the two bad ones, in turn; what is compared is the 99th
percentile of acknowledgements and of receipts, medians over the repetitions, whose spread says what a difference means.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.crowd import Crowd, Noticed, Part
from benchmarks.server import Server, running
from benchmarks.workers import Worker

EVENTS = 150


@dataclass(frozen=True, slots=True)
class Round:
    """What one measurement found, in milliseconds."""

    acknowledged: list[float]
    shown: list[float]
    cut_after_s: float | None


@click.command()
@click.option("--browsers", default=198, show_default=True, help="Healthy ones; the bad ones come on top.")
@click.option("--seconds", default=30.0, show_default=True, help="How long each measurement takes.")
@click.option("--repeat", default=3, show_default=True, help="How often each of the two is measured.")
def main(browsers: int, seconds: float, repeat: int) -> None:
    """Measure on SQLite, where nothing but the server itself takes part."""
    console = Console(width=120)
    found: dict[bool, list[Round]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/webmacs.db"
        with running(url, Path(directory), events=EVENTS + 1) as server:
            memory = server.memory_mib()
            for repetition in range(repeat):
                # In turn, and the other way round the next time: whatever drifts then meets both.
                for bad in (False, True) if repetition % 2 == 0 else (True, False):
                    noticed = _measure(server, browsers, seconds, f"{repetition}-{bad}", bad=bad)
                    found[bad].append(noticed)
                    cut = f", cut after {noticed.cut_after_s:.1f} s" if noticed.cut_after_s else ""
                    console.print(
                        f"{'with' if bad else 'without'} the two: {len(noticed.acknowledged)} acknowledgements, p99 "
                        f"{_percentile(noticed.acknowledged, 99):.2f} ms; {len(noticed.shown)} receipts, p99 "
                        f"{_percentile(noticed.shown, 99):.2f} ms{cut}"
                    )
            grown = server.memory_mib() - memory
    console.print(_table(found))
    console.print(f"memory of the server: {memory:.0f} MiB, at the end {grown:+.0f} MiB")


def _measure(server: Server, browsers: int, seconds: float, name: str, *, bad: bool) -> Round:
    *events, asked = server.events

    def worker(part: Part) -> Worker:
        token = server.operator_token if part in {"show", "ask"} else server.viewer_token
        return Worker("crowd", Crowd(part, server.port, token, events, asked, browsers, seconds, name))

    with ExitStack() as everyone, ThreadPoolExecutor() as signs:
        parts: list[Part] = ["browsers", "bad", "show", "ask"] if bad else ["browsers", "show", "ask"]
        workers = {part: everyone.enter_context(worker(part)) for part in parts}
        results = {part: signs.submit(workers[part].result) for part in parts}
        noticed = {part: Noticed(**result.result()) for part, result in results.items()}
    cut = noticed["bad"].cut_after_s if bad else None
    return Round(noticed["ask"].delays, noticed["browsers"].delays, cut)


def _table(found: dict[bool, list[Round]]) -> Table:
    table = Table("milliseconds", "p50 without", "p50 with", "p99 without", "p99 with", "p99 ratio", "spread without")
    for name in ("acknowledged", "shown"):
        p50 = {bad: statistics.median(_percentile(getattr(n, name), 50) for n in found[bad]) for bad in found}
        all99 = {bad: [_percentile(getattr(n, name), 99) for n in found[bad]] for bad in found}
        p99 = {bad: statistics.median(all99[bad]) for bad in found}
        cells = [p50[False], p50[True], p99[False], p99[True], p99[True] / p99[False]]
        spread = f"{min(all99[False]):.2f}–{max(all99[False]):.2f}"  # noqa: RUF001 - a range
        table.add_row(name, *(f"{cell:.2f}" for cell in cells), spread)
    return table


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
