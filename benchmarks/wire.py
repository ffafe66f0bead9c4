"""The client's end of a WebSocket on a blocking socket: as little work as the protocol allows.

Knows the standard library only, so that the processes that use it start at once and cost the server nothing.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from itertools import cycle
from typing import Final

HOST: Final = "127.0.0.1"
TELEMETRY: Final = "/ws/controller/telemetry"
STREAM: Final = "/ws/datapoints/stream"
TIMEOUT_S: Final = 60.0
TEXT: Final = 0x81  # the first byte of a message that is one frame

_MASK: Final = b"\x37\xfa\x21\x3d"
_SHORT, _MEDIUM = 125, 0xFFFF


def connect(port: int, path: str, token: str) -> socket.socket:
    """An open WebSocket; nothing behind the server's handshake has been read.

    Raises:
        ConnectionError: the server does not upgrade.

    """
    link = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(
        f"GET {path}?token={token} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = link.recv(1)
        if not byte:
            break
        head += byte
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no WebSocket at {path}: {head.decode(errors='replace')!r}")
    return link


def exactly(link: socket.socket, size: int) -> bytes:
    """So many bytes, in however many pieces they come.

    Raises:
        ConnectionError: the other side has ended the connection before.

    """
    data = bytearray()
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionError(f"the connection was ended after {bytes(data)!r}")
        data += part
    return bytes(data)


def client_frame(payload: bytes) -> bytes:
    """One final, masked text frame (RFC 6455, section 5.2). The mask is always the same: only its cost matters."""
    size = len(payload)
    if size <= _SHORT:
        head = bytes((TEXT, 0x80 | size))
    elif size <= _MEDIUM:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    mask = (_MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + _MASK + masked.to_bytes(size, "big")


def server_frame_end(data: bytes, at: int) -> int | None:
    """Where the unmasked frame ends that begins there, be it beyond the data; None while its length has not come."""
    have = len(data) - at
    size = data[at + 1] if have > 1 else None
    if size is None or (size > _SHORT and have < (4 if size == 126 else 10)):
        return None
    if size <= _SHORT:
        return at + 2 + size
    head = 4 if size == 126 else 10
    return at + head + int.from_bytes(data[at + 2 : at + head], "big")


def bodies(events: Sequence[str], readings: int, count: int) -> list[bytes]:
    """The beginnings of `count` different telemetry messages, each of as many readings, of all events in turn.

    The values have three decimals and spread like a sensor's; they are the same in every run.
    """
    values = random.Random(0)
    event = cycle(events)
    made = []
    for _ in range(count):
        datapoints = [
            {"value": round(values.gauss(20.0, 5.0), 3), "event_public_id": next(event)} for _ in range(readings)
        ]
        made.append(json.dumps({"datapoints": datapoints}).encode().removesuffix(b"}"))
    return made


def telemetry(body: bytes, batch_id: str | None = None) -> bytes:
    """The frame of a message; with a `batch_id` it asks for an acknowledgement."""
    return client_frame(body + (b"}" if batch_id is None else b', "batch_id": "%s"}' % batch_id.encode()))
