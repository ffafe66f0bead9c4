"""More than anyone should send, and what it does to the memory of a server process."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.installation import Installation, installed
from tests.faults.process import ServerProcess
from tests.handlers.test_http import ROUTES
from tests.promises import LONG, Figure
from tests.rawsocket import CONTINUATION, TEXT, RawSocket, frame
from tests.wire import SOCKETS, TELEMETRY
from webmacs.model import Role

LIMIT = 128 * 1024
TIMES = 50 if LONG else 5
BURST = 100_000 if LONG else 20_000
UNFINISHED = 200 if LONG else 50
FLAT_MIB = 24.0
"""What a process may grow by and still be called flat: the arenas of its allocator, the tables it fills once."""
QUEUE_ROWS = 5_000
"""A queue that a burst fills, so that what holds its sender back is seen."""
LOOK_S = 0.02

BODYLESS = ("/auth/logout", "/stop", "/test", "/redeliver")


@dataclass
class Memory:
    """What a process had at first, and at most, in MiB."""

    before: float
    most: float

    @property
    def grown(self) -> float:
        return self.most - self.before

    def __str__(self) -> str:
        return f"{self.before:.0f} MiB before, {self.most:.0f} at most"


@asynccontextmanager
async def watched(server: ServerProcess) -> AsyncIterator[Memory]:
    """Look at the memory of a process until the end of the block."""
    memory = Memory(server.memory_mib(), server.memory_mib())

    async def look() -> None:
        while True:
            memory.most = max(memory.most, server.memory_mib())
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look())
    try:
        yield memory
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        memory.most = max(memory.most, server.memory_mib())


def batch(installation: Installation, **more: object) -> bytes:
    """A frame with one reading."""
    item = {"value": 1.0, "event_public_id": installation.plant.linked[0]}
    return frame(TEXT, json.dumps({"datapoints": [item], **more}).encode())


async def opened(installation: Installation, path: str = TELEMETRY, *headers: str) -> RawSocket:
    token = installation.plant.tokens[Role.OPERATOR]
    return await RawSocket.open(installation.server.address, path, token, *headers)


async def burst(installation: Installation, batch_id: str) -> float:
    """Send as fast as the server takes it; how long until all is stored."""
    began = time.monotonic()
    async with await opened(installation) as socket:
        message = batch(installation) * 1000
        for _ in range(BURST // 1000):
            socket.write(message)
            await socket.drain()
        socket.write(batch(installation, batch_id=batch_id))
        assert (await socket.message(timeout_s=300))["batch_id"] == batch_id
    return time.monotonic() - began


@pytest.mark.promise("B9")
async def test_a_burst_slows_its_sender_and_loses_nothing(storage_url: str, tmp_path: Path, figure: Figure) -> None:
    async with installed(storage_url, tmp_path, {"PIPELINE__QUEUE_ROWS": str(QUEUE_ROWS)}) as installation:
        async with watched(installation.server) as first:
            took_s = await burst(installation, "first")
            assert await installation.storage.count() == BURST + 1
        async with watched(installation.server) as second:
            await burst(installation, "second")
            assert await installation.storage.count() == 2 * (BURST + 1)
        figure(
            f"{storage_url.partition(':')[0]}: {BURST:,} messages through a queue of {QUEUE_ROWS:,} in {took_s:.1f} s, "
            f"all stored; {first}, {second.most:.0f} with as many again"
        )
        assert first.grown < 2 * FLAT_MIB
        assert second.most - first.most < FLAT_MIB


BOMB = zlib.compress(bytes(50_000_000), 9)[2:-4]
"""50 MB as permessage-deflate would have them: 50 KB."""

TOO_MUCH = {
    "one message of 5 MB": (frame(TEXT, b"x" * 5_000_000), 1009),
    "pieces without an end": (
        frame(TEXT, b"x", final=False) + frame(CONTINUATION, b"x" * 60_000, final=False) * 80,
        1009,
    ),
    "pieces of one byte": (frame(TEXT, final=False) + frame(CONTINUATION, b"x", final=False) * (LIMIT + 1), 1009),
    "a length of 8 EiB": (frame(TEXT, b"x" * 1_000_000, length=2**63 - 1), 1009),
    "50 KB that would be 50 MB": (frame(TEXT, BOMB, reserved=0b100), 1002),
}


@pytest.mark.promise("B5")
async def test_messages_that_are_too_big_cost_nothing(tmp_path: Path, figure: Figure) -> None:
    deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as installation:
        async with watched(installation.server) as memory:
            for sent, code in TOO_MUCH.values():
                for number in range(TIMES):
                    async with await opened(installation, SOCKETS[number % 2], deflate) as socket:
                        socket.write(sent)
                        assert (await socket.closing())[0] == code
        megabytes = sum(len(sent) for sent, _ in TOO_MUCH.values()) * TIMES / 1e6
        figure(f"{TIMES} times each of {len(TOO_MUCH)} kinds, {megabytes:,.0f} MB in all: {memory}")
        assert memory.grown < FLAT_MIB


@pytest.mark.promise("B5", "W5")
async def test_messages_that_are_never_finished_cost_no_more_than_one_each(tmp_path: Path, figure: Figure) -> None:
    begun = frame(TEXT, b"x" * (LIMIT // 2), final=False) + frame(CONTINUATION, b"x" * (LIMIT // 2))[:-1]
    async with (
        installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as installation,
        watched(installation.server) as memory,
        AsyncExitStack() as stack,
    ):
        for _ in range(UNFINISHED):
            socket = await stack.enter_async_context(await opened(installation))
            socket.write(begun)
            await socket.drain()
        async with await opened(installation) as other:
            other.write(batch(installation, batch_id="in between"))
            assert (await other.message())["accepted"] == 1
        figure(f"{UNFINISHED} messages of {LIMIT // 1024} KiB but for a byte, held at once: {memory}")
        assert memory.grown < FLAT_MIB + UNFINISHED * 2 * LIMIT / 2**20


@pytest.mark.promise("B10")
async def test_bodies_of_ten_megabytes_cost_nothing(tmp_path: Path, figure: Figure) -> None:
    routes = [(method, path) for method, path, _ in ROUTES if method in {"POST", "PUT"} and not path.endswith(BODYLESS)]
    async with installed(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as installation:
        credential = {"Authorization": f"Bearer {installation.plant.tokens[Role.ADMIN]}"}
        async with watched(installation.server) as memory:
            for method, path in routes:
                body = io.BytesIO(b'{"a": "' + b"x" * 10_000_000 + b'"}')
                headers = {**credential, "Content-Type": "application/json"}
                url = installation.server.address + path
                async with installation.client.request(method, url, data=body, headers=headers) as response:
                    assert (response.status, await response.json()) == (413, {"detail": "Request Entity Too Large"})
        figure(f"10 MB to each of {len(routes)} routes, 413 from all: {memory}")
        assert memory.grown < FLAT_MIB
