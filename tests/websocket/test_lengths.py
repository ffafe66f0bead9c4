"""RFC 6455, sections 5.2, 5.3 and 10.4: every form of length, at the limits and around them, with a mask or without."""

from __future__ import annotations

import asyncio

import pytest

from tests.plant import Server
from tests.rawsocket import BINARY, CONTINUATION, TEXT, RawSocket, frame
from tests.websocket.peer import ANSWERS, HARMLESS, LIMITS, PROTOCOL_ERROR, TOO_BIG, ends, let_in, still_open
from tests.wire import SOCKETS, STREAM, TELEMETRY
from webmacs.model import Role

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.promise("W5"),
    pytest.mark.usefixtures("no_time_to_lose"),
]

SIZES = (0, 1, 125, 126, 127, 4095, 4096, 65_534, 65_535, 65_536, 65_537, 131_071, 131_072)
MASK = b"\x01\x02\x03\x04"

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


def in_form(payload: bytes, size_bytes: int, claimed: int | None = None) -> bytes:
    """A text frame that says its length in 2 or 8 bytes, whether or not fewer would do."""
    length = len(payload) if claimed is None else claimed
    head = bytes((0x81, 0x80 | (126 if size_bytes == 2 else 127))) + length.to_bytes(size_bytes, "big")
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


async def answered(socket: RawSocket, path: str, size: int) -> None:
    """Send a message of that size and check that it arrives as one."""
    message = HARMLESS[path].ljust(size)
    socket.write(frame(TEXT, message[:size]))
    if size >= len(HARMLESS[path]):
        assert await socket.message() == ANSWERS[path]
    elif path == TELEMETRY:
        assert await socket.message() == {"type": "error", "message": "Invalid JSON"}


@on_both_sockets
@pytest.mark.parametrize("size", SIZES)
async def test_a_message_of_every_form_of_length(shared: Server, path: str, size: int) -> None:
    if size > LIMITS[path]:
        assert await ends(shared, path, frame(TEXT, b" " * size)) == TOO_BIG
        return
    async with await let_in(shared, path) as socket:
        await answered(socket, path, size)
        await still_open(shared, socket, path)


@on_both_sockets
async def test_all_of_them_on_one_connection(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        for size in sorted(SIZES, reverse=True):
            if size <= LIMITS[path]:
                await answered(socket, path, size)
        await still_open(shared, socket, path)


@on_both_sockets
@pytest.mark.parametrize("size_bytes", [2, 8])
async def test_a_length_may_be_longer_than_it_need_be(shared: Server, path: str, size_bytes: int) -> None:
    """The standard would have the shortest form. aiohttp reads all of them, and a length is a length."""
    async with await let_in(shared, path) as socket:
        socket.write(in_form(HARMLESS[path], size_bytes))
        assert await socket.message() == ANSWERS[path]


@on_both_sockets
async def test_a_frame_may_come_byte_by_byte(shared: Server, path: str) -> None:
    async with await let_in(shared, path) as socket:
        for byte in in_form(HARMLESS[path], 8):
            socket.write(bytes((byte,)))
            await socket.drain()
            await asyncio.sleep(0)
        assert await socket.message() == ANSWERS[path]


@pytest.mark.promise("B5")
@on_both_sockets
async def test_one_byte_over_the_limit(shared: Server, path: str) -> None:
    assert await ends(shared, path, frame(TEXT, b" " * (LIMITS[path] + 1))) == TOO_BIG


@pytest.mark.promise("B5")
@on_both_sockets
async def test_a_length_over_the_limit_is_refused_before_the_rest_has_come(shared: Server, path: str) -> None:
    assert await ends(shared, path, in_form(b"x", 8, claimed=LIMITS[path] + 1)) == TOO_BIG


@pytest.mark.promise("B5")
@on_both_sockets
@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**63 - 1, 2**40, 2**32, 2**31])
async def test_a_frame_that_claims_to_be_enormous(shared: Server, path: str, length: int) -> None:
    """One whose top bit is set is no length at all by the standard, which leaves the code open."""
    assert await ends(shared, path, in_form(b"x" * 100, 8, claimed=length)) == TOO_BIG


@pytest.mark.promise("B5")
@on_both_sockets
@pytest.mark.parametrize("size", [1, 100, 1000])
async def test_pieces_that_are_too_big_together(shared: Server, path: str, size: int) -> None:
    piece = frame(CONTINUATION, b"x" * size, final=False)
    count = LIMITS[path] // size if size > 1 else LIMITS[path]
    assert await ends(shared, path, frame(TEXT, b"x" * size, final=False) + piece * count) == TOO_BIG


@pytest.mark.promise("B5")
@on_both_sockets
async def test_pieces_that_are_just_the_limit(shared: Server, path: str) -> None:
    message = HARMLESS[path].ljust(LIMITS[path])
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, message[:1000], final=False) + frame(CONTINUATION, message[1000:]))
        assert await socket.message() == ANSWERS[path]


@pytest.mark.promise("B7")
@on_both_sockets
@pytest.mark.parametrize("size", [0, 1, 126, 4096])
async def test_binary_of_any_length(shared: Server, path: str, size: int) -> None:
    assert await ends(shared, path, frame(BINARY, b"\0" * size)) == (1003, "Text messages only")


@on_both_sockets
@pytest.mark.parametrize("reserved", range(1, 8))
async def test_reserved_bits_mean_nothing_here(shared: Server, path: str, reserved: int) -> None:
    assert await ends(shared, path, frame(TEXT, HARMLESS[path], reserved=reserved)) == PROTOCOL_ERROR


@on_both_sockets
async def test_frames_without_a_mask_are_accepted(shared: Server, path: str) -> None:
    """The standard would have them refused. aiohttp does not, and a mask protects proxies on the way, not us."""
    async with await let_in(shared, path) as socket:
        socket.write(frame(TEXT, HARMLESS[path], masked=False))
        assert await socket.message() == ANSWERS[path]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
async def test_what_the_server_says_has_the_shortest_form(shared: Server, size: int) -> None:
    async with await let_in(shared, STREAM) as socket:
        (client,) = [each for each in shared.parts.hub.clients() if each.identity.user.role is Role.OPERATOR]
        client.send({"": "x" * max(0, size - 7)})
        head = await socket.take(2)
        payload_bytes = max(7, size)
        assert head[0] == 0x81
        if payload_bytes <= 125:
            assert head[1] == payload_bytes
        else:
            assert head[1] == (126 if payload_bytes <= 65_535 else 127)
            assert int.from_bytes(await socket.take(2 if head[1] == 126 else 8), "big") == payload_bytes
        assert (await socket.take(payload_bytes)).startswith(b'{"":"')
