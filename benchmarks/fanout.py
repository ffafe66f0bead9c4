"""`python -m benchmarks.fanout`: how many messages a second reach browsers, beside Mosquitto and beside bare aiohttp.

One publisher, so many subscribers, messages of 1.5 KB. Three servers in turn: WebMACS, each message committed first;
Mosquitto by MQTT, QoS 0; and aiohttp that writes a ready-made frame to each transport, which is as much as a server of
this kind can do. Subscribers and publisher are the same for all.

What is measured is to be fan-out, not what is in its way. So the throttle of broadcast is off; each message is a commit
and a frame of its own (`commit_rows = 1`), as merged ones would show the newest values alone and Mosquitto shows all;
and the SQLite file is in memory where the system has such a place, as a commit for every message would else wait for
the disk. The machine's processors are shared with the readers: deliveries are also told for each second of processor
time that the server took.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import bare, mosquitto
from benchmarks.publisher import Content, Publication
from benchmarks.server import Prepare, running
from benchmarks.subscribers import Protocol, Subscribers
from benchmarks.workers import Worker

EVENTS: Final = 500
SHOWN: Final = 8  # readings that make 1.5 KB
WANTED: Final = 20  # events that a browser with a filter has chosen
SENT: Final = 200  # readings of 500 events: of each 20, there are 8 on average
READERS: Final = 2  # processes
ONE_BY_ONE: Final = "[stages.broadcast]\ninterval_s = 0.0\n[pipeline]\ncommit_rows = 1\n"
IN_MEMORY: Final = Path("/dev/shm")

Filters = Literal["none", "same", "different"]


@dataclass(frozen=True, slots=True)
class Case:
    """So many browsers, each with all events, all with the same 20, or each with its own 20."""

    browsers: int
    filters: Filters = "none"

    def __str__(self) -> str:
        filters = {"none": "", "same": ", the same 20 of 500 events", "different": ", each its own 20 of 500 events"}
        return f"{self.browsers:,} browsers{filters[self.filters]}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    published: int
    deliveries: int
    bytes: int
    seconds: float
    server_cpu_s: float
    readers_cpu_s: float

    @property
    def per_s(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds

    @property
    def per_cpu_s(self) -> float:
        """Deliveries for each second of the server's processor time."""
        return self.deliveries / self.server_cpu_s

    @property
    def message_bytes(self) -> float:
        """Of one delivery, its head included."""
        return self.bytes / self.deliveries


@dataclass(frozen=True, slots=True)
class Station:
    """Something that hands messages on."""

    name: str
    protocol: Protocol
    content: Content
    port: int
    process: psutil.Process
    operator_token: str
    viewer_token: str
    events: list[str]

    def cpu_s(self) -> float:
        """Processor time that it has taken so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def all_cases() -> Iterator[Case]:
    """Those of a full run; the ones without filters are measured at each station."""
    yield Case(100)
    yield Case(1_000)
    yield Case(1_000, "same")
    yield Case(1_000, "different")


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="How long each case publishes.")
@click.option("--repeat", default=3, show_default=True, help="How often each case is measured.")
def main(seconds: float, repeat: int) -> None:
    """Measure each case at each station in turn."""
    console = Console(width=130)
    found: dict[tuple[str, Case], list[Sample]] = {}
    with stations() as places:
        for repetition in range(repeat):
            for case, station in pairs(places):
                sample = measure(case, station, seconds, f"{repetition}-{case}")
                found.setdefault((station.name, case), []).append(sample)
                console.print(f"{station.name}, {case}: {sample.per_s:,.0f} deliveries/s", highlight=False)
    table = Table("server", "case", "deliveries/s", "for a CPU second", "bytes", "server cores", "readers' cores")
    for (name, case), samples in found.items():
        table.add_row(
            name,
            str(case),
            f"{statistics.median(one.per_s for one in samples):,.0f}",
            f"{statistics.median(one.per_cpu_s for one in samples):,.0f}",
            f"{statistics.median(one.message_bytes for one in samples):,.0f}",
            f"{statistics.median(one.server_cpu_s / one.seconds for one in samples):.2f}",
            f"{statistics.median(one.readers_cpu_s / one.seconds for one in samples):.2f}",
        )
    console.print(table)


def pairs(places: Sequence[Station]) -> Iterator[tuple[Case, Station]]:
    """What is measured where: filters are ours alone."""
    for case in all_cases():
        yield from ((case, station) for station in places if case.filters == "none" or station is places[0])


@contextmanager
def stations(prepare: Prepare | None = None, more: str = "") -> Iterator[list[Station]]:
    """Ours first. Without Mosquitto where that is not installed."""
    with ExitStack() as stack:
        place = str(IN_MEMORY) if IN_MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webmacs-bench-", dir=place)))
        url = f"sqlite:///{directory / 'webmacs.db'}"
        server = stack.enter_context(running(url, directory, EVENTS, prepare, ONE_BY_ONE + more))
        tokens = server.operator_token, server.viewer_token
        found = [
            Station("WebMACS", "websocket", "readings", server.port, server.process, *tokens, server.events),
        ]
        program = mosquitto.find_mosquitto()
        if program is not None:
            port, process = stack.enter_context(mosquitto.running(program, directory))
            name = mosquitto.version(program)
            found.append(Station(name, "mqtt", "stream", port, process, *tokens, server.events))
        plain = stack.enter_context(bare.running(directory, pass_on=True))
        found.append(Station("bare aiohttp", "websocket", "stream", plain.port, plain.process, *tokens, server.events))
        yield found


def chosen(case: Case, events: list[str]) -> list[str]:
    """What each browser asks for; the same in every run."""
    chance = random.Random(1)
    if case.filters == "none":
        return [""] * case.browsers
    if case.filters == "same":
        return [",".join(chance.sample(events, WANTED))] * case.browsers
    return [",".join(chance.sample(events, WANTED)) for _ in range(case.browsers)]


def measure(case: Case, station: Station, seconds: float, name: str) -> Sample:
    """Publish for so many seconds, then wait until everything has arrived.

    Raises:
        RuntimeError: a subscriber was cut, or heard nothing.

    """
    filtered = case.filters != "none"
    wanted = chosen(case, station.events)
    parts = [wanted[number::READERS] for number in range(READERS)]
    publication = Publication(
        *(station.protocol, station.content, station.port, station.operator_token, station.viewer_token),
        station.events if filtered else station.events[:SHOWN],
        SENT if filtered else SHOWN,
        station.events[0],
        seconds,
        name,
    )
    with ExitStack() as stack:
        readers = [
            stack.enter_context(
                Worker(
                    "subscribers",
                    Subscribers(station.protocol, station.port, station.viewer_token, part, f"{name}-{number}"),
                )
            )
            for number, part in enumerate(parts)
        ]
        publisher = stack.enter_context(Worker("publisher", publication))
        cpu_s = station.cpu_s()
        published = publisher.result()
        heard = [reader.result() for reader in readers]
        cpu_s = station.cpu_s() - cpu_s
    if any(one["lost"] for one in heard):
        raise RuntimeError(f"{station.name}, {case}: {sum(one['lost'] for one in heard)} subscribers were cut")
    if not all(one["messages"] for one in heard):
        raise RuntimeError(f"{station.name}, {case}: subscribers heard nothing")
    return Sample(
        published["messages"],
        sum(one["messages"] for one in heard),
        sum(one["bytes"] for one in heard),
        max(one["last"] for one in heard) - published["began"],
        cpu_s,
        sum(one["cpu_s"] for one in heard),
    )


if __name__ == "__main__":
    main()
