"""What was found: one table with ratios, a plot, the figures to reach, and all of it as JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.cases import BROWSERS, SIZES, Case, Delay, Sample
from benchmarks.workers import ROOT

BAR: Final = 50
RESULTS: Final = ROOT / "benchmarks" / "results"


@dataclass
class Findings:
    """All measurements of one run, by the name of the store."""

    limit_names: Mapping[str, str]
    versions: Mapping[str, str]
    samples: dict[tuple[str, Case], list[Sample]] = field(default_factory=dict)
    delays: dict[str, list[Delay]] = field(default_factory=dict)
    others_cores: float = 0.0  # what processes that are none of ours took of the machine meanwhile

    def rows_per_s(self, store: str, case: Case) -> float:
        """The median."""
        return median(sample.rows_per_s for sample in self.samples[store, case])

    def ratio(self, store: str, case: Case) -> float:
        """Of the limit: the median of the pairs that were measured side by side."""
        return median(sample.ratio for sample in self.samples[store, case])

    def beside(self, store: str, case: Case, other: Case) -> float:
        """A case's rows/s as a share of another's: the median of the pairs of each repetition."""
        pairs = zip(self.samples[store, case], self.samples[store, other], strict=True)
        return median(one.rows_per_s / two.rows_per_s for one, two in pairs)


def others_cpu_s() -> float:
    """Processor time that has gone to others so far: not to this process, nor to its descendants that have ended."""
    total = psutil.cpu_times()
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return float(sum(total) - total.idle - total.iowait - sum(usage.ru_utime + usage.ru_stime for usage in ours))


def show(console: Console, findings: Findings) -> None:
    """Table, plot and figures."""
    console.print(Group(_ingest(findings), "", _delays(findings), "", _plot(findings), "", _figures(findings)))
    console.print(f"meanwhile other processes took {findings.others_cores:.2f} of {os.cpu_count()} cores")


def save(findings: Findings, began: datetime) -> Path:
    """Everything as JSON; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
    document = {
        "began": began.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
        "machine": machine(),
        "others_cores": findings.others_cores,
        "versions": findings.versions,
        "limits": findings.limit_names,
        "ingest": [
            {
                "store": store,
                **asdict(case),
                "rows_per_s": findings.rows_per_s(store, case),
                "ratio": findings.ratio(store, case),
                "samples": [asdict(sample) for sample in samples],
            }
            for (store, case), samples in findings.samples.items()
        ],
        "latency": [{"store": store, **asdict(delay)} for store, delays in findings.delays.items() for delay in delays],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def _ingest(findings: Findings) -> Table:
    table = Table(title="Ingest through the socket; medians", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("storage")
    for name in (
        *(
            "readings/\nmessage",
            "controllers",
            "browsers",
            "messages/s",
            "rows/s",
            "limit\nrows/s",
            "ratio",
            "least, most",
        ),
        *("server\nµs/row", "server\ncores"),
    ):
        table.add_column(name, justify="right")
    previous = ""
    for (store, case), samples in findings.samples.items():
        if previous not in {"", store}:
            table.add_section()
        previous = store
        ratios = [sample.ratio for sample in samples]
        rows_per_s = findings.rows_per_s(store, case)
        table.add_row(
            store,
            str(case.readings),
            f"{case.controllers}{' ack' if case.acknowledged else '    '}",
            str(case.browsers or ""),
            f"{rows_per_s / case.readings:,.0f}",
            f"{rows_per_s:,.0f}",
            f"{median(sample.limit_rows_per_s for sample in samples):,.0f}",
            f"{findings.ratio(store, case):.2f}",
            f"{min(ratios):.2f} {max(ratios):.2f}",
            f"{median(sample.server_cpu_s / sample.rows for sample in samples) * 1e6:.1f}",
            f"{median(sample.server_cpu_s / sample.seconds for sample in samples):.2f}",
        )
    limits = ", ".join(f"{name} for {store}" for store, name in findings.limit_names.items())
    table.caption = f"limit: the same rows by {limits}. ack: every message has a batch_id and is acknowledged"
    table.caption_justify = "left"
    return table


def _delays(findings: Findings) -> RenderableType:
    if not findings.delays:
        return ""
    table = Table(title="Send to receipt, light load; medians", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("storage")
    for name in ("p50 ms", "p99 ms", "a bare commit, ms"):
        table.add_column(name, justify="right")
    for store, delays in findings.delays.items():
        columns = ([delay.p50_ms for delay in delays], [delay.p99_ms for delay in delays])
        table.add_row(
            store, *(f"{median(column):.2f}" for column in columns), f"{median(d.commit_ms for d in delays):.2f}"
        )
    return table


def _plot(findings: Findings) -> RenderableType:
    """Throughput by size of message, one controller, each bar on a track as long as its limit."""
    plot = Table.grid(padding=(0, 2))
    plot.title, plot.title_justify = "Throughput by readings a message, one controller; the track is the limit", "left"
    lines = [(store, case) for store, case in findings.samples if case == Case(case.readings)]
    if not lines:
        return ""
    limits = {line: median(sample.limit_rows_per_s for sample in findings.samples[line]) for line in lines}
    longest = max(*limits.values(), *(findings.rows_per_s(*line) for line in lines))
    for store, case in lines:
        rate = findings.rows_per_s(store, case)
        full, track = round(rate / longest * BAR), round(limits[store, case] / longest * BAR)
        bar = Text("█" * full, "cyan").append("░" * max(0, track - full), "dim")
        plot.add_row(store, Text(str(case.readings), justify="right"), bar, f"{rate:,.0f} rows/s")
    return plot


@dataclass(frozen=True)
class Figure:
    """One of the figures to reach."""

    what: str
    found: str
    goal: str
    reached: bool


def _figures(findings: Findings) -> RenderableType:
    table = Table(title="Figures to reach", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("figure", "found", "goal", ""):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for figure in _reached(findings):
        sign = Text("reached", "green") if figure.reached else Text("missed", "red")
        table.add_row(figure.what, figure.found, figure.goal, sign)
    return table


def _reached(findings: Findings) -> Iterable[Figure]:
    large = Case(SIZES[-1])
    for store, limit in findings.limit_names.items():
        if (store, large) in findings.samples:
            ratio = findings.ratio(store, large)
            yield Figure(f"{store}, {large}, of {limit}", f"{ratio:.2f}", "≥ 0.60", ratio >= 0.6)
    for store in findings.limit_names:
        if (store, Case(1)) in findings.samples:
            rate = findings.rows_per_s(store, Case(1))
            yield Figure(f"{store}, {Case(1)}, messages/s", f"{rate:,.0f}", "≥ 40,000", rate >= 40_000)
    for store, case in findings.samples:
        alone = Case(case.readings, case.controllers, case.acknowledged)
        if case.browsers == BROWSERS and (store, alone) in findings.samples:
            cost = 1 - findings.beside(store, case, alone)
            yield Figure(f"{store}, {alone}: {BROWSERS} browsers cost", f"{cost:.0%}", "≤ 15%", cost <= 0.15)
    for store, delays in findings.delays.items():
        p50, p99 = median(delay.p50_ms for delay in delays), median(delay.p99_ms for delay in delays)
        yield Figure(f"{store}, send to receipt, p50 ms", f"{p50:.2f}", "< 3", p50 < 3)
        yield Figure(f"{store}, send to receipt, p99 ms", f"{p99:.2f}", "< 8", p99 < 8)


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
