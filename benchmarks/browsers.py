"""Browsers: subscribed to the stream, they read and discard, and count the bytes."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import dataclass
from typing import Final

from benchmarks import wire, workers

PAUSE_S: Final = 0.02  # between two rounds of reading: a browser is not free to read, but it runs on another machine


@dataclass(frozen=True, slots=True)
class Audience:
    """How many there are."""

    port: int
    token: str
    browsers: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What reached them all together, and whom the server has cut."""

    bytes: int
    lost: int


def listen(links: list[socket.socket], stop: threading.Event) -> Heard:
    """Read from all of them until told to stop."""
    heard = lost = 0
    buffer = bytearray(256 * 1024)
    with selectors.DefaultSelector() as selector:
        for link in links:
            link.setblocking(False)
            selector.register(link, selectors.EVENT_READ)
        while not stop.wait(PAUSE_S):
            for key, _ in selector.select(0):
                size = 0
                with contextlib.suppress(ConnectionError):
                    size = key.fileobj.recv_into(buffer)  # type: ignore[union-attr] # they are the sockets from above
                heard += size
                if not size:
                    lost += 1
                    selector.unregister(key.fileobj)
    return Heard(heard, lost)


def main() -> None:
    """Run as a worker; the sign ends it."""
    audience = Audience(**workers.job())
    links = [wire.connect(audience.port, wire.STREAM, audience.token) for _ in range(audience.browsers)]
    stop = threading.Event()

    def wait() -> None:
        workers.wait_for_sign()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    workers.say_ready()
    workers.hand_back(listen(links, stop))


if __name__ == "__main__":
    main()
