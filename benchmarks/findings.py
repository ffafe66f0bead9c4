"""What a soak has found: what grew, what was late, what is missing; as a table, a picture, a sentence, and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.chart import Panel, svg
from benchmarks.field import Harvest
from benchmarks.process import Look, Metrics, lag_quantile_ms
from benchmarks.report import RESULTS, machine
from benchmarks.visitors import Seen

MB: Final = 1e6
GROWTH_MB: Final = 1.0
LAG_MS: Final = 20.0
FIRST: Final = ", with the share of its processors that deploy/webmacs.service gives the server"
SLOWEST: Final = 4  # routes that are told
STRETCH_S: Final = 15.0  # memory is the median of so many seconds: what one moment needs is none that is kept


Kind = Callable[[Look], int]
RESIDENT: Final[Kind] = attrgetter("rss")
ANONYMOUS: Final[Kind] = attrgetter("anonymous")
"""What the server has made. The rest are pages of files that it has mapped, as of the libraries it runs: they come with
the first use of each, belong to the system's cache, and are taken away when somebody needs the room.
"""


@dataclass(frozen=True, slots=True)
class Balance:
    """What was acknowledged, or spoken for by an acknowledgement, against what is in the table."""

    acknowledged: int
    lost: int
    twice: int
    unknown: int


def balance(harvests: Sequence[Harvest], stored: Mapping[int, int]) -> Balance:
    """Batch by batch: all readings of one have a value of their own."""
    sent = {harvest.first + number: count for harvest in harvests for number, count in enumerate(harvest.readings)}
    return Balance(
        sum(sent.values()),
        sum(max(0, count - stored.get(value, 0)) for value, count in sent.items()),
        sum(max(0, stored.get(value, 0) - count) for value, count in sent.items()),
        sum(count for value, count in stored.items() if value not in sent),
    )


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the course. Lags in milliseconds, of the server's own measure and of pings from outside."""

    lag_p50: float
    lag_p99: float
    lag_longest: float
    pings: list[float]
    pinger_late: list[float]
    queue_rows: float


