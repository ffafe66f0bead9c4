"""What is measured of ingestion and of latency: the cases, and one measurement of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from benchmarks.browsers import Audience
from benchmarks.latency import Trickle
from benchmarks.limits import Store
from benchmarks.load import Load
from benchmarks.server import Server
from benchmarks.workers import Worker

INGEST: Final = "Ingest"
SIZES: Final = (1, 50, 500)
BROWSERS: Final = 100
LATENCY_PER_S: Final = 100.0
BEYOND_S: Final = 0.5  # so much longer than what is measured goes the load beside it
BARE_S: Final = 5.0  # times as many messages for a bare server, which would be done with the others in no time
ASKED: Final = 30  # events: one's turn comes every 300 ms, less often than the broadcast's interval


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
    """One measurement of a case."""

    rows: int
    seconds: float
    server_cpu_s: float
    server_memory_mib: float
    generator_cpu_s: float
    browser_bytes: int

    @property
    def rows_per_s(self) -> float:
        """From the first byte sent to the last row committed."""
        return self.rows / self.seconds

    def more(self) -> dict[str, float]:
        """What else is to be known."""
        return {
            "server_us_per_row": self.server_cpu_s / self.rows * 1e6,
            "server_cores": self.server_cpu_s / self.seconds,
            "server_memory_mib": self.server_memory_mib,
            "generator_cores": self.generator_cpu_s / self.seconds,
            "browser_bytes": self.browser_bytes,
        }


@dataclass(frozen=True, slots=True)
class Delay:
    """One measurement from send to receipt, in milliseconds."""

    p50: float
    p99: float
    p999: float
    beside_rows_per_s: float


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
    """Send for so many seconds, then count what is in the database. `name` is another each time.

    Raises:
        RuntimeError: a row is missing, or a browser was cut.

    """
    before = store.count()
    with ExitStack() as stack:
        audience = Audience(server.port, server.viewer_token, case.browsers)
        listeners = stack.enter_context(Worker("browsers", audience)) if case.browsers else None
        sender = stack.enter_context(Worker("load", _load(case, server, server.port, seconds, name)))
        cpu_s = server.cpu_s()
        sent = sender.result()
        cpu_s = server.cpu_s() - cpu_s
        heard = listeners.result() if listeners is not None else {"bytes": 0, "lost": 0}
    stored = store.count() - before
    if stored != sent["rows"]:
        raise RuntimeError(f"{store.name}, {case}: {sent['rows']} rows were sent, {stored} are stored")
    if heard["lost"]:
        raise RuntimeError(f"{store.name}, {case}: {heard['lost']} browsers were cut")
    return Sample(stored, sent["seconds"], cpu_s, server.memory_mib(), sent["generator_cpu_s"], heard["bytes"])


def measure_bare(case: Case, port: int, server: Server, seconds: float, name: str) -> float:
    """Messages a second when the same is sent to a bare aiohttp server, which counts them."""
    with Worker("load", _load(case, server, port, BARE_S * seconds, name)) as sender:
        sent = sender.result()
    return float(sent["messages"] / sent["seconds"])


def _load(case: Case, server: Server, port: int, seconds: float, name: str) -> Load:
    return Load(
        port=port,
        token=server.operator_token,
        events=server.events,
        readings=case.readings,
        controllers=case.controllers,
        acknowledged=case.acknowledged,
        seconds=seconds,
        name=name,
    )


def measure_delay(store: Store, server: Server, seconds: float, beside: Load | None = None) -> Delay:
    """From send to receipt, alone or while others send, too.

    Raises:
        RuntimeError: a reading did not reach the browser, or is not stored.

    """
    store.empty()
    tokens = server.operator_token, server.viewer_token
    trickle = Trickle(server.port, *tokens, server.events[:ASKED], LATENCY_PER_S, seconds)
    with ExitStack() as stack:
        worker = stack.enter_context(Worker("latency", trickle))
        others = stack.enter_context(Worker("load", beside)) if beside is not None else None
        if others is not None:
            others.start()
        answer: dict[str, Any] = worker.result()
        sent = others.end() if others is not None else {"rows": 0, "seconds": 1.0}
    delays = sorted(answer["milliseconds"])
    if store.count() != len(delays) + sent["rows"]:
        raise RuntimeError(f"{store.name}: {len(delays) + sent['rows']} rows were sent, {store.count()} are stored")
    p50, p99, p999 = (_at(delays, share) for share in (0.5, 0.99, 0.999))
    return Delay(p50, p99, p999, sent["rows"] / sent["seconds"])


def half_load(server: Server, capacity: float, seconds: float, name: str) -> Load:
    """Half of the rows a second that it takes in messages of 50, of the events that nobody asks for."""
    return Load(
        port=server.port,
        token=server.operator_token,
        events=server.events[ASKED:],
        readings=50,
        controllers=1,
        acknowledged=False,
        seconds=seconds + BEYOND_S,
        name=name,
        rows_per_s=capacity / 2,
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
