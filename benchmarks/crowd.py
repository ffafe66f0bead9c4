"""A crowd of browsers, two of which may be bad: one does not read at all, one reads slowly.

What is asked is what the others notice: the time from a send to its acknowledgement, and from a send to each healthy
browser's receipt. Everything runs in threads of one process, so there is one clock.
"""

from __future__ import annotations

import contextlib
import gc
import re
import select
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import wire, workers

SHOWN_HZ: Final = 4.0  # slower than the broadcast's interval, so that each message goes out at once
ASKED_HZ: Final = 100.0
SLOW_BYTES: Final = 2_048  # what the slow browser reads at a time, 20 times a second
SMALL_BUFFER: Final = 4_096
FIRST_VALUE: Final = re.compile(rb'\[{"value":(\d+)\.')
ACK: Final = b'"ack"'


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who is there. `events` are shown to all browsers; `asked` is one more, whose readings are acknowledged."""

    port: int
    operator_token: str
    viewer_token: str
    events: list[str]
    asked: str
    browsers: int
    bad: bool
    seconds: float
    name: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """Milliseconds, unsorted. `cut_after_s`: when the server cut the browser that does not read, if it did."""

    acknowledged: list[float]
    shown: list[float]
    cut_after_s: float | None


class Browsers:
    """The healthy ones: read everything, note when each message began to arrive whole."""

    def __init__(self, crowd: Crowd, sent: dict[int, float]) -> None:
        self._sent = sent
        self._links = [wire.connect(crowd.port, wire.STREAM, crowd.viewer_token) for _ in range(crowd.browsers)]
        self._left: dict[socket.socket, bytearray] = {link: bytearray() for link in self._links}
        self.delays: list[float] = []

    def read(self, stop: threading.Event) -> None:
        """Until told to stop."""
        with selectors.DefaultSelector() as selector:
            for link in self._links:
                link.setblocking(False)
                selector.register(link, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in selector.select(0.05):
                    self._take(key.fileobj)  # type: ignore[arg-type] # they are the sockets from above

    def _take(self, link: socket.socket) -> None:
        left = self._left[link]
        left += link.recv(1 << 18)
        now = time.perf_counter()
        while (end := _frame_end(left)) is not None:
            match = FIRST_VALUE.search(left, 0, min(end, 128))
            if match and (sent := self._sent.get(int(match[1]))) is not None:
                self.delays.append((now - sent) * 1000)
            del left[:end]


def _frame_end(data: bytearray) -> int | None:
    """Where the first frame of a server ends, if all of it is there (RFC 6455, section 5.2)."""
    if len(data) < 10:
        return None
    size, head = data[1], 2
    if size == 126:
        size, head = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, head = int.from_bytes(data[2:10], "big"), 10
    return head + size if len(data) >= head + size else None


def bad_browsers(crowd: Crowd) -> tuple[socket.socket, socket.socket]:
    """One that will not read, one that reads slowly; both with little room in their own kernel."""
    links = [wire.connect(crowd.port, wire.STREAM, crowd.viewer_token) for _ in range(2)]
    for link in links:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    return links[0], links[1]


def read_slowly(link: socket.socket, stop: threading.Event) -> None:
    """A little at a time."""
    with contextlib.suppress(ConnectionError):
        while not stop.wait(0.05) and link.recv(SLOW_BYTES):
            pass


def watch_for_cut(link: socket.socket, began: float, stop: threading.Event, found: list[float]) -> None:
    """Without reading anything: the kernel tells of a reset."""
    poller = select.poll()
    poller.register(link, 0)
    while not stop.wait(0.05):
        if poller.poll(0):
            found.append(time.perf_counter() - began)
            return


def show(crowd: Crowd, link: socket.socket, sent: dict[int, float], until: float) -> None:
    """All events at once, at a steady pace; the first value is the number of the message."""
    number = 0
    while (now := time.perf_counter()) < until:
        number += 1
        points = ",".join(f'{{"value":{number},"event_public_id":"{event}"}}' for event in crowd.events)
        frame = wire.client_frame(f'{{"datapoints":[{points}]}}'.encode())
        sent[number] = time.perf_counter()
        link.sendall(frame)
        time.sleep(max(0.0, now + 1 / SHOWN_HZ - time.perf_counter()))


def ask(crowd: Crowd, link: socket.socket, until: float) -> list[float]:
    """One reading at a time, at a steady pace, each waited for until it is acknowledged."""
    delays = []
    number = 0
    while (now := time.perf_counter()) < until:
        number += 1
        point = f'{{"value":0.5,"event_public_id":"{crowd.asked}"}}'
        link.sendall(wire.client_frame(f'{{"datapoints":[{point}],"batch_id":"{crowd.name}-{number}"}}'.encode()))
        while ACK not in link.recv(4096):
            pass
        delays.append((time.perf_counter() - now) * 1000)
        time.sleep(max(0.0, now + 1 / ASKED_HZ - time.perf_counter()))
    return delays


def run(crowd: Crowd) -> Noticed:
    """Everyone at once, for as long as asked."""
    sent: dict[int, float] = {}
    stop = threading.Event()
    browsers = Browsers(crowd, sent)
    shower = wire.connect(crowd.port, wire.TELEMETRY, crowd.operator_token)
    asker = wire.connect(crowd.port, wire.TELEMETRY, crowd.operator_token)
    cut: list[float] = []
    jobs: list[tuple[Any, tuple[Any, ...]]] = [(browsers.read, (stop,))]
    began = time.perf_counter()
    until = began + crowd.seconds
    if crowd.bad:
        stuck, slow = bad_browsers(crowd)
        jobs += [(read_slowly, (slow, stop)), (watch_for_cut, (stuck, began, stop, cut))]
    jobs.append((show, (crowd, shower, sent, until)))
    gc.disable()
    threads = [threading.Thread(target=job, args=arguments, daemon=True) for job, arguments in jobs]
    for thread in threads:
        thread.start()
    acknowledged = ask(crowd, asker, until)
    stop.set()
    for thread in threads:
        thread.join(5)
    return Noticed(acknowledged, browsers.delays, cut[0] if cut else None)


def main() -> None:
    """Run as a worker."""
    crowd = Crowd(**workers.job())
    workers.say_ready()
    workers.wait_for_sign()
    workers.hand_back(run(crowd))


if __name__ == "__main__":
    main()
