"""The door to the street: what happens to requests that never become one.

aiohttp answers what it cannot parse by itself, with a text that repeats the line at fault, which may hold a token, and
logs a trace of it. Here such requests get what all errors get: JSON that repeats nothing, and one line in the log.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from webmacs.auth import MAX_TOKEN_LENGTH
from webmacs.handlers.http import failure, from_http, mark

_log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 4 * MAX_TOKEN_LENGTH  # so that a long token is refused by us, with its reason


class Runner(web.AppRunner):
    """Serves an application as `web.AppRunner` does, with everything a client sees in our form.

    `idle_timeout_s` is also the time there is to send a request's head. `options` are those of `web.AppRunner`.
    """

    def __init__(self, app: web.Application, idle_timeout_s: float, **options: Any) -> None:
        super().__init__(
            app,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            keepalive_timeout=idle_timeout_s,
            shutdown_timeout=1.0,  # the sockets have been told and waited for by then
            **options,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _RequestHandler(self, loop=self._loop, **self._kwargs)


class _RequestHandler(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - repeats what the client sent
    ) -> web.StreamResponse:
        """See aiohttp. Called for what is no HTTP, and for what went wrong outside the application's own net."""
        if isinstance(exc, ConnectionError) and request.transport is None:
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
