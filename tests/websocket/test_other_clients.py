"""Clients that share no line of code with us or with aiohttp: how they get on with both sockets.

What they ask for and do not get is compression; what they parse are frames that the hub has put together by hand.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import AsyncExitStack
from importlib.metadata import version
from urllib.parse import quote

import pytest

from tests.plant import Server, furnished_server
from tests.promises import LONG, Figure
from tests.websocket.clients import LIBRARIES, Peer
from tests.wire import STREAM, TELEMETRY
from webmacs.frames import Update
from webmacs.hub import FRONTEND
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("W6")]

BATCHES = 500 if LONG else 50
READINGS = 100
LENGTHS = (0, 1, 2, 124, 125, 126, 127, 128, 4096, 65_534, 65_535, 65_536, 65_537, 1_000_000)
ROUNDS = 20 if LONG else 2
PING = b"\x89\x05still"
EMPTY_PING = b"\x89\x00"

each_library = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES.keys())
asking_for_compression_or_not = pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])


def url(server: Server, path: str, role: Role | None = Role.OPERATOR) -> str:
    query = "" if role is None else f"?token={quote(server.plant.tokens[role])}"
    return server.address.replace("http:", "ws:") + path + query


async def subscribed(server: Server, library: type[Peer], *, deflate: bool, role: Role = Role.VIEWER) -> Peer:
    """A browser of that library's making."""
    peer = await library.open(url(server, STREAM, role), deflate=deflate)
    assert json.loads(await peer.receive())["type"] == "connected"
    return peer


@each_library
@asking_for_compression_or_not
async def test_batches_are_stored_and_acknowledged(shared: Server, library: type[Peer], deflate: bool) -> None:
    before = await shared.parts.storage.count()
    async with await library.open(url(shared, TELEMETRY), deflate=deflate) as peer:
        assert peer.extensions is None
        for number in range(10):
            batch_id = str(uuid.uuid4())
            items = [shared.reading(float(number))] * (number * 50 or 1)
            await peer.send(json.dumps({"datapoints": items, "batch_id": batch_id}))
            answer = json.loads(await peer.receive())
            assert (answer["type"], answer["batch_id"], answer["accepted"]) == ("ack", batch_id, len(items))
        await peer.send('{"datapoints": []}')
        assert json.loads(await peer.receive()) == {"type": "error", "message": "No valid datapoints in batch"}
        assert await peer.leave(1000) == 1000
    assert await shared.parts.storage.count() == before + 1 + sum(number * 50 for number in range(10))


@each_library
async def test_a_batch_in_pieces(shared: Server, library: type[Peer]) -> None:
    text = json.dumps({"datapoints": [shared.reading()] * 100, "batch_id": str(uuid.uuid4())})
    async with await library.open(url(shared, TELEMETRY)) as peer:
        await peer.send(text[:1], text[1:500], "", text[500:])
        assert json.loads(await peer.receive())["accepted"] == 100


@each_library
@pytest.mark.parametrize("path", [TELEMETRY, STREAM])
async def test_pings_are_answered(shared: Server, library: type[Peer], path: str) -> None:
    async with await library.open(url(shared, path)) as peer:
        for payload in (b"one", b"\x00\xff", b"x" * 125):
            await peer.ping(payload)


@each_library
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_each_may_leave_with_its_own_code(shared: Server, library: type[Peer], code: int) -> None:
    async with await subscribed(shared, library, deflate=False) as peer:
        assert await peer.leave(code) == code


@each_library
@pytest.mark.parametrize(
    ("path", "role", "reason"),
    [(TELEMETRY, None, "Authentication required"), (TELEMETRY, Role.VIEWER, "Insufficient permissions")],
)
async def test_one_who_is_refused_reads_why(
    shared: Server, library: type[Peer], path: str, role: Role | None, reason: str
) -> None:
    async with await library.open(url(shared, path, role)) as peer:
        assert await peer.ended() == (1008, reason)


