"""The client's end of MQTT 3.1.1 on a blocking socket: only what a subscriber and a publisher of QoS 0 say.

Knows the standard library only, as `benchmarks.wire` does.
"""

from __future__ import annotations

import socket
from typing import Final

from benchmarks.wire import HOST, TIMEOUT_S, exactly

TOPIC: Final = "readings"
PUBLISH: Final = 0x30  # QoS 0, neither retained nor a duplicate (section 3.3.1)

_CONNECT, _CONNACK, _SUBSCRIBE, _SUBACK = 0x10, 0x20, 0x82, 0x90
_CLEAN_SESSION: Final = 0x02
_LEVEL: Final = 4  # of the protocol: 3.1.1
_PACKET_ID: Final = b"\x00\x01"


def packet(kind: int, body: bytes) -> bytes:
    """A control packet: its kind, its remaining length in seven bits a byte (section 2.2.3), its body."""
    size, length = len(body), bytearray()
    while True:
        size, low = divmod(size, 128)
        length.append(low | (0x80 if size else 0))
        if not size:
            return bytes((kind, *length)) + body


def publish(payload: bytes, topic: str = TOPIC) -> bytes:
    """A message of QoS 0."""
    return packet(PUBLISH, _text(topic) + payload)


def packet_end(data: bytes, at: int) -> int | None:
    """Where the packet ends that begins there, be it beyond the data; None while its length has not come."""
    size = shift = 0
    for place in range(at + 1, len(data)):
        size |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return place + 1 + size
        shift += 7
    return None


def connect(port: int, name: str) -> socket.socket:
    """An accepted session of that client id.

    Raises:
        ConnectionError: the broker does not accept it.

    """
    link = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    no_keepalive = b"\x00\x00"
    link.sendall(packet(_CONNECT, _text("MQTT") + bytes((_LEVEL, _CLEAN_SESSION)) + no_keepalive + _text(name)))
    _expect(link, bytes((_CONNACK, 2, 0, 0)))
    return link


def subscribe(link: socket.socket, topic: str = TOPIC) -> None:
    """From now on its messages come.

    Raises:
        ConnectionError: the broker refuses.

    """
    link.sendall(packet(_SUBSCRIBE, _PACKET_ID + _text(topic) + b"\x00"))
    _expect(link, bytes((_SUBACK, 3)) + _PACKET_ID + b"\x00")


def _expect(link: socket.socket, answer: bytes) -> None:
    said = exactly(link, len(answer))
    if said != answer:
        raise ConnectionError(f"the broker said {said!r} in place of {answer!r}")


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
