"""A crowd of browsers, two of which may be bad: one does not read at all, one reads slowly.

What is asked is what the others notice: the time from a send to its acknowledgement, and from a send to each healthy
browser's receipt. Each part is a process of its own, or the bad ones would take the interpreter from those that
measure; they share the clock of the machine, and a message's first value is the time at which it was sent.
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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks import wire, workers

SHOWN_HZ: Final = 4.0  # slower than the broadcast's interval, so that each message goes out at once
ASKED_HZ: Final = 100.0
SLOW_BYTES: Final = 2_048  # what the slow browser reads at a time, 20 times a second
SMALL_BUFFER: Final = 4_096
SENT_AT: Final = re.compile(rb'\[{"value":(\d{2,}\.\d+)')  # the reading that is asked about has a smaller value
ACK: Final = b'"ack"'


Part = Literal["browsers", "bad", "show", "ask"]


@dataclass(frozen=True, slots=True)
class Crowd:
    """One part of it. `events` are shown to all browsers; `asked` is one more, whose readings are acknowledged."""

    part: Part
    port: int
    token: str
    events: list[str]
    asked: str
    browsers: int
    seconds: float
    name: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """Milliseconds, unsorted; of the bad part alone, when the server cut the browser that does not read, if it did."""

    delays: list[float]
    cut_after_s: float | None = None


def browsers(crowd: Crowd) -> Callable[[], Noticed]:
    """The healthy ones: read everything, note when each message had arrived whole."""
    links = [wire.connect(crowd.port, wire.STREAM, crowd.token) for _ in range(crowd.browsers)]
    left = {link: bytearray() for link in links}
    delays: list[float] = []

    def take(link: socket.socket) -> None:
        data = left[link]
        data += link.recv(1 << 18)
        now = time.perf_counter()
        while (end := _frame_end(data)) is not None:
            match = SENT_AT.search(data, 0, min(end, 128))
            if match:
                delays.append((now - float(match[1])) * 1000)
            del data[:end]

    def read() -> Noticed:
        until = time.perf_counter() + crowd.seconds
        with selectors.DefaultSelector() as selector:
            for link in links:
                link.setblocking(False)
                selector.register(link, selectors.EVENT_READ)
            while time.perf_counter() < until:
                for key, _ in selector.select(0.05):
                    take(key.fileobj)  # type: ignore[arg-type] # they are the sockets from above
        return Noticed(delays)

    return read


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


def bad(crowd: Crowd) -> Callable[[], Noticed]:
    """One that will not read, one that reads slowly; both with little room in their own kernel."""
    stuck, slow = (wire.connect(crowd.port, wire.STREAM, crowd.token) for _ in range(2))
    for link in (stuck, slow):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    stop = threading.Event()

    def read_slowly() -> None:
        with contextlib.suppress(ConnectionError):
            while not stop.wait(0.05) and slow.recv(SLOW_BYTES):
                pass

    def watch_for_cut() -> Noticed:
        reader = threading.Thread(target=read_slowly, daemon=True)
        reader.start()
        poller = select.poll()
        poller.register(stuck, 0)  # without reading anything: the kernel tells of a reset
        cut, began = None, time.perf_counter()
        while time.perf_counter() < began + crowd.seconds:
            time.sleep(0.05)
            if cut is None and poller.poll(0):
                cut = time.perf_counter() - began
        stop.set()
        reader.join()
        return Noticed([], cut)

    return watch_for_cut


def show(crowd: Crowd) -> Callable[[], Noticed]:
    """All events at once, at a steady pace; the first value is the time of the machine's clock."""
    link = wire.connect(crowd.port, wire.TELEMETRY, crowd.token)
    rest = "".join(f',{{"value":1.5,"event_public_id":"{event}"}}' for event in crowd.events[1:])

    def send() -> Noticed:
        until = time.perf_counter() + crowd.seconds
        while (now := time.perf_counter()) < until:
            first = f'{{"value":{now!r},"event_public_id":"{crowd.events[0]}"}}'
            link.sendall(wire.client_frame(f'{{"datapoints":[{first}{rest}]}}'.encode()))
            time.sleep(max(0.0, now + 1 / SHOWN_HZ - time.perf_counter()))
        return Noticed([])

    return send


def ask(crowd: Crowd) -> Callable[[], Noticed]:
    """One reading at a time, at a steady pace, each waited for until it is acknowledged."""
    link = wire.connect(crowd.port, wire.TELEMETRY, crowd.token)

    def send() -> Noticed:
        delays: list[float] = []
        until = time.perf_counter() + crowd.seconds
        while (now := time.perf_counter()) < until:
            point = f'{{"value":0.5,"event_public_id":"{crowd.asked}"}}'
            batch_id = f"{crowd.name}-{len(delays)}"
            link.sendall(wire.client_frame(f'{{"datapoints":[{point}],"batch_id":"{batch_id}"}}'.encode()))
            while ACK not in link.recv(4096):
                pass
            delays.append((time.perf_counter() - now) * 1000)
            time.sleep(max(0.0, now + 1 / ASKED_HZ - time.perf_counter()))
        return Noticed(delays)

    return send


PARTS: Final[dict[Part, Callable[[Crowd], Callable[[], Noticed]]]] = {
    "browsers": browsers,
    "bad": bad,
    "show": show,
    "ask": ask,
}


def main() -> None:
    """Run as a worker."""
    crowd = Crowd(**workers.job())
    run = PARTS[crowd.part](crowd)
    gc.disable()
    workers.say_ready()
    workers.wait_for_sign()
    workers.hand_back(run())


if __name__ == "__main__":
    main()
