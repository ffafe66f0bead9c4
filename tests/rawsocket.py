"""A client that is free to break every rule: raw frames on a WebSocket, raw bytes where HTTP should be."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
TIMEOUT_S = 5.0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length: int | None = None,
) -> bytes:
    """One frame as a client sends it (RFC 6455, section 5.2). `length`: what it claims, whatever the payload is."""
    claimed = len(payload) if length is None else length
    mask_bit = 0x80 if masked else 0
    head = bytes((final << 7 | reserved << 4 | opcode,))
    if claimed <= 125:
        head += bytes((mask_bit | claimed,))
    elif claimed <= 0xFFFF:
        head += bytes((mask_bit | 126,)) + claimed.to_bytes(2, "big")
    else:
        head += bytes((mask_bit | 127,)) + claimed.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    stream = key * (len(payload) // 4 + 1)
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(stream[: len(payload)], "big")
    return head + key + hidden.to_bytes(len(payload), "big")


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), self
        return json.loads(self.body)


class RawSocket:
    """A connection on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, address: str, tls: ssl.SSLContext | None = None) -> Self:
        """A connection on which nothing has been said."""
        parts = urlsplit(address)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, ssl=tls))

    @classmethod
    async def open(cls, address: str, path: str, token: str | None = None, *headers: str) -> Self:
        """An upgraded connection."""
        socket = await cls.connect(address)
        answer = await socket.upgrade(path if token is None else f"{path}?token={quote(token)}", *headers)
        assert answer.status == 101, answer
        return socket

    async def upgrade(self, target: str, *headers: str) -> Answer:
        """Ask for a WebSocket; returns the answer's head."""
        lines = (
            f"GET {target} HTTP/1.1",
            *(() if any(line.lower().startswith("host:") for line in headers) else ("Host: localhost",)),
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *headers,
        )
        self.write("\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape"))
        return await self.answer(body=False)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the server takes what was written."""
        await self._writer.drain()

    def pause(self) -> None:
        """Stop reading, as a browser in a suspended tab does."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read again."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def receive(self, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        async with asyncio.timeout(timeout_s):
            first, second = await self._reader.readexactly(2)
            assert first & 0xF0 == 0x80, "final, without reserved bits"
            assert not second & 0x80, "a server does not mask"
            size = second
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            return first & 0xF, await self._reader.readexactly(size)

    async def take(self, size: int) -> bytes:
        """The next bytes, whatever they are."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.readexactly(size)

    async def message(self, timeout_s: float = TIMEOUT_S) -> Any:
        """The next text message, as JSON."""
        opcode, payload = await self.receive(timeout_s)
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    async def closing(self) -> tuple[int, str]:
        """Code and reason of the close frame, whatever comes before it."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def answer(self, *, body: bool = True) -> Answer:
        """The next answer over HTTP."""
        async with asyncio.timeout(TIMEOUT_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            size = int(headers.get("content-length", 0)) if body else 0
            return Answer(int(head[0].split()[1]), headers, await self._reader.readexactly(size))

    async def ended(self) -> bytes:
        """All that comes until the server ends the connection."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._reader.read()

    async def within(self, seconds: float) -> bytes:
        """All that comes in that time, or until the server ends the connection."""
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while chunk := await self._reader.read(65_536):
                    found += chunk
        return found

    def at_end(self) -> bool:
        """Whether the server has ended the connection, and all that it said has been read."""
        return self._reader.at_eof() or self._writer.transport.is_closing()

    def cut(self) -> None:
        """Go without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Go in good order."""
        self._writer.close()
        await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.cut()


async def exchange(address: str, request: bytes, *, body: bool = True) -> Answer:
    """Send bytes where a request is expected, and read the answer."""
    async with await RawSocket.connect(address) as connection:
        connection.write(request)
        return await connection.answer(body=body)