@dataclass
class Course:
    """How it went, from beginning to end. What grows within the first `warm_up_s` is not counted."""

    warm_up_s: float
    looks: list[Look] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)
    first: Metrics = field(default_factory=dict)
    last: Metrics = field(default_factory=dict)

    def memory(self, kind: Kind = RESIDENT) -> Iterator[tuple[float, float]]:
        """Seconds and bytes: the median of each stretch."""
        stretches: dict[int, list[Look]] = {}
        for one in self.looks:
            stretches.setdefault(int(one.at_s // STRETCH_S), []).append(one)
        for looks in stretches.values():
            yield statistics.median(one.at_s for one in looks), statistics.median(map(kind, looks))

    def growth_mb(self, kind: Kind = ANONYMOUS) -> float:
        """By the straight line through memory after the warm-up, from there to the end."""
        points = [(at_s, rss) for at_s, rss in self.memory(kind) if at_s >= self.warm_up_s]
        if len(points) < 2:
            return 0.0
        times = [at_s for at_s, _ in points]
        slope = statistics.linear_regression(times, [rss for _, rss in points]).slope
        return slope * (times[-1] - times[0]) / MB

    def pings(self) -> list[float]:
        """All of them, in order of size."""
        return sorted(ping for minute in self.minutes for ping in minute.pings)

    def machine_ms(self) -> list[float]:
        """How late the one who pings was itself, in order of size: of the lags, what is not the server's."""
        return sorted(late for minute in self.minutes for late in minute.pinger_late)

    def lag_ms(self, share: float) -> float:
        """Of the whole course."""
        return lag_quantile_ms(self.first, self.last, share)


@dataclass(frozen=True)
class Soak:
    """One storage. `first`: it had more of the processors than others; `begin` and `end`: nobody was there."""

    storage: str
    minutes: float
    capacity: float
    rate: float
    first: bool
    begin: Look
    end: Look
    left: Mapping[str, float]
    course: Course
    harvest: Harvest
    seen: Seen
    balance: Balance
    webhooks: int

    def checks(self) -> Iterator[tuple[str, str, str, bool]]:
        """What must hold: what it is, what was found, the bound, whether it holds."""
        growth, lag = self.course.growth_mb(), self.course.lag_ms(0.99)
        opened = self.end.descriptors - self.begin.descriptors
        yield "memory of its own grew by", f"{growth:+.2f} MB", f"< {GROWTH_MB:g} MB", growth < GROWTH_MB
        yield "descriptors with nobody there", f"{self.begin.descriptors} → {self.end.descriptors}", "+0", opened <= 0
        yield "loop lag, p99", f"{lag:.1f} ms", f"< {LAG_MS:g} ms", lag < LAG_MS
        yield (
            "acknowledged and lost",
            f"{self.balance.lost:,} of {self.balance.acknowledged:,}",
            "0",
            not self.balance.lost,
        )
        twice = self.balance.twice + self.balance.unknown
        yield "stored twice, or never sent", f"{twice:,}", "0", not twice
        left = {name: value for name, value in self.left.items() if value}
        yield "left in queues and sockets", str(left or 0), "0", not left
        yield "complaints of visitors", str(len(self.seen.complaints)), "0", not self.seen.complaints

    @property
    def holds(self) -> bool:
        """Whether everything does."""
        return all(well for *_, well in self.checks())


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def sentence(soak: Soak) -> str:
    """For the table of promises."""
    opened = soak.end.descriptors - soak.begin.descriptors
    return (
        f"{soak.storage}: {soak.minutes:g} min at {soak.rate:,.0f} of the {soak.capacity:,.0f} readings/s that the "
        f"machine took{FIRST if soak.first else ''}: memory {soak.course.growth_mb():+.2f} MB, with pages of files "
        f"{soak.course.growth_mb(RESIDENT):+.2f} MB, descriptors {opened:+d}, "
        f"loop lag p99 {soak.course.lag_ms(0.99):.1f} ms; {soak.balance.acknowledged:,} acknowledged, "
        f"lost {soak.balance.lost}, stored twice {soak.balance.twice}"
    )


def show(console: Console, soak: Soak) -> None:
    """What must hold, and what else was seen."""
    title = f"{soak.storage}: {soak.minutes:g} minutes at {soak.rate:,.0f} of {soak.capacity:,.0f} readings/s"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("what", "found", "bound", ""):
        table.add_column(name, justify="left" if name == "what" else "right")
    for what, found, bound, well in soak.checks():
        table.add_row(what, found, bound, Text("holds", "green") if well else Text("does not hold", "red"))
    table.add_section()
    for what, found in _seen(soak):
        table.add_row(what, found)
    console.print(table)
    for complaint in soak.seen.complaints:
        console.print(f"  {complaint}", highlight=False, markup=False)


def _seen(soak: Soak) -> Iterator[tuple[str, str]]:
    course, harvest, pings = soak.course, soak.harvest, soak.course.pings()
    memory = [rss for at_s, rss in course.memory() if at_s >= course.warm_up_s] or [0.0]
    yield "memory after the warm-up, at the end", f"{memory[0] / MB:.1f} MB, {memory[-1] / MB:.1f} MB"
    yield "memory with pages of files grew by", f"{course.growth_mb(RESIDENT):+.2f} MB"
    yield "the server went before others", "yes" if soak.first else "no: it takes root, and Linux"
    yield "threads with nobody there", f"{soak.begin.threads} → {soak.end.threads}"
    busy = [look.descriptors for look in course.looks]
    yield "descriptors meanwhile", f"{min(busy, default=0)} to {max(busy, default=0)}"
    longest = max((minute.lag_longest for minute in course.minutes), default=0.0)
    yield "loop lag: p50, longest", f"{course.lag_ms(0.5):.1f} ms, {longest:.0f} ms"
    answered = (f"{value:.1f} ms" for value in (quantile(pings, 0.5), quantile(pings, 0.99), quantile(pings, 1)))
    yield "a ping from outside: p50, p99, longest", ", ".join(answered)
    yield "an idle process was late itself: p99", f"{quantile(course.machine_ms(), 0.99):.1f} ms"
    delays = (harvest.ack_p50_ms, harvest.ack_p99_ms, harvest.ack_longest_ms)
    yield "acknowledged after: p50, p99, longest", ", ".join(f"{delay:.1f} ms" for delay in delays)
    yield "rows in the queue, at most seen", f"{max((minute.queue_rows for minute in course.minutes), default=0):,.0f}"
    cpu_s = course.looks[-1].cpu_s - course.looks[0].cpu_s if course.looks else 0.0
    yield "the server took of a core", f"{cpu_s / max(1.0, harvest.seconds):.2f}"
    yield "connections of controllers, batches again", f"{harvest.connections:,}, {harvest.again:,}"
    yield "batches refused for want of room", f"{harvest.refused:,}"
    yield "webhooks that were taken", f"{soak.webhooks:,}"
    for what, count in sorted(soak.seen.counts.items()):
        yield what, f"{count:,}"
    for route, slowest_ms in sorted(soak.seen.slowest.items(), key=lambda one: -one[1])[:SLOWEST]:
        yield f"the slowest {route}", f"{slowest_ms:,.0f} ms"


def save(soak: Soak, began: datetime) -> tuple[Path, Path]:
    """Everything as JSON, and the picture beside it; returns the files."""
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"soak-{soak.storage}-{began:%Y%m%dT%H%M%SZ}"
    course, harvest = soak.course, soak.harvest
    document = {
        "began": began.isoformat(),
        "machine": machine(),
        "storage": soak.storage,
        "minutes": soak.minutes,
        "capacity_rows_per_s": soak.capacity,
        "rate_rows_per_s": soak.rate,
        "checks": [dict(zip(("what", "found", "bound", "holds"), check, strict=True)) for check in soak.checks()],
        "seen": dict(_seen(soak)),
        "counts": soak.seen.counts,
        "complaints": soak.seen.complaints,
        "balance": asdict(soak.balance),
        "harvest": {key: value for key, value in asdict(harvest).items() if key != "readings"},
        "begin": asdict(soak.begin),
        "end": asdict(soak.end),
        "minutes_of_lag": [
            {**asdict(minute), "pings": sorted(minute.pings)[-10:], "pinger_late": sorted(minute.pinger_late)[-10:]}
            for minute in course.minutes
        ],
        "looks": [asdict(look) for look in course.looks],
    }
    json_file, picture = stem.with_suffix(".json"), stem.with_suffix(".svg")
    json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    picture.write_text(_picture(soak), encoding="utf-8")
    return json_file, picture


def _picture(soak: Soak) -> str:
    course = soak.course
    lags = {
        "loop lag p99": [(number + 1.0, minute.lag_p99) for number, minute in enumerate(course.minutes)],
        "ping p99": [
            (number + 1.0, quantile(sorted(minute.pings), 0.99)) for number, minute in enumerate(course.minutes)
        ],
    }
    memory = {
        "resident": [(look.at_s / 60, look.rss / MB) for look in course.looks],
        "median": [(at_s / 60, rss / MB) for at_s, rss in course.memory()],
    }
    return svg(
        f"{soak.storage}: {soak.minutes:g} minutes at {soak.rate:,.0f} readings/s",
        [
            Panel("memory of the server, MB", memory, from_zero=False),
            Panel("late by, ms", lags, bound=LAG_MS),
            Panel("descriptors", {"open": [(look.at_s / 60, look.descriptors) for look in course.looks]}),
        ],
    )
