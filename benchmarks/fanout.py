"""Fan-out: how many messages a second reach browsers, beside Mosquitto and beside bare aiohttp.

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
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from benchmarks import bare, mosquitto
from benchmarks.equipment import equipped
from benchmarks.publisher import Content, Publication
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

    def more(self) -> dict[str, float]:
        """What else is to be known."""
        return {
            "published_per_s": self.published / self.seconds,
            "message_bytes": self.message_bytes,
            "server_cores": self.server_cpu_s / self.seconds,
            "readers_cores": self.readers_cpu_s / self.seconds,
        }

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


def quick_cases() -> Iterator[Case]:
    """Those of a quick run."""
    yield Case(100)
    yield Case(100, "different")


def pairs(places: Sequence[Station], quick: bool = False) -> Iterator[tuple[Case, Station]]:
    """What is measured where: filters are ours alone."""
    for case in quick_cases() if quick else all_cases():
        yield from ((case, station) for station in places if case.filters == "none" or station is places[0])


@contextmanager
def stations() -> Iterator[list[Station]]:
    """Ours first. Without Mosquitto where that is not installed."""
    with ExitStack() as stack:
        place = str(IN_MEMORY) if IN_MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webmacs-bench-", dir=place)))
        url = f"sqlite:///{directory / 'webmacs.db'}"
        server = stack.enter_context(equipped(url, directory, EVENTS, more=ONE_BY_ONE))
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