@pytest.mark.promise("B5")
@each_library
@pytest.mark.parametrize("path", [TELEMETRY, STREAM])
async def test_one_who_sends_five_megabytes_reads_why(shared: Server, library: type[Peer], path: str) -> None:
    async with await library.open(url(shared, path)) as peer:
        sending = asyncio.create_task(peer.send("x" * 5_000_000))
        assert await peer.ended() == (1009, "Message too big")
        await asyncio.wait([sending])


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.promise("F9")
async def test_all_read_that_the_server_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("own")
    async with (
        furnished_server(f"sqlite:///{directory / 'test.db'}", directory) as server,
        AsyncExitStack() as stack,
    ):
        peers = [
            await stack.enter_async_context(await library.open(url(server, path)))
            for library in LIBRARIES.values()
            for path in (TELEMETRY, STREAM)
        ]
        stopping = asyncio.create_task(server.stop())
        ends = await asyncio.gather(*(peer.ended() for peer in peers))
        assert ends == [(1001, "Server is stopping")] * len(peers)
        await stopping


# -- what the hub frames -----------------------------------------------------------------------------------------------


@pytest.mark.promise("W5")
@each_library
@asking_for_compression_or_not
async def test_frames_of_the_hub_are_read_at_every_length_with_pings_between(
    shared: Server, library: type[Peer], deflate: bool
) -> None:
    async with await subscribed(shared, library, deflate=deflate, role=Role.ADMIN) as peer:
        (client,) = (client for client in shared.parts.hub.clients() if client.identity.user.role is Role.ADMIN)
        for _ in range(ROUNDS):
            for length in LENGTHS:
                client.write(EMPTY_PING)
                shared.parts.hub.broadcast(
                    FRONTEND, Update(b"", {"": b"\xc3\xbc" * (length // 2) + b"x" * (length % 2)}, b"")
                )
                client.write(PING)
                assert await peer.receive() == "ü" * (length // 2) + "x" * (length % 2)
        await peer.ping(b"and on it goes")


async def test_all_of_them_at_once_under_load(shared: Server, figure: Figure) -> None:
    """Each library sends and each subscribes, in plain and asking for compression, while pings go out between."""
    controllers, streams = (
        list(LIBRARIES.values()),
        [(each, ask) for each in LIBRARIES.values() for ask in (False, True)],
    )
    newest = float(uuid.uuid4().int % 10**9)
    before = await shared.parts.storage.count()
    begin = time.monotonic()
    async with AsyncExitStack() as stack:
        browsers = [
            await stack.enter_async_context(await subscribed(shared, library, deflate=deflate))
            for library, deflate in streams
        ]

        async def send(library: type[Peer]) -> None:
            async with await library.open(url(shared, TELEMETRY)) as peer:
                for number in range(BATCHES):
                    items = [shared.reading(-float(number), 1)] * READINGS
                    await peer.send(json.dumps({"datapoints": items, "batch_id": str(uuid.uuid4())}))
                    assert json.loads(await peer.receive())["accepted"] == READINGS

        async def follow(peer: Peer) -> int:
            count = 0
            while True:
                message = json.loads(await peer.receive())
                assert message["type"] == "datapoints_batch"
                count += 1
                if any(point["value"] == newest for point in message["datapoints"]):
                    return count

        async def ping() -> None:
            while True:
                for client in shared.parts.hub.clients():
                    client.write(PING)
                await asyncio.sleep(0.002)

        pinging = asyncio.create_task(ping())
        following = [asyncio.create_task(follow(peer)) for peer in browsers]
        try:
            await asyncio.gather(*(send(library) for library in controllers))
            async with await controllers[0].open(url(shared, TELEMETRY)) as peer:
                await peer.send(json.dumps({"datapoints": [shared.reading(newest, 1)]}))
                counts = await asyncio.gather(*following)
        finally:
            for task in (pinging, *following):
                task.cancel()
            await asyncio.wait([pinging, *following])
    sent = BATCHES * READINGS * len(controllers)
    assert await shared.parts.storage.count() == before + sent + 1
    names = ", ".join(f"{name} {version(name)}" for name in ("websockets", "wsproto", "websocket-client"))
    figure(
        f"{names}: {sent:,} readings in {BATCHES * len(controllers):,} batches, all acknowledged and stored; "
        f"{sum(counts):,} messages read by {len(browsers)} browsers, each with the newest at its end, "
        f"in {time.monotonic() - begin:.1f} s"
    )
