"""What both sockets share: who is let in, how text comes out, how a connection ends.

What we send goes straight to the transport, as the hub's frames do (`webmacs.hub`). A send of aiohttp's is never
waited for under a timeout: since 3.14 those blocked on one socket share a future, and cancelling one cancels all.

A connection ends our way, not aiohttp's. That closes the transport as soon as its close frame is written, and when the
peer is still sending, the kernel answers it with a reset, which takes from it the reason it has not read yet. So: close
frame, a moment for the peer's own, end of stream, and all the while drop what still comes, until the peer has closed
too (RFC 6455, section 7.1.1) or the deadline is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from webmacs.auth import Authenticator, same_origin
from webmacs.config import ServerSettings
from webmacs.errors import AuthError
from webmacs.handlers import handshake
from webmacs.handlers.http import bearer
from webmacs.handlers.proxies import Proxies
from webmacs.hub import TRY_AGAIN_LATER, Client, Hub
from webmacs.model import Role, Scope
from webmacs.places import Places

_log = logging.getLogger(__name__)

CLOSE_FRAME: Final = 0x88
PONG_FRAME: Final = 0x8A
LAST_CODE: Final = 4999  # RFC 6455, section 7.4.2
MAX_REASON_BYTES: Final = 123  # RFC 6455, section 5.5
GRACE_S: Final = 0.25  # for the peer's own close frame: many take an end of stream before it for a broken connection
SHORTEST_LOOK_S: Final = 0.001
LONGEST_LOOK_S: Final = 0.05

# What a peer has not taken at the end, the kernel would go on to offer it for minutes; a reset lets go of it at once.
RESET: Final = struct.pack("ii", 1, 0)

_FAULTS: Final = {
    WSCloseCode.PROTOCOL_ERROR: "Protocol error",
    WSCloseCode.INVALID_TEXT: "Text is not UTF-8",
    WSCloseCode.MESSAGE_TOO_BIG: "Message too big",
}


class Socket:
    """One accepted WebSocket; to the hub, its transport."""

    def __init__(self, request: web.Request, response: _Response, settings: ServerSettings) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left during the handshake")
        self._request, self._response, self._settings = request, response, settings
        self._transport = transport
        self._conversation: asyncio.Timeout | None = None
        self._parting = False
        self._peer_parted = False
        self._deadline = 0.0
        # The kernel would grow its own buffer to megabytes for a peer that does not read, and hide it from the hub.
        self._link = transport.get_extra_info("socket")
        if self._link is not None:
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.client_buffer_bytes)
        self.write = transport.write
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.answer: Callable[[bytes], None] = transport.write  # to pings; bounded as soon as there is a client
        response.closing = self.close

    @classmethod
    async def accept(cls, request: web.Request, settings: ServerSettings, max_message_bytes: int) -> Socket:
        """Upgrade. Without compression: a frame is the same bytes for all, and none inflates on arrival.

        Raises:
            web.HTTPBadRequest, web.HTTPUpgradeRequired: this is no WebSocket handshake, or one of another version.
            ConnectionError: the client has gone.

        """
        handshake.check(request)
        response = _Response(
            heartbeat=settings.heartbeat_s,
            max_msg_size=max_message_bytes + 1,  # aiohttp's limit is exclusive
            compress=False,
            autoclose=False,
            autoping=False,  # it would wait until the peer takes its pong, and for one that never does, for ever
        )
        await response.prepare(request)
        return cls(request, response, settings)

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._response

    def is_closing(self) -> bool:
        """Whether a close frame has been sent, or the connection is gone."""
        return self._parting or self._transport.is_closing()

    @contextlib.asynccontextmanager
    async def conversation(self) -> AsyncIterator[None]:
        """A block that `close` leaves at once, wherever it waits. One that fails is closed as our fault."""
        self._conversation = asyncio.timeout(None)
        try:
            async with self._conversation:
                try:
                    yield
                finally:
                    self._conversation = None
        except Exception:  # noqa: BLE001 - the upgrade has been answered, so nobody above could reply
            if not self._parting:
                _log.exception("%s failed", self._request.rel_url.raw_path)
                self.close(WSCloseCode.INTERNAL_ERROR, "Internal error")

    async def text(self) -> str | None:
        """The next text message; None when there will be none."""
        while (message := await self._response.receive()).type in {WSMsgType.PING, WSMsgType.PONG}:
            if message.type is WSMsgType.PING:
                self.answer(bytes((PONG_FRAME, len(message.data))) + message.data)
        if message.type is WSMsgType.TEXT:
            text: str = message.data
            return text
        if message.type is WSMsgType.BINARY:
            self.close(WSCloseCode.UNSUPPORTED_DATA, "Text messages only")
        elif message.type is WSMsgType.CLOSE:
            self._peer_parted = True
            self.close(*_reply(message.data))
        return None

    def close(self, code: int, reason: str) -> None:
        """Say that it is over, and why, and end the conversation; never blocks. Only the first call counts."""
        if self._parting:
            return
        if not self._transport.is_closing():
            payload = code.to_bytes(2, "big") + reason.encode()[:MAX_REASON_BYTES]
            self._transport.write(bytes((CLOSE_FRAME, len(payload))) + payload)
        self._parting = True
        now = asyncio.get_running_loop().time()
        stopping = code == WSCloseCode.GOING_AWAY and not self._peer_parted  # half of that time is the pipeline's
        self._deadline = now + (self._settings.shutdown_timeout_s / 2 if stopping else self._settings.close_timeout_s)
        if self._conversation is not None and not self._conversation.expired():
            self._conversation.reschedule(now)

    async def ended(self, *, seen_off: bool = True) -> None:
        """Close if that has not happened yet, and see the peer off; afterwards the connection is gone for certain.

        `seen_off` False: it is not waited for, and may not come to read why.
        """
        self.close(WSCloseCode.OK, "")
        if not seen_off:
            self._deadline = 0.0
        try:
            if not self._transport.is_closing():
                self._request.protocol.close()  # what still comes is dropped, not parsed
                self._request.protocol.resume_reading()
                if not self._peer_parted:
                    await self._gone(GRACE_S)
            if not self._transport.is_closing():
                if self._transport.can_write_eof():
                    try:
                        self._transport.write_eof()
                    except OSError:  # by asyncio's own loop: the peer has reset it, and that has not been read yet
                        return
                else:
                    self._transport.close()  # TLS has its own end of stream
                await self._gone(self._settings.close_timeout_s)
        finally:
            if self._link is not None and not self._transport.is_closing():
                self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with contextlib.suppress(AttributeError):  # by CPython 3.11, of a transport that is gone already
                self._transport.abort()
            await self._response.tidy_up()

    async def _gone(self, timeout_s: float) -> None:
        """Wait until the connection is gone; or for that time, which begins when the peer has taken all we said."""
        loop = asyncio.get_running_loop()
        give_up: float | None = None
        look_s = SHORTEST_LOOK_S
        while self._request.transport is not None and loop.time() < self._deadline:
            if give_up is None and not self._transport.get_write_buffer_size():
                give_up = loop.time() + timeout_s
            if give_up is not None and loop.time() >= give_up:
                return
            await asyncio.sleep(look_s)
            look_s = min(2 * look_s, LONGEST_LOOK_S)


def _reply(code: int) -> tuple[int, str]:
    """Code and reason that answer a close frame: its own code, 1000 if it has none (RFC 6455, section 5.5.1).

    aiohttp refuses most of the codes that nobody may send (section 7.4), but not these.
    """
    if code == WSCloseCode.ABNORMAL_CLOSURE or code > LAST_CODE:
        return WSCloseCode.PROTOCOL_ERROR, _FAULTS[WSCloseCode.PROTOCOL_ERROR]
    return code or WSCloseCode.OK, ""


class _Response(web.WebSocketResponse):
    """aiohttp's side of a socket. Where it would close by itself, after a fault of the peer, it leaves that to us."""

    closing: Callable[[int, str], None]

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:  # noqa: ARG002
        """See aiohttp."""
        self.closing(code, _FAULTS.get(WSCloseCode(code), message.decode()))
        return True

    async def tidy_up(self) -> None:
        """Stop its timers. Sends nothing, as the transport is closed."""
        await super().close()


