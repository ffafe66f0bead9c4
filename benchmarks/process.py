"""The server as the outside sees it: its memory and descriptors, its own metrics, and how soon it answers a ping."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks import wire

PING_EVERY_S: Final = 0.1
LAG: Final = "webmacs_loop_lag_seconds_bucket"

_SAMPLE: Final = re.compile(r'^(\w+)(?:\{le="([^"]+)"\})? (\S+)$', re.MULTILINE)

Metrics = Mapping[tuple[str, str], float]
"""By name, and the bound where it is the bucket of a histogram. Those with other labels are left out."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the process. `rss`: bytes that are resident, `anonymous`: of these what no file holds."""

    at_s: float
    rss: int
    anonymous: int
    descriptors: int
    threads: int
    cpu_s: float


def look(process: psutil.Process, since: float) -> Look:
    """How it is now; `since` is a time of `time.monotonic`."""
    with process.oneshot():
        times, threads = process.cpu_times(), process.num_threads()
    rss, anonymous = _memory(process)
    return Look(time.monotonic() - since, rss, anonymous, process.num_fds(), threads, times.user + times.system)


def _memory(process: psutil.Process) -> tuple[int, int]:
    """To the page where the system tells; the usual figure may be some hundred kilobytes off."""
    exact = Path(f"/proc/{process.pid}/smaps_rollup")
    if not exact.exists():
        rss = int(process.memory_info().rss)
        return rss, rss
    sizes = dict(re.findall(r"(?m)^(\w+): +(\d+) kB$", exact.read_text()))
    return int(sizes["Rss"]) * 1024, int(sizes["Anonymous"]) * 1024


def scrape(port: int, token: str) -> Metrics:
    """What the server says of itself."""
    connection = http.client.HTTPConnection(wire.HOST, port, timeout=wire.TIMEOUT_S)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return {(name, bound): float(value) for name, bound, value in _SAMPLE.findall(text)}


def lag_quantile_ms(before: Metrics, after: Metrics, share: float) -> float:
    """The lag of the loop between two scrapes: as Prometheus reckons it, evenly spread within a bucket."""
    bounds = sorted(float(bound) for name, bound in after if name == LAG)
    counts = {
        float(bound): value - before.get((name, bound), 0) for (name, bound), value in after.items() if name == LAG
    }
    wanted, lower, below = share * counts[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted and counts[bound] > below:
            upper = bound if bound < float("inf") else lower
            return (lower + (upper - lower) * (wanted - below) / (counts[bound] - below)) * 1000
        lower, below = bound, counts[bound]
    return 0.0


class Pinger:
    """A browser that shows nothing and asks ten times a second how soon it is answered."""

    def __init__(self, port: int, token: str) -> None:
        self._link = wire.connect(port, wire.STREAM, f"{token}&events=none")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._delays_ms: list[float] = []
        self._late_ms: list[float] = []
        self._thread.start()

    def taken(self) -> list[float]:
        """The milliseconds since this was asked the last time, in no order."""
        delays, self._delays_ms = self._delays_ms, []
        return delays

    def late(self) -> list[float]:
        """By how many milliseconds it was woken late itself, since this was asked: what the machine does to all."""
        late, self._late_ms = self._late_ms, []
        return late

    def close(self) -> None:
        """Leave."""
        self._stopped.set()
        self._thread.join()
        self._link.close()

    def _run(self) -> None:
        self._message()  # that it is connected
        asleep = time.perf_counter()
        while not self._stopped.wait(PING_EVERY_S):
            began = time.perf_counter()
            self._late_ms.append((began - asleep - PING_EVERY_S) * 1000)
            self._link.sendall(wire.client_frame(b'{"type":"ping"}'))
            while b'"pong"' not in self._message():
                pass
            asleep = time.perf_counter()
            self._delays_ms.append((asleep - began) * 1000)

    def _message(self) -> bytes:
        """The next one; the server's own pings are answered."""
        while True:
            head = wire.exactly(self._link, 2)
            size = (
                head[1]
                if head[1] < 126
                else int.from_bytes(wire.exactly(self._link, 2 if head[1] == 126 else 8), "big")
            )
            payload = wire.exactly(self._link, size)
            if head[0] != 0x89:
                return payload
            self._link.sendall(b"\x8a" + wire.client_frame(payload)[1:])
