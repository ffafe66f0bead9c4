"""A TCP proxy that misbehaves on demand: between a client and a server, on loopback, in the loop of the test."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

CHUNK = 2**16


class Fault:
    """What happens to the first connection whose client sends the pattern (in one piece); to no other one."""

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.met = asyncio.Event()
        """The pattern was sent, and what is to happen then has happened."""
        self.over = asyncio.Event()
        """The server has answered what it got of it, or has closed the connection."""


class LostAnswer(Fault):
    """The request gets through; the answer does not: at its first byte the client's connection is cut."""


class Cut(Fault):
    """The request is cut off so many bytes behind the pattern: the server gets only the part up to there."""

    def __init__(self, pattern: bytes, more: int) -> None:
        super().__init__(pattern)
        self.more = more


class Reset(Fault):
    """The request is thrown away; the client gets these last words, and behind them its connection is reset."""

    def __init__(self, pattern: bytes, words: bytes) -> None:
        super().__init__(pattern)
        self._words = words

    def happen(self, writer: asyncio.StreamWriter) -> None:
        """Behind the back of the transport, so that words and reset arrive in the same moment."""
        number = writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as client, Path(os.devnull).open("rb") as nothing:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(self._words)
            os.dup2(nothing.fileno(), number)
        writer.transport.abort()
        self.met.set()


class Held(Fault):
    """The request is kept back, from the pattern on, until `release`: also when its client has gone long before."""

    def __init__(self, pattern: bytes) -> None:
        super().__init__(pattern)
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def wait(self) -> None:
        await self._released.wait()


class Proxy:
    """Passes everything on, until it is told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._fault: Fault | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def lose_answer_to(self, pattern: bytes) -> LostAnswer:
        self._fault = fault = LostAnswer(pattern)
        return fault

    def cut_behind(self, pattern: bytes, more: int = 0) -> Cut:
        self._fault = fault = Cut(pattern, more)
        return fault

    def reset_at(self, pattern: bytes, words: bytes) -> Reset:
        self._fault = fault = Reset(pattern, words)
        return fault

    def hold(self, pattern: bytes) -> Held:
        self._fault = fault = Held(pattern)
        return fault

    def stall(self) -> None:
        """Accept connections and bytes, but pass nothing on, in either direction."""
        self._flowing.clear()

    def resume(self) -> None:
        """Undo `stall`: what was kept back gets through."""
        self._flowing.set()

    def cut(self) -> None:
        """Cut all connections there are, on both sides, as a reset does."""
        for link in self._links:
            link.abort()

    async def flow(self) -> None:
        await self._flowing.wait()

    def take_fault(self, sent: bytes) -> Fault | None:
        """The fault whose turn has come; it comes once."""
        fault = self._fault
        if fault is None or fault.pattern not in sent:
            return None
        self._fault = None
        return fault

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.task.cancel()
        if self._links:
            await asyncio.wait([link.task for link in self._links])
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), upstream)
        self._links.add(link)
        try:
            await link.run()
        except asyncio.CancelledError:
            pass
        finally:
            self._links.discard(link)
            link.abort()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._fault: Fault | None = None
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    async def run(self) -> None:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(self._from_client())
            directions.create_task(self._from_server())

    def abort(self) -> None:
        self._client[1].transport.abort()
        self._server[1].transport.abort()

    async def _from_client(self) -> None:
        reader, writer = self._client[0], self._server[1]
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._proxy.flow()
                fault = self._fault or self._proxy.take_fault(data)
                if fault is not self._fault:
                    self._fault = fault
                    if isinstance(fault, Cut):
                        await _send(writer, data[: data.index(fault.pattern) + len(fault.pattern) + fault.more])
                        fault.met.set()
                        break
                    if isinstance(fault, Reset):
                        fault.happen(self._client[1])
                        break
                    if isinstance(fault, Held):
                        fault.met.set()
                if isinstance(fault, Held):
                    await fault.wait()
                await _send(writer, data)
        if not writer.is_closing():
            writer.write_eof()
        if isinstance(self._fault, Cut):
            self._client[1].transport.abort()

    async def _from_server(self) -> None:
        reader, writer = self._server[0], self._client[1]
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._proxy.flow()
                if self._fault is not None:
                    self._fault.over.set()
                if isinstance(self._fault, LostAnswer):
                    self._fault.met.set()
                    writer.transport.abort()
                if not writer.is_closing():
                    await _send(writer, data)
        if self._fault is not None:
            self._fault.over.set()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():  # asyncio takes no notice, uvloop raises a RuntimeError
        raise ConnectionAbortedError
    writer.write(data)
    await writer.drain()


@asynccontextmanager
async def proxy_to(port: int, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """A proxy that runs, to that port."""
    proxy = Proxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