@dataclass(frozen=True, slots=True)
class Entrance:
    """What one of the sockets asks of its clients."""

    group: str
    needs: Role
    scope: Scope
    max_message_bytes: int


Converse = Callable[[Client, Socket], Awaitable[None]]


class Doorkeeper:
    """Lets clients in, and sees them off: origin, number of connections, token, role, those of the user, in this order.

    A client has its place until its connection is gone.
    """

    def __init__(self, auth: Authenticator, hub: Hub, proxies: Proxies, settings: ServerSettings) -> None:
        self._auth, self._hub, self._proxies, self._settings = auth, hub, proxies, settings
        self._places = Places(settings)

    async def welcome(
        self,
        request: web.Request,
        entrance: Entrance,
        converse: Converse,
        wanted: frozenset[str] | None = None,
    ) -> web.WebSocketResponse:
        """Upgrade and `converse` with the client, who is in its group meanwhile; one who is refused is told why.

        Raises:
            web.HTTPForbidden: a page of a foreign origin; before the upgrade.

        """
        origin = request.headers.get(hdrs.ORIGIN)
        host = request.headers.get(hdrs.HOST, "")
        if origin is not None and not same_origin(origin, host, self._settings.allowed_origins):
            raise web.HTTPForbidden(reason="Origin not allowed")
        socket = await Socket.accept(request, self._settings, entrance.max_message_bytes)
        address = self._proxies.client(request)
        client = self._admit(request, address, socket, entrance, wanted)
        if client is None:
            with self._places.way_out() as seen_off:
                await socket.ended(seen_off=seen_off)
            return socket.response
        socket.answer = client.answer
        with self._places.place(address, client.identity.user.id):
            self._hub.join(entrance.group, client)
            try:
                async with socket.conversation():
                    await converse(client, socket)
                await socket.ended()
            finally:
                self._hub.leave(client)
        return socket.response

    def _admit(
        self, request: web.Request, address: str, socket: Socket, entrance: Entrance, wanted: frozenset[str] | None
    ) -> Client | None:
        """A client for the hub; None for one who is refused, and has been told."""
        if refusal := self._places.refusal(address):
            socket.close(TRY_AGAIN_LATER, refusal)
            return None
        try:
            token = request.query.get("token") or bearer(request)
            identity = self._auth.authenticate(token, entrance.needs, entrance.scope)
        except AuthError as error:
            socket.close(WSCloseCode.POLICY_VIOLATION, error.reason)
            return None
        if refusal := self._places.refusal(address, identity.user.id):
            socket.close(TRY_AGAIN_LATER, refusal)
            return None
        return Client(
            socket,
            socket.close,
            identity=identity,
            needs=entrance.needs,
            scope=entrance.scope,
            buffer_bytes=self._settings.client_buffer_bytes,
            wanted=wanted,
        )
