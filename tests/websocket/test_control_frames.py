"""RFC 6455, section 5.5: pings, pongs, and what no control frame may be."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.plant import Server, furnished_server
from tests.promises import Figure
from tests.rawsocket import CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame
from tests.websocket.peer import ANSWERS, HARMLESS, PROTOCOL_ERROR, ends, let_in, still_open
from tests.wire import SOCKETS, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("W3"),
    pytest.mark.usefixtures("no_time_to_lose"),
]

BURST = 10_000

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


@on_both_sockets
@pytest.mark.parametrize("payload", [b"", b"?", b"\x00\xff\xfe\x80", "Übung".encode(), b"x" * 125], ids=len)
async def test_a_ping_comes_back_with_what_it_held(shared: Server, path: str, payload: bytes) -> None:
    async with await let_in(shared, path) as socket:
        socket.write(frame(PING, payload))
        assert await socket.receive() == (PONG, payload)


@on_both_sockets
async def test_a_burst_of_pings_is_answered_in_order(shared: Server, path: str, figure: Figure) -> None:
    async with await let_in(shared, path) as socket:
        begin = time.monotonic()
        for number in range(BURST):
            socket.write(frame(PING, str(number).encode()))
        for number in range(BURST):
            assert await socket.receive() == (PONG, str(number).encode())
        took_s = time.monotonic() - begin
        await still_open(shared, socket, path)
    figure(f"{path}: {BURST:,} pings at once, all answered in order in {took_s:.1f} s")


@on_both_sockets
async def test_pongs_that_nobody_asked_for_are_ignored(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        socket.write(frame(PONG) + frame(PONG, b"x" * 125) + frame(PONG, b"\xff"))
        await still_open(shared, socket, path)


@on_both_sockets
async def test_control_frames_between_messages_change_nothing(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        for number in range(10):
            socket.write(frame(PING, bytes((number,))) + frame(PONG) + frame(TEXT, HARMLESS[path]))
        for number in range(10):
            assert await socket.receive() == (PONG, bytes((number,)))
            assert await socket.message() == ANSWERS[path]


def long_form(opcode: int, payload: bytes) -> bytes:
    """A frame with its length in two bytes, though one would do."""
    return bytes((0x80 | opcode, 0x80 | 126)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


FAULTS = {
    "a ping of 126 bytes": frame(PING, b"x" * 126),
    "a pong of 126 bytes": frame(PONG, b"x" * 126),
    "a close of 126 bytes": frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "a ping of 65,536 bytes": frame(PING, b"x" * 65_536),
    "a short ping with a long length": long_form(PING, b"?"),
    "a ping in fragments": frame(PING, b"a", final=False) + frame(CONTINUATION, b"b"),
    "a pong in fragments": frame(PONG, b"a", final=False),
    "a close in fragments": frame(CLOSE, b"\x03", final=False) + frame(CONTINUATION, b"\xe8"),
    "a ping with a reserved bit": frame(PING, reserved=0b100),
    "a pong with a reserved bit": frame(PONG, reserved=0b010),
    "a close with a reserved bit": frame(CLOSE, b"\x03\xe8", reserved=0b001),
    **{f"opcode {opcode:#x}": frame(opcode) for opcode in (*range(0x3, 0x8), *range(0xB, 0x10))},
}


@pytest.mark.promise("B6")
@on_both_sockets
@pytest.mark.parametrize("sent", FAULTS.values(), ids=FAULTS.keys())
async def test_what_no_control_frame_may_be(shared: Server, path: str, sent: bytes) -> None:
    assert await ends(shared, path, sent) == PROTOCOL_ERROR


# -- who pings and does not read ---------------------------------------------------------------------------------------


@pytest.mark.promise("F8")
@on_both_sockets
async def test_one_who_pings_and_reads_nothing_is_cut(shared: Server, path: str) -> None:
    hub = shared.parts.hub
    async with await let_in(shared, path) as socket:
        await until(lambda: len(list(hub.clients())) == 1)
        socket.pause()
        sent = asyncio.create_task(_pinging(socket))
        await until(lambda: not list(hub.clients()))
        sent.cancel()
        await asyncio.wait([sent])


async def _pinging(socket: RawSocket) -> None:
    while True:
        socket.write(frame(PING, b"x" * 125) * 1000)
        await socket.drain()


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.promise("F8")
@on_both_sockets
async def test_one_who_stops_in_the_middle_of_it_is_found_by_the_heartbeat(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    directory = tmp_path_factory.mktemp("own")
    url, options = f"sqlite:///{directory / 'test.db'}", {"heartbeat_s": 0.5, "client_buffer_bytes": 200_000}
    async with furnished_server(url, directory, server=options) as server:
        hub = server.parts.hub
        async with await let_in(server, path) as socket:
            await until(lambda: len(list(hub.clients())) == 1)
            (client,) = hub.clients()
            socket.pause()
            while not client.transport.get_write_buffer_size():
                socket.write(frame(PING, b"x" * 125) * 500)
                await asyncio.sleep(0.005)
            await until(lambda: not list(hub.clients()))
