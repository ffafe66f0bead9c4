"""The door to the street: connections before anything is asked on them, and requests that never become one.

A connection is counted from its first moment, and cut when it is one too many, whether or not anything is said on it.
aiohttp answers what it cannot parse by itself, with a text that repeats the line at fault, which may hold a token, and
logs a trace of it. Here such requests get what all errors get: JSON that repeats nothing, and one line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http import WebSocketReader

from webmacs.auth import MAX_TOKEN_LENGTH
from webmacs.config import ServerSettings
from webmacs.handlers.http import failure, from_http, gone, mark
from webmacs.handlers.proxies import Proxies
from webmacs.logs import AccessLogger
from webmacs.metrics import Metrics
from webmacs.places import Arrivals

_log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 4 * MAX_TOKEN_LENGTH  # so that a long token is refused by us, with its reason


class Runner(web.AppRunner):
    """Serves an application as `web.AppRunner` does, with everything a client sees in our form.

    `server.idle_timeout_s` is also the time there is to send a request's head. `options` are those of `web.AppRunner`.
    """

    def __init__(self, app: web.Application, server: ServerSettings, metrics: Metrics, **options: Any) -> None:
        super().__init__(
            app,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            keepalive_timeout=server.idle_timeout_s,
            shutdown_timeout=1.0,  # the sockets have been told and waited for by then
            **options,
        )
        self._arrivals = Arrivals(server, metrics)
        self._proxies = Proxies(server.trusted_proxies)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = {**self._kwargs, "access_log_class": partial(AccessLogger, client=self._proxies.address)}
        handler = partial(_RequestHandler, self._arrivals, self._proxies)
        return _Server(handler, made.request_handler, request_factory=made.request_factory, **options)


class _Server(web.Server):
    def __init__(self, make: Callable[..., web.RequestHandler], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._make = make

    def __call__(self) -> web.RequestHandler:
        return self._make(self, loop=self._loop, **self._kwargs)


class _RequestHandler(web.RequestHandler):
    """One connection. From its first moment until it is gone, or a WebSocket, it has a place among the arrivals."""

    __slots__ = ("_arrivals", "_give_back", "_proxies")

    def __init__(self, arrivals: Arrivals, proxies: Proxies, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._arrivals, self._proxies = arrivals, proxies
        self._give_back: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See aiohttp. One too many is cut before anything is made for it; nobody has asked yet who could be told."""
        peer = transport.get_extra_info("peername")
        self._give_back = self._arrivals.enter(self._proxies.counted(peer[0] if peer else ""))
        if self._give_back is None:
            transport.abort()  # type: ignore[attr-defined]  # that of a connection has it
        else:
            super().connection_made(transport)

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """See aiohttp. It is a WebSocket from here on, and those are counted by `Places`."""
        self._leave()
        super().set_parser(parser, data_received_cb)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See aiohttp."""
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - repeats what the client sent
    ) -> web.StreamResponse:
        """See aiohttp. Called for what is no HTTP, and for what went wrong outside the application's own net."""
        if isinstance(exc, ConnectionError) and gone(request):
            raise exc  # the client has gone, which is nothing to speak of
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.info("refused a malformed request of %s: %s", request.remote, type(exc).__name__)
        else:
            _log.error("a request of %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("too late to say so: a part of the answer has been sent")
        response = failure(status, HTTPStatus(status).phrase)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See aiohttp. Errors that were raised before the application's own net was reached arrive here as they are."""
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp = from_http(resp)
        if not resp.prepared:
            await mark(request, resp)
        return await super().finish_response(request, resp, start_time)
