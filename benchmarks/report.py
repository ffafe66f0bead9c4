"""What came of a run: one table with ratios and goals, a plot of throughput by size of message, all of it as JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.book import HEADINGS, Book
from benchmarks.cases import INGEST, SIZES, Case
from benchmarks.chart import Bar, bars
from benchmarks.workers import ROOT

RESULTS: Final = ROOT / "benchmarks" / "results"


def others_cpu_s() -> float:
    """Processor time that has gone to others so far: not to this process, nor to its descendants that have ended."""
    total = psutil.cpu_times()
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return float(sum(total) - total.idle - total.iowait - sum(usage.ru_utime + usage.ru_stime for usage in ours))


def show(console: Console, book: Book, others_cores: float) -> None:
    """The table, and how much of the machine others had."""
    table = Table(title="Medians; the ratio is that of pairs measured in turn", box=box.SIMPLE_HEAD)
    for place, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if 3 <= place <= 6 else "left", overflow="fold")
    section = ""
    for line in book.ordered():
        first, *rest, verdict = line.cells()
        if section not in {"", first}:
            table.add_section()
        sign = Text(verdict, "green" if line.reached else "red")
        table.add_row("" if first == section else first, *rest, sign)
        section = first
    console.print(table)
    console.print(f"meanwhile other processes took {others_cores:.2f} of {os.cpu_count()} cores")


def save(
    book: Book,
    began: datetime,
    versions: Mapping[str, str],
    others_cores: float,
    *,
    kept: Path | None = None,
) -> tuple[Path, Path]:
    """Everything as JSON, and the plot beside it; returns the files. `kept`: where else, as `performance.…`."""
    document = {
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "others_cores": round(others_cores, 3),
        "versions": dict(versions),
        "lines": [line.document() for line in book.ordered()],
    }
    text, picture = json.dumps(document, indent=1, ensure_ascii=False) + "\n", plot(book)
    RESULTS.mkdir(exist_ok=True)
    stems = [RESULTS / f"{began:%Y%m%dT%H%M%SZ}", *([kept / "performance"] if kept is not None else [])]
    for stem in stems:
        stem.with_suffix(".json").write_text(text, encoding="utf-8")
        stem.with_suffix(".svg").write_text(picture, encoding="utf-8")
    return stems[-1].with_suffix(".json"), stems[-1].with_suffix(".svg")


def plot(book: Book) -> str:
    """Throughput by readings a message, each bar before that of its limit."""
    groups: dict[str, list[Bar]] = {}
    stores = dict.fromkeys(storage for section, storage, _ in book.lines if section == INGEST)
    for size in SIZES:
        for store in stores:
            for controllers in (1, 8):
                line = book.lines.get((INGEST, store, str(Case(size, controllers))))
                if line is not None and line.limits:
                    name = f"{store}, {controllers} controller{'s' * (controllers > 1)}"
                    groups.setdefault(f"{size} a message", []).append(Bar(name, line.figure, line.limit))
    return bars("Readings stored a second; behind each bar, its storage's own limit", groups)


def machine() -> dict[str, Any]:
    """What was measured, and on what."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "memory_mib": psutil.virtual_memory().total // 2**20,
    }


def _commit() -> str | None:
    """The commit that was measured, with a `+` when files have been changed since; None outside a repository."""
    commands: Sequence[Sequence[str]] = (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
    try:
        commit, changes = (
            subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+" * bool(changes)
