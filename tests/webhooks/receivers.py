"""Receivers of webhooks, on loopback: raw bytes, so that they are free to break every rule."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from webmacs.clock import Clock, SystemClock
from webmacs.config import WebhookSettings
from webmacs.webhooks.attempt import Courier

LOOPBACK = ("127.0.0.0/8", "::1/128")
DEADLINE_S = 30.0
"""For what should come at once, on a machine that is busy with other things."""


@dataclass(frozen=True)
class Request:
    """What a receiver got. Header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Listens, remembers what it got, and behaves as it was told to."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.host, self.port = "", 0
        self.peers: list[Any] = []
        self.ended = 0
        self.requests: list[Request] = []
        self.sent = 0
        """Bytes that went out, or at least into the kernel."""
        self._changed = asyncio.Condition()
        self._under_way: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    @property
    def connections(self) -> int:
        return len(self.peers)

    async def hits(self) -> int:
        """Connections there were so far: a last one is made, which comes after all others, and is not counted."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        own = writer.get_extra_info("sockname")
        await self.until(lambda: own in self.peers)
        self.peers.remove(own)
        writer.close()
        await reader.read()
        return self.connections

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something is true of this receiver."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(happened)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way[task] = writer
        self.peers.append(writer.get_extra_info("peername"))
        await self._tell()
        try:
            while True:
                self.requests.append(await read_request(reader))
                await self._tell()
                await self._behave(Connection(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, Done):
            pass
        finally:
            del self._under_way[task]
            self.ended += 1
            writer.transport.abort()
            await self._tell()

    async def stop(self) -> None:
        """Leave nobody behind."""
        for writer in self._under_way.values():
            writer.transport.abort()
        await asyncio.gather(*self._under_way)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@dataclass(frozen=True)
class Connection:
    """A request has come; this is how to answer it."""

    receiver: Receiver
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing() or self.reader.at_eof():  # asyncio takes no notice, uvloop raises a RuntimeError
            raise Done
        self.writer.write(data)
        await self.writer.drain()
        self.receiver.sent += len(data)

    async def until_ended(self) -> None:
        """Say nothing until the other side has gone."""
        while await self.reader.read(65_536):
            pass
        raise Done


class Done(Exception):
    """The receiver has had enough of this connection."""


Behaviour = Callable[[Connection], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    return Request(head[0], headers, await reader.readexactly(int(headers.get("content-length", 0))))


@asynccontextmanager
async def listening(
    behave: Behaviour, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver that behaves like that."""
    receiver = Receiver(behave)
    server = await asyncio.start_server(receiver.answer, host, port, ssl=tls)
    receiver.host, receiver.port = server.sockets[0].getsockname()[:2]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.stop()
        await server.wait_closed()


@asynccontextmanager
async def courier(
    *networks: str, clock: Clock | None = None, tls: ssl.SSLContext | None = None, **settings: Any
) -> AsyncIterator[Courier]:
    """A courier at work; it may reach loopback unless told otherwise."""
    document = {"allowed_networks": networks or LOOPBACK, "timeout_s": DEADLINE_S, **settings}
    made = Courier(WebhookSettings.model_validate(document), clock or SystemClock(), tls=tls)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


# -- how they behave -------------------------------------------------------------------------------------------------


def reply(status: int, *headers: str, body: bytes = b"") -> bytes:
    """A whole answer, as a well-behaved receiver gives it."""
    length = () if status == 204 else (f"Content-Length: {len(body)}",)
    return "\r\n".join((f"HTTP/1.1 {status} Words", *length, *headers, "", "")).encode("latin-1") + body


def saying(data: bytes) -> Behaviour:
    """Gives this answer, and goes on listening."""

    async def behave(connection: Connection) -> None:
        await connection.send(data)

    return behave


def saying_last(data: bytes) -> Behaviour:
    """Gives this answer, and closes the connection."""

    async def behave(connection: Connection) -> None:
        await connection.send(data)
        connection.writer.close()
        raise Done

    return behave


def flooding(head: bytes, more: bytes) -> Behaviour:
    """Begins like this, and then goes on for ever like that."""

    async def behave(connection: Connection) -> None:
        await connection.send(head)
        while True:
            await connection.send(more)

    return behave


def trickling(head: bytes, more: bytes) -> Behaviour:
    """Begins like this, and sends a little from time to time, for ever."""

    async def behave(connection: Connection) -> None:
        await connection.send(head)
        while True:
            await connection.send(more)
            await asyncio.sleep(0.01)

    return behave


async def hanging(connection: Connection) -> None:
    """Takes the request and says nothing."""
    await connection.until_ended()


async def closing(connection: Connection) -> None:
    """Takes the request and closes the connection."""
    connection.writer.close()
    raise Done


async def resetting(connection: Connection) -> None:
    """Takes the request and resets the connection."""
    sock = connection.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.writer.transport.abort()
    raise Done


OK = saying(reply(200, body=b"thanks"))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(20_000_000), 9)
