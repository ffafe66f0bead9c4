"""The connection manager: named groups of live sockets, and one way to reach all of a group at once.

A payload is encoded and framed once; the frame of a server is unmasked, so the same bytes serve every client
(RFC 6455, section 5.1). They are written straight to each client's transport. No client can hold up another: what a
slow one has not taken yet is bounded, and what it takes nothing of within the deadline costs it the connection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from webmacs.metrics import Metrics
from webmacs.model import Identity, Role, Scope

CONTROLLER: Final = "controller"
FRONTEND: Final = "frontend"

TRY_AGAIN_LATER: Final = 1013
TOO_SLOW: Final = "Client too slow"
SWEEP_S: Final = 0.05  # how often a slow client's buffer is looked at; runs only while there is one

_SHORT, _MEDIUM = 125, 0xFFFF


class Transport(Protocol):
    """What the hub needs of a socket: the part of `asyncio.Transport` that it uses."""

    def write(self, data: bytes) -> None:
        """Buffer and send; never blocks."""
        ...

    def get_write_buffer_size(self) -> int:
        """Bytes that the peer's kernel has not taken yet."""
        ...

    def is_closing(self) -> bool:
        """Whether the connection is closed, or a close frame has been sent, after which nothing may follow."""
        ...


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size <= _SHORT:
        return bytes((0x81, size)) + payload
    if size <= _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def encode(message: Mapping[str, object]) -> bytes:
    """A message as compact JSON in UTF-8."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


class Update:
    """A message made of one fragment of JSON per key, of which a client may want only some keys.

    Two updates coalesce into one that holds the newest fragment of each key, which is what a slow client gets.
    Frames are made at most once for each set of wanted keys, whoever shares it.
    """

    __slots__ = ("_frames", "fragments", "head", "tail")

    def __init__(self, head: bytes, fragments: Mapping[str, bytes], tail: bytes) -> None:
        self.head, self.fragments, self.tail = head, fragments, tail
        self._frames: dict[frozenset[str] | None, bytes | None] = {}

    def frame(self, wanted: frozenset[str] | None) -> bytes | None:
        """The frame for a client that wants these keys (None: all); None when it holds nothing for that client."""
        if wanted not in self._frames:
            chosen = self.fragments.values() if wanted is None else self._chosen(wanted).values()
            self._frames[wanted] = text_frame(self.head + b",".join(chosen) + self.tail) if chosen else None
        return self._frames[wanted]

    def onto(self, older: Update | None, wanted: frozenset[str] | None) -> Update:
        """Itself laid over an older one that still waits, reduced to the wanted keys."""
        fragments = self.fragments if wanted is None else self._chosen(wanted)
        return Update(self.head, {**older.fragments, **fragments} if older else fragments, self.tail)

    def _chosen(self, wanted: frozenset[str]) -> dict[str, bytes]:
        return {key: self.fragments[key] for key in self.fragments.keys() & wanted}


class Client:
    """One live socket of a group.

    `close(code, reason)` is given by whoever owns the socket; it must not block, may be called more than once, and
    ends the connection for certain, whether or not the peer reads. `needs` and `scope` are what keeps the socket open.
    One that is not `listening` gets nothing that is broadcast: it is about to be told how everything is, or has not
    asked to be told anything.
    """

    __slots__ = (
        "_excess",
        "_low",
        "_progress_at",
        "buffer_bytes",
        "close",
        "identity",
        "listening",
        "needs",
        "scope",
        "transport",
        "waiting",
        "wanted",
    )

    def __init__(
        self,
        transport: Transport,
        close: Callable[[int, str], None],
        *,
        identity: Identity,
        needs: Role = Role.VIEWER,
        scope: Scope = Scope.READ,
        buffer_bytes: int,
        wanted: frozenset[str] | None = None,
    ) -> None:
        self.transport = transport
        self.close = close
        self.identity = identity
        self.needs = needs
        self.scope = scope
        self.wanted = wanted
        self.buffer_bytes = buffer_bytes
        self.listening = True
        self.waiting: Update | None = None
        self._excess = 0
        self._low = 0
        self._progress_at = 0.0

    def send(self, message: Mapping[str, object]) -> None:
        """Send a message to this client alone; see `answer`."""
        self.answer(text_frame(encode(message)))

    def answer(self, frame: bytes) -> None:
        """Put a frame for this client alone on the wire.

        It goes out at once, also to one that is slow; one that lets such frames pile up is cut.
        """
        behind = self.transport.get_write_buffer_size() > self.buffer_bytes
        self._excess = self._excess + len(frame) if behind else 0
        if self._excess > self.buffer_bytes:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
        else:
            self.write(frame)

    def write(self, frame: bytes) -> None:
        """Put a whole frame on the wire, unless the connection is ending."""
        if not self.transport.is_closing():
            self.transport.write(frame)

    def offer(self, update: Update) -> bool:
        """Write an update, or keep the newest of it for later; False: it waits."""
        if self.transport.is_closing() or not self.listening:
            return True
        if self.waiting is None and self.transport.get_write_buffer_size() <= self.buffer_bytes:
            frame = update.frame(self.wanted)
            if frame is not None:
                self.write(frame)
            return True
        self.waiting = update.onto(self.waiting, self.wanted)
        return False

    def want(self, wanted: frozenset[str]) -> None:
        """From now on send these keys alone; what waits of others is not sent any more."""
        self.wanted = wanted
        if self.waiting is not None:
            self.waiting = self.waiting.onto(None, wanted)

    def stall(self, now: float) -> None:
        """Begin to watch whether this client takes anything at all."""
        self._low = self.transport.get_write_buffer_size()
        self._progress_at = now

    def resume(self, now: float, deadline_s: float) -> bool:
        """Look at a slow client again: True when it has caught up or was cut, False while it is still slow.

        Nothing is written to it meanwhile, so its buffer shrinks exactly by what it reads.
        """
        if self.transport.is_closing():
            return True
        size = self.transport.get_write_buffer_size()
        if size <= self.buffer_bytes // 2:
            waiting, self.waiting = self.waiting, None
            return waiting is None or self.offer(waiting)
        if size < self._low:
            self._low, self._progress_at = size, now
        elif now - self._progress_at >= deadline_s:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
            return True
        return False


class Hub:
    """Who is connected, by group. All methods are synchronous and belong to the loop's thread."""

    def __init__(self, deadline_s: float, metrics: Metrics) -> None:
        self._groups: dict[str, dict[Client, None]] = {CONTROLLER: {}, FRONTEND: {}}
        self._slow: dict[Client, None] = {}
        self._deadline_s = deadline_s
        self._timer: asyncio.TimerHandle | None = None
        self._coalesced = metrics.counter("stream_coalesced", "Updates that had to wait for a client that reads slowly")
        for group, members in self._groups.items():
            metrics.gauge(f"{group}_connections", f"Live sockets of the group {group}", members.__len__)

    def join(self, group: str, client: Client) -> None:
        """Add a client; it gets what is broadcast from now on."""
        self._groups[group][client] = None

    def leave(self, client: Client) -> None:
        """Forget a client, in whatever group it is."""
        self._slow.pop(client, None)
        for members in self._groups.values():
            members.pop(client, None)

    def size(self, group: str) -> int:
        """How many clients a group has."""
        return len(self._groups[group])

    def listeners(self, group: str) -> list[Client]:
        """The members of a group that get what is broadcast."""
        return [client for client in self._groups[group] if client.listening]

    def clients(self) -> Iterator[Client]:
        """Everyone, as of now: members may leave while the caller iterates."""
        return iter([client for members in self._groups.values() for client in members])

    def broadcast(self, group: str, payload: Mapping[str, object] | Update) -> None:
        """Send to every member of a group that listens, at once.

        An `Update` coalesces for those that are slow; any other message is sent as it is, and a client with too much
        unread is cut.
        """
        if not isinstance(payload, Update):
            for client in self.listeners(group):
                client.send(payload)
            return
        for client in list(self._groups[group]):
            if not client.offer(payload):
                self._wait_for(client)

    def offer(self, client: Client, update: Update) -> None:
        """Send an update to one member alone, as `broadcast` would."""
        if not client.offer(update):
            self._wait_for(client)

    def close_all(self, code: int, reason: str) -> None:
        """Tell every client, slow or not, that it is over; each owner sees to the deadline."""
        for client in self.clients():
            client.close(code, reason)

    def _wait_for(self, client: Client) -> None:
        """An update waits for a client: look at it again soon."""
        self._coalesced.add()
        if client not in self._slow:
            self._slow[client] = None
            client.stall(asyncio.get_running_loop().time())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        for client in list(self._slow):
            if client.resume(loop.time(), self._deadline_s):
                self._slow.pop(client, None)
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self._slow else None
