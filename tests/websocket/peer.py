"""A client on raw frames that has been let in, and what it finds."""

from __future__ import annotations

import json
import uuid
from typing import Final

from tests.plant import Server
from tests.rawsocket import TEXT, RawSocket, frame
from tests.wire import STREAM, TELEMETRY
from webmacs.model import Role

LIMITS: Final = {TELEMETRY: 128 * 1024, STREAM: 4096}
"""How long a message may be."""

HARMLESS: Final = {TELEMETRY: b'{"datapoints":[]}', STREAM: b'{"type":"ping"}'}
"""A message that is answered and leaves nothing behind."""

ANSWERS: Final = {
    TELEMETRY: {"type": "error", "message": "No valid datapoints in batch"},
    STREAM: {"type": "pong"},
}

PROTOCOL_ERROR: Final = (1002, "Protocol error")
NO_TEXT: Final = (1007, "Text is not UTF-8")
TOO_BIG: Final = (1009, "Message too big")


async def let_in(server: Server, path: str) -> RawSocket:
    """A connection of an operator."""
    socket = await RawSocket.open(server.address, path, server.plant.tokens[Role.OPERATOR])
    if path == STREAM:
        assert (await socket.message())["type"] == "connected"
    return socket


async def still_open(server: Server, socket: RawSocket, path: str) -> None:
    """Check that a connection goes on as if nothing had happened."""
    if path == STREAM:
        socket.write(frame(TEXT, HARMLESS[path]))
        assert await socket.message() == ANSWERS[path]
    else:
        batch_id = str(uuid.uuid4())
        socket.write(frame(TEXT, json.dumps({"datapoints": [server.reading()], "batch_id": batch_id}).encode()))
        assert (await socket.message())["batch_id"] == batch_id


async def ends(server: Server, path: str, sent: bytes) -> tuple[int, str]:
    """How a connection ends on which that is sent; that the server says no more, and goes, is checked."""
    async with await let_in(server, path) as socket:
        socket.write(sent)
        end = await socket.closing()
        assert await socket.ended() == b""
        return end
