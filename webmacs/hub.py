"""The connection manager: named groups of live sockets, and one way to reach all of a group at once.

A payload is encoded and framed once; the frame of a server is unmasked, so the same bytes serve every client
(RFC 6455, section 5.1). They are written straight to each client's transport. No client can hold up another: what a
slow one has not taken yet is bounded, and what it takes nothing of within the deadline costs it the connection.

Most of what a message to a crowd costs is the kernel's, once for each client, whatever its length. So where that takes
long, there is a pause as long, in which others have their turn; what is broadcast meanwhile goes out together after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from webmacs.frames import Round, Update, encode, text_frame
from webmacs.metrics import Metrics
from webmacs.model import Identity, Role, Scope

CONTROLLER: Final = "controller"
FRONTEND: Final = "frontend"

TRY_AGAIN_LATER: Final = 1013
TOO_SLOW: Final = "Client too slow"
SWEEP_S: Final = 0.05  # how often a slow client's buffer is looked at; runs only while there is one
LONG_S: Final = 0.001  # a round of writing that takes less holds up nobody
HELD_BYTES: Final = 256 * 1024  # of updates, until they are written without waiting for the pause to end


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

    def offer(self, updates: Round) -> bool:
        """Write updates, or keep the newest of them for later; False: they wait."""
        transport = self.transport
        if not self.listening or transport.is_closing():
            return True
        if self.waiting is None and transport.get_write_buffer_size() <= self.buffer_bytes:
            frames = updates.frames(self.wanted)
            if frames:
                transport.write(frames)
            return True
        for update in updates.updates:
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
            return waiting is None or self.offer(Round(waiting))
        if size < self._low:
            self._low, self._progress_at = size, now
        elif now - self._progress_at >= deadline_s:
            self.close(TRY_AGAIN_LATER, TOO_SLOW)
            return True
        return False


class Hub:
    """Who is connected, by group. All methods are synchronous and belong to the loop's thread."""

    def __init__(self, deadline_s: float, metrics: Metrics, now: Callable[[], float] = time.perf_counter) -> None:
        """`now` tells how long writing takes; the loop's own time stands still meanwhile."""
        self._groups: dict[str, dict[Client, None]] = {CONTROLLER: {}, FRONTEND: {}}
        self._held: dict[str, Round] = {group: Round() for group in self._groups}
        self._slow: dict[Client, None] = {}
        self._deadline_s = deadline_s
        self._now = now
        self._resumes_at = 0.0
        self._pause: asyncio.TimerHandle | None = None
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
        """Send to every member of a group that listens: at once, or when the pause after the last round is over.

        An `Update` coalesces for those that are slow; any other message is sent as it is, and a client with too much
        unread is cut.
        """
        if not isinstance(payload, Update):
            self.flush()
            for client in self.listeners(group):
                client.send(payload)
            return
        held = self._held[group]
        held.add(payload)
        left_s = self._resumes_at - self._now()
        if left_s <= 0 or held.size > HELD_BYTES:
            self.flush()
        elif self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(left_s, self.flush)

    def flush(self) -> None:
        """Write what is held. Whoever shows a client how everything is does this first, or that would come after it."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        began = self._now()
        for group, held in self._held.items():
            if held.updates:
                self._held[group] = Round()
                for client in list(self._groups[group]):
                    if not client.offer(held):
                        self._wait_for(client, len(held.updates))
        took_s = (ended := self._now()) - began
        if took_s >= LONG_S:
            self._resumes_at = ended + took_s

    def offer(self, client: Client, update: Update) -> None:
        """Send an update to one member alone, as `broadcast` would, behind what is held."""
        self.flush()
        if not client.offer(Round(update)):
            self._wait_for(client)

    def close_all(self, code: int, reason: str) -> None:
        """Tell every client, slow or not, that it is over; each owner sees to the deadline."""
        self.flush()
        for client in self.clients():
            client.close(code, reason)

    def _wait_for(self, client: Client, updates: int = 1) -> None:
        """So many updates wait for a client: look at it again soon."""
        self._coalesced.add(updates)
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
