"""The parts of a run that share its servers: ingestion, latency; and fan-out, which has servers of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks import bare, fanout
from benchmarks.book import Goal
from benchmarks.cases import (
    BROWSERS,
    INGEST,
    SIZES,
    Case,
    all_cases,
    half_load,
    measure,
    measure_bare,
    measure_delay,
    quick_cases,
)
from benchmarks.run import Run

BESIDE_BROWSERS: Final = "Ingest with browsers"
RECEIVING: Final = "Receiving"
LATENCY: Final = "Send to receipt"
FAN_OUT: Final = "Fan-out"

OF_LIMIT: Final = Goal("ratio", 0.6)
MESSAGES: Final = Goal("figure", 40_000)
LEFT_BESIDE_BROWSERS: Final = Goal("ratio", 0.85)
P50: Final = Goal("figure", 3.0, least=False)
P99: Final = Goal("figure", 8.0, least=False)
OF_MOSQUITTO: Final = Goal("ratio", 2.0)
OF_UNFILTERED: Final = Goal("ratio", 0.5)

MANY: Final = 1_000  # browsers, that goals of fan-out are for
HALF: Final = Case(50)  # what half of the capacity is half of


def ingest(run: Run, only: str) -> None:
    """Readings stored a second, beside the storage's limit with the same rows right after it."""
    cases = [case for case in (quick_cases() if run.quick else all_cases()) if only in str(case)]
    with tempfile.TemporaryDirectory(prefix="webmacs-bench-") as directory, bare.running(Path(directory)) as counting:
        for repetition in range(run.repeat):
            for store, server in run.tested:
                rates: dict[Case, float] = {}
                for number, case in enumerate(cases):
                    store.empty()
                    name = f"{repetition}-{number}"
                    sample = measure(case, store, server, run.seconds, name)
                    rates[case] = sample.rows_per_s
                    goal = OF_LIMIT if case == Case(SIZES[-1]) else MESSAGES if case == Case(1) else None
                    limit = store.limit_name, store.limit()
                    run.note(
                        *(INGEST, store.name, case, "rows/s", sample.rows_per_s),
                        beside=limit,
                        goal=goal,
                        more=sample.more(),
                    )
                    alone = rates.get(Case(case.readings, case.controllers, case.acknowledged))
                    if case.browsers == BROWSERS and alone is not None:
                        run.note(
                            *(BESIDE_BROWSERS, store.name, case, "rows/s", sample.rows_per_s),
                            beside=("without", alone),
                            goal=LEFT_BESIDE_BROWSERS,
                        )
                    if case.readings == 1 and not case.browsers and not case.acknowledged:
                        plain = measure_bare(case, counting.port, server, run.seconds, name)
                        run.note(
                            *(RECEIVING, store.name, case, "messages/s", sample.rows_per_s),
                            beside=("bare aiohttp", plain),
                        )


def latency(run: Run) -> None:
    """From a controller's send to a browser's receipt, alone and at half of what the server takes."""
    seconds = (3 if run.quick else 10) * run.seconds
    for repetition in range(run.repeat):
        for store, server in run.tested:
            capacity = run.book.figure(INGEST, store.name, HALF)
            if capacity is None:
                store.empty()
                capacity = measure(HALF, store, server, run.seconds, f"capacity-{repetition}").rows_per_s
            half = half_load(server, capacity, seconds, f"half-{repetition}")
            for what, beside in (("light load", None), ("half of capacity", half)):
                delay = measure_delay(store, server, seconds, beside)
                goals = (P50, P99) if beside is None else (None, None)
                commit = store.commit_ms()
                run.note(
                    *(LATENCY, store.name, f"{what}, p50", "ms", delay.p50),
                    beside=("a bare commit", commit),
                    goal=goals[0],
                    more={"beside_rows_per_s": delay.beside_rows_per_s},
                )
                run.note(LATENCY, store.name, f"{what}, p99", "ms", delay.p99, goal=goals[1])
                run.note(LATENCY, store.name, f"{what}, p99.9", "ms", delay.p999)


def fan_out(run: Run) -> None:
    """Messages that reach browsers, beside Mosquitto and beside bare aiohttp, in turn; and filters beside none."""
    seconds = run.seconds if run.quick else 2 * run.seconds
    with fanout.stations() as places:
        for repetition in range(run.repeat):
            found: dict[tuple[str, fanout.Case], fanout.Sample] = {}
            for case, station in fanout.pairs(places, run.quick):
                sample = found[station.name, case] = fanout.measure(case, station, seconds, f"{repetition}-{case}")
                run.say(f"{station.name}, {case}: {sample.per_s:,.0f} deliveries/s")
            ours, *others = places
            for (name, case), sample in found.items():
                if name == ours.name and case.filters == "none":
                    for other in others:
                        _compare(run, case, sample, other, found[other.name, case])
                elif name == ours.name:
                    plain = found[name, fanout.Case(case.browsers)]
                    run.note(
                        *(FAN_OUT, "SQLite", case, "deliveries/s", sample.per_s),
                        beside=("without filters", plain.per_s),
                        goal=OF_UNFILTERED if case.filters == "different" and case.browsers >= MANY else None,
                        more=sample.more(),
                    )


def _compare(run: Run, case: fanout.Case, ours: fanout.Sample, other: fanout.Station, theirs: fanout.Sample) -> None:
    mosquitto = other.protocol == "mqtt"
    suffix = "" if mosquitto else f", beside {other.name}"
    more = ours.more() | {f"{other.name}: {name}": value for name, value in theirs.more().items()}
    run.note(
        *(FAN_OUT, "SQLite", f"{case}{suffix}", "deliveries/s", ours.per_s),
        beside=(other.name, theirs.per_s),
        goal=OF_MOSQUITTO if mosquitto and case.browsers >= MANY else None,
        more=more,
    )
    run.note(
        *(FAN_OUT, "SQLite", f"{case}, for a second of its processor{suffix}", "deliveries", ours.per_cpu_s),
        beside=(other.name, theirs.per_cpu_s),
    )
