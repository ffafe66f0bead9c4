"""What both sockets share: who is let in, how text comes out, how a connection ends.

Frames of the hub go straight to the transport (`webmacs.hub`). A send of aiohttp's is never put under a timeout: since
3.14 those blocked on one socket share a future, and cancelling one cancels all. The deadline of a closing connection is
`transport.abort`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from webmacs.auth import Authenticator, same_origin
from webmacs.config import ServerSettings
from webmacs.errors import AuthError
from webmacs.handlers.http import bearer
from webmacs.hub import CONTROLLER, FRONTEND, TRY_AGAIN_LATER, Hub
from webmacs.model import Identity, Role

_log = logging.getLogger(__name__)

MAX_REASON_BYTES: Final = 123  # RFC 6455, section 5.5


class Socket:
    """One accepted WebSocket; to the hub, its transport."""

    def __init__(self, response: web.WebSocketResponse, transport: asyncio.Transport, settings: ServerSettings) -> None:
        self._response = response
        self._transport = transport
        self._settings = settings
        self._closer: asyncio.Task[None] | None = None
        self.write = transport.write
        self.get_write_buffer_size = transport.get_write_buffer_size

    @classmethod
    async def accept(cls, request: web.Request, settings: ServerSettings, max_message_bytes: int) -> Socket:
        """Upgrade. Without compression: a frame is the same bytes for all, and none inflates on arrival."""
        response = web.WebSocketResponse(
            heartbeat=settings.heartbeat_s,
            max_msg_size=max_message_bytes + 1,  # aiohttp's limit is exclusive
            compress=False,
            timeout=settings.close_timeout_s,
        )
        await response.prepare(request)
        assert request.transport is not None
        return cls(response, request.transport, settings)

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._response

    async def texts(self) -> AsyncIterator[str]:
        """Text messages until the connection ends. A binary one ends it with 1003; faults end it by aiohttp."""
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.TEXT:
                yield message.data
            elif message.type is WSMsgType.BINARY:
                self.close(WSCloseCode.UNSUPPORTED_DATA, "Text messages only")
                return
            else:
                return

    def is_closing(self) -> bool:
        """Whether a close frame has been sent, by us or by aiohttp, or the connection is gone."""
        return self._closer is not None or self._response.closed or self._transport.is_closing()

    def close(self, code: int, reason: str) -> None:
        """Begin to close, whether or not the peer reads; over for certain after the timeout."""
        if self._closer is None:
            loop = asyncio.get_running_loop()
            self._closer = loop.create_task(self._close(code, reason), name="closing socket")
            stopping = code == WSCloseCode.GOING_AWAY
            timeout_s = self._settings.shutdown_timeout_s if stopping else self._settings.close_timeout_s
            loop.call_later(timeout_s, self._transport.abort)

    async def closed(self) -> None:
        """Wait for a close that has begun."""
        if self._closer is not None:
            await asyncio.wait([self._closer])

    async def _close(self, code: int, reason: str) -> None:
        message = reason.encode()[:MAX_REASON_BYTES]
        try:
            await self._response.close(code=code, message=message)
        except (ConnectionError, RuntimeError) as error:
            _log.debug("a peer was gone before it could be told %d: %s", code, error)


class Doorkeeper:
    """Lets clients in: origin, number of connections, token, role, in this order."""

    def __init__(self, auth: Authenticator, hub: Hub, settings: ServerSettings) -> None:
        self._auth, self._hub, self._settings = auth, hub, settings

    async def admit(self, request: web.Request, needs: Role, max_message_bytes: int) -> tuple[Socket, Identity | None]:
        """An open socket and who it is; None for a refused one, which is closing with its reason.

        Raises:
            web.HTTPForbidden: a page of a foreign origin; before the upgrade.

        """
        origin = request.headers.get(hdrs.ORIGIN)
        host = request.headers.get(hdrs.HOST, "")
        if origin is not None and not same_origin(origin, host, self._settings.allowed_origins):
            raise web.HTTPForbidden(reason="Origin not allowed")
        socket = await Socket.accept(request, self._settings, max_message_bytes)
        if self._hub.size(CONTROLLER) + self._hub.size(FRONTEND) >= self._settings.max_connections:
            socket.close(TRY_AGAIN_LATER, "Too many connections")
            return socket, None
        try:
            return socket, self._auth.authenticate(request.query.get("token") or bearer(request), needs)
        except AuthError as error:
            socket.close(WSCloseCode.POLICY_VIOLATION, error.reason)
            return socket, None
