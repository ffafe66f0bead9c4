"""Browsers on the live stream: some that read all that comes, as fast as it comes, and some that read nothing.

Raw sockets, and no more is parsed than a test needs to know: a crowd of them must not cost more than the server.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import select
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self, cast
from urllib.parse import urlsplit

from tests.rawsocket import CLOSE, PING, PONG, frame
from tests.wire import STREAM

SMALL_BUFFER: Final = 4096
LOOK_S: Final = 0.01
DEADLINE_S: Final = 60.0
FIRST_VALUE: Final = re.compile(rb'"datapoints":\[{"value":([-0-9.e]+),')


class Watching(asyncio.Protocol):
    """Reads everything. Of each message it keeps the value of its first reading, and when it had arrived whole."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._upgraded = False
        self.seen: list[tuple[float, float]] = []
        """Value and time of each message."""
        self.closed: tuple[int, float] | None = None
        """The code of the close frame, and when it came."""
        self.received = 0
        """Bytes, in all."""
        self.ended = asyncio.Event()

    @property
    def values(self) -> list[float]:
        return [value for value, _ in self.seen]

    @classmethod
    async def open(cls, address: str, token: str) -> Self:
        """One that is connected, and has been told so."""
        loop = asyncio.get_running_loop()
        transport, browser = await loop.create_connection(cls, *_place(address))
        transport.write(_handshake(token))
        async with asyncio.timeout(DEADLINE_S):
            while not browser._upgraded:
                assert not browser.ended.is_set(), browser._left
                await asyncio.sleep(LOOK_S)
        return browser

    async def until_it_sees(self, value: float) -> None:
        """Wait for the message that begins with this value."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.seen or self.seen[-1][0] != value:
                assert not self.ended.is_set(), self.closed
                await asyncio.sleep(LOOK_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        now, left = time.perf_counter(), self._left
        left += data
        self.received += len(data)
        if not self._upgraded and (end := left.find(b'live datapoint stream."}')) >= 0:
            self._upgraded = True
            del left[: end + len(b'live datapoint stream."}')]
        while self._upgraded and (ends := _frame(left)) is not None:
            start, end = ends
            if left[0] & 0xF == CLOSE:
                self.closed = int.from_bytes(left[start : start + 2], "big"), time.monotonic()
                self._transport.close()
            elif left[0] & 0xF == PING:
                self._transport.write(frame(PONG, bytes(left[start:end])))
            elif match := FIRST_VALUE.search(left, start, min(end, start + 128)):
                self.seen.append((float(match[1]), now))
            del left[:end]

    def leave(self) -> None:
        """Go without a word."""
        self._transport.abort()


class Stuck:
    """Subscribes and never reads again; its kernel takes next to nothing on its behalf."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._poll = select.poll()
        self._poll.register(link, 0)  # nothing is read: the kernel tells of a reset all the same

    @classmethod
    async def open(cls, address: str, token: str) -> Self:
        """One that has been told that it is connected."""
        link, loop = socket.socket(), asyncio.get_running_loop()
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        await loop.sock_connect(link, _place(address))
        await loop.sock_sendall(link, _handshake(token))
        said = b""
        async with asyncio.timeout(DEADLINE_S):
            while b"Subscribed" not in said:
                said += await loop.sock_recv(link, 1)
        return cls(link)

    @property
    def cut(self) -> bool:
        """Whether the server has reset the connection."""
        return bool(self._poll.poll(0))

    async def until_cut(self) -> float:
        """Wait for that; when it was, to a hundredth of a second."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.cut:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        return time.monotonic()

    def leave(self) -> None:
        """Go without a word."""
        self._link.close()


@dataclass(frozen=True)
class Crowd:
    """Some of both kinds."""

    watching: Sequence[Watching]
    stuck: Sequence[Stuck]


@asynccontextmanager
async def crowd(address: str, token: str, *, watching: int, stuck: int) -> AsyncIterator[Crowd]:
    """So many of each kind, who leave without a word at the end."""
    everyone = Crowd(
        [await Watching.open(address, token) for _ in range(watching)],
        [await Stuck.open(address, token) for _ in range(stuck)],
    )
    try:
        yield everyone
    finally:
        for reader in everyone.watching:
            reader.leave()
        for sleeper in everyone.stuck:
            sleeper.leave()


def _place(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def _handshake(token: str) -> bytes:
    lines = (
        f"GET {STREAM}?token={token} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _frame(data: bytearray) -> tuple[int, int] | None:
    """Where the payload of the first frame begins and ends, if all of it is there (RFC 6455, section 5.2)."""
    if len(data) < 2:
        return None
    size, head = data[1], 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        if len(data) < 2 + wide:
            return None
        size, head = int.from_bytes(data[2 : 2 + wide], "big"), 2 + wide
    return (head, head + size) if len(data) >= head + size else None
