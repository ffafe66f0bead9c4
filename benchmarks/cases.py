"""What is measured: the cases, and one measurement of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Final

from benchmarks.browsers import Audience
from benchmarks.latency import Trickle
from benchmarks.limits import Store
from benchmarks.load import Load
from benchmarks.server import Server
from benchmarks.workers import Worker

SIZES: Final = (1, 50, 500)
BROWSERS: Final = 100
LATENCY_PER_S: Final = 100.0


@dataclass(frozen=True, slots=True)
class Case:
    """One way of sending."""

    readings: int
    controllers: int = 1
    acknowledged: bool = False
    browsers: int = 0

    def __str__(self) -> str:
        parts = [f"{self.readings} a message", f"{self.controllers} controller{'s' * (self.controllers > 1)}"]
        if self.acknowledged:
            parts.append("acknowledged")
        if self.browsers:
            parts.append(f"{self.browsers} browsers")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of a case, and of the limit right after it with the same rows."""

    rows: int
    seconds: float
    limit_rows_per_s: float
    server_cpu_s: float
    server_memory_mib: float
    generator_cpu_s: float
    browser_bytes: int

    @property
    def rows_per_s(self) -> float:
        """From the first byte sent to the last row committed."""
        return self.rows / self.seconds

    @property
    def ratio(self) -> float:
        """Of the limit."""
        return self.rows_per_s / self.limit_rows_per_s


@dataclass(frozen=True, slots=True)
class Delay:
    """One measurement from send to receipt, and what a bare commit took right after it."""

    p50_ms: float
    p99_ms: float
    commit_ms: float


def all_cases() -> Iterator[Case]:
    """Those of a full run; one with browsers follows the same without."""
    for readings, controllers in product(SIZES, (1, 8)):
        yield Case(readings, controllers)
        yield Case(readings, controllers, browsers=BROWSERS)
        yield Case(readings, controllers, acknowledged=True)


def quick_cases() -> Iterator[Case]:
    """Those of a quick run."""
    for readings in SIZES:
        yield Case(readings)
    yield Case(SIZES[-1], browsers=BROWSERS)
    yield Case(SIZES[-1], acknowledged=True)


def measure(case: Case, store: Store, server: Server, seconds: float, name: str) -> Sample:
    """Send for so many seconds, then count what is in the database, then store the same rows without us.

    `name` is another each time.

    Raises:
        RuntimeError: a row is missing, or a browser was cut.

    """
    store.empty()
    with ExitStack() as stack:
        audience = Audience(server.port, server.viewer_token, case.browsers)
        listeners = stack.enter_context(Worker("browsers", audience)) if case.browsers else None
        load = Load(
            server.port,
            server.operator_token,
            server.events,
            case.readings,
            case.controllers,
            case.acknowledged,
            seconds,
            name,
        )
        sender = stack.enter_context(Worker("load", load))
        cpu_s = server.cpu_s()
        sent = sender.result()
        cpu_s = server.cpu_s() - cpu_s
        heard = listeners.result() if listeners is not None else {"bytes": 0, "lost": 0}
    stored = store.count()
    if stored != sent["rows"]:
        raise RuntimeError(f"{store.name}, {case}: {sent['rows']} rows were sent, {stored} are stored")
    if heard["lost"]:
        raise RuntimeError(f"{store.name}, {case}: {heard['lost']} browsers were cut")
    return Sample(
        stored, sent["seconds"], store.limit(), cpu_s, server.memory_mib(), sent["generator_cpu_s"], heard["bytes"]
    )


def measure_delay(store: Store, server: Server, seconds: float) -> Delay:
    """From send to receipt at light load."""
    store.empty()
    trickle = Trickle(server.port, server.operator_token, server.viewer_token, server.events, LATENCY_PER_S, seconds)
    with Worker("latency", trickle) as worker:
        delays = sorted(worker.result()["milliseconds"])
    return Delay(delays[len(delays) // 2], delays[len(delays) * 99 // 100], store.commit_ms())
