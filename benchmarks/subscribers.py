"""Subscribers of a server or a broker: they read, and count messages and bytes, until nothing comes any more.

The same for WebSocket and for MQTT, so that what is measured beside each other is measured alike. They read all that
has come in rounds, as `benchmarks.browsers` does, and of each message look at its head alone.
"""

from __future__ import annotations

import gc
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks import mqtt, wire, workers

PAUSE_S: Final = 0.02
QUIET_S: Final = 0.3
BUFFER_BYTES: Final = 256 * 1024

Protocol = Literal["websocket", "mqtt"]
End = Callable[[bytes, int], int | None]


@dataclass(frozen=True, slots=True)
class Subscribers:
    """One for each of `wanted`: the ids of events, with commas between, or nothing for all.

    `name` is another each time.
    """

    protocol: Protocol
    port: int
    token: str
    wanted: list[str]
    name: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What reached them all together; `last` is the time of `time.perf_counter` at which the last of it was there."""

    messages: int
    bytes: int
    lost: int
    last: float
    cpu_s: float


class Tally:
    """Counts the messages of one connection, however the network cuts them."""

    __slots__ = ("_ahead", "_end", "_first", "_rest", "messages")

    def __init__(self, end: End, first: int) -> None:
        """`end`: where a frame ends; `first`: the byte that those begin with which count."""
        self._end, self._first = end, first
        self._ahead = 0  # of the frame that has begun, this much is to come
        self._rest = b""  # a head that is not whole
        self.messages = 0

    def take(self, data: bytes) -> None:
        """The next piece."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = self._ahead, len(data)
        while at < size:
            end = self._end(data, at)
            if end is None:
                self._rest = data[at:]
                at = size
                break
            self.messages += data[at] == self._first
            at = end
        self._ahead = at - size


def subscribe(job: Subscribers) -> list[socket.socket]:
    """Connect all of them; what the other side says to a newcomer has been read."""
    return [open_link(job.protocol, job.port, job.token, f"{job.name}-{n}", one) for n, one in enumerate(job.wanted)]


def open_link(protocol: Protocol, port: int, token: str, name: str, wanted: str = "") -> socket.socket:
    """One of them."""
    if protocol == "mqtt":
        link = mqtt.connect(port, name)
        mqtt.subscribe(link)
        return link
    link = wire.connect(port, wire.STREAM, f"{token}&events={wanted}" if wanted else token)
    head = wire.exactly(link, 2)
    wire.exactly(link, head[1])  # that it is connected; a short frame
    return link


def listen(links: Sequence[socket.socket], protocol: Protocol, over: threading.Event) -> Heard:
    """Read from all of them until told that it is over, and then until it is quiet."""
    tallies = {
        link.fileno(): (
            link,
            Tally(mqtt.packet_end, mqtt.PUBLISH) if protocol == "mqtt" else Tally(wire.server_frame_end, wire.TEXT),
        )
        for link in links
    }
    heard = lost = 0
    last = time.perf_counter()
    cpu_s = time.process_time()
    poll = select.poll()  # less work than selectors make of it
    for link in links:
        link.setblocking(False)
        poll.register(link, select.POLLIN)
    while not over.is_set() or time.perf_counter() - last < QUIET_S:
        time.sleep(PAUSE_S)
        ready = poll.poll(0)
        for number, _ in ready:
            link, tally = tallies[number]
            try:
                data = link.recv(BUFFER_BYTES)
            except ConnectionError:
                data = b""
            if data:
                heard += len(data)
                tally.take(data)
            else:
                lost += 1
                poll.unregister(number)
        if ready:
            last = time.perf_counter()
    messages = sum(tally.messages for _, tally in tallies.values())
    return Heard(messages, heard, lost, last, time.process_time() - cpu_s)


def main() -> None:
    """Run as a worker; the sign says that no more is published."""
    job = Subscribers(**workers.job())
    links = subscribe(job)
    over = threading.Event()

    def wait() -> None:
        workers.wait_for_sign()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    gc.disable()
    workers.say_ready()
    workers.hand_back(listen(links, job.protocol, over))


if __name__ == "__main__":
    main()
