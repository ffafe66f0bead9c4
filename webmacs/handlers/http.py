"""What all HTTP routes share: roles, errors as JSON, headers."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as WebHandler
from multidict import istr

from webmacs.auth import AUTHENTICATION_REQUIRED, INSUFFICIENT, Authenticator
from webmacs.errors import (
    AuthError,
    Conflict,
    InvalidMessage,
    InvalidRows,
    NotFound,
    Overloaded,
    StorageUnavailable,
    TooOften,
    WebmacsError,
)
from webmacs.handlers.limits import RequestLimit, whole_seconds
from webmacs.handlers.resource import Endpoint, Guard, Handler
from webmacs.model import Role, Scope

_log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
RETRY_AFTER_S: Final = 1
UNAVAILABLE: Final = "Storage unavailable, try again in a moment"
REQUEST_ID: Final = istr("X-Request-ID")

_KEPT: Final = (hdrs.ALLOW, hdrs.CONNECTION, hdrs.UPGRADE, hdrs.SEC_WEBSOCKET_VERSION)  # of what aiohttp raises

# What no answer should be without, whatever it is: a browser shows it alone, runs nothing in it, hands it to no page of
# another origin, keeps nothing, and tells nobody where it was. Strict-Transport-Security is for those to say who look
# after the certificate (`deploy/nginx.conf`): with one that signed itself, it would lock people out.
_ALWAYS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STATUS: Final[Sequence[tuple[type[WebmacsError], int]]] = (
    (InvalidMessage, 422),
    (InvalidRows, 422),
    (NotFound, 404),
    (Conflict, 409),
    (TooOften, 429),
    (Overloaded, 503),
    (StorageUnavailable, 503),
)


class Routes:
    """Adds routes with the role each one needs, in both slash forms: clients use either and follow no redirect.

    `endpoints` are all but the sockets, for the OpenAPI document. `undecided` is called when a change has failed that
    may have been stored nevertheless.
    """

    def __init__(
        self, router: web.UrlDispatcher, auth: Authenticator, limit: RequestLimit, undecided: Callable[[], None]
    ) -> None:
        self._router = router
        self._auth = auth
        self._limit = limit
        self._undecided = undecided
        self.endpoints: list[Endpoint] = []

    def add(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        needs: Role | None = Role.VIEWER,
        status: int = 200,
        fails: tuple[int, ...] = (),
        media: str = "application/json",
        guard: Guard | None = None,
        scope: Scope | None = None,
        limited: bool = True,
        own: bool = False,
    ) -> None:
        """Add what a resource does; see `Endpoint`. Unless said otherwise, API tokens that only read may GET."""
        scope = scope or (Scope.READ if method == hdrs.METH_GET else Scope.FULL)
        endpoint = Endpoint(method, path, handler, needs, status, fails, media, guard, scope, limited, own)
        self.endpoints.append(endpoint)

        async def respond(request: web.Request) -> web.StreamResponse:
            if limited:
                self._limit.admit(request)
            caller = None if needs is None else self._auth.authenticate(bearer(request), needs, scope, own=own)
            try:
                return await endpoint.respond(request, caller, self._limit.body_timeout_s)
            except StorageUnavailable:
                if method != hdrs.METH_GET:
                    self._undecided()
                raise

        self._serve(method, path, respond)

    def add_socket(self, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        """Add a WebSocket, whose doorkeeper asks for the token."""
        self._serve("GET", path, handler)

    def add_page(self, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        """Add what browsers load: public, the same for everyone, and no part of the interface that is described."""
        self._router.add_route("GET", path, handler)

    def _serve(self, method: str, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        for form in (path, f"{path}/"):
            self._router.add_route(method, form, handler)


class Resource(Protocol):
    """The handlers of one noun."""

    def register(self, routes: Routes) -> None:
        """Add its routes."""


def bearer(request: web.Request) -> str | None:
    """The credential of the `Authorization` header (RFC 6750); None without one."""
    scheme, _, credential = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


@web.middleware
async def errors_as_json(request: web.Request, handler: WebHandler) -> web.StreamResponse:
    """Turn every error into its status and a JSON `detail`."""
    try:
        return await handler(request)
    except Exception as error:
        answer = None if request.writer.output_size > 0 else _answer(request, error)
        if answer is None:
            raise
        return answer


def _answer(request: web.Request, error: Exception) -> web.Response | None:
    """What an error is answered with; None when there is nobody to answer, or nothing to say."""
    if isinstance(error, web.HTTPException):
        return from_http(error) if error.status >= HTTPStatus.BAD_REQUEST else None
    if isinstance(error, AuthError):
        status = 403 if error.reason == INSUFFICIENT else 401
        missing = {hdrs.WWW_AUTHENTICATE: "Bearer"} if error.reason == AUTHENTICATION_REQUIRED else None
        return failure(status, error.reason, headers=missing)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            detail = str(error)
            if kind is StorageUnavailable:  # the driver's words name hosts and files
                _log.info("%s %s failed: %s", request.method, request.rel_url.raw_path, error)
                detail = UNAVAILABLE
            return failure(status, detail, headers=_later(error, status))
    if isinstance(error, web.RequestPayloadError):  # its chunks or its compression are broken
        return failure(400, HTTPStatus.BAD_REQUEST.phrase)
    if isinstance(error, ConnectionError) and gone(request):
        return None
    name = request_id()
    _log.error("%s %s failed, request %s", request.method, request.rel_url.raw_path, name, exc_info=error)
    return failure(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase, headers={REQUEST_ID: name})


def _later(error: WebmacsError, status: int) -> Mapping[istr, str] | None:
    """When to try again, in whole seconds; None where that would be no better."""
    if isinstance(error, TooOften):
        return {hdrs.RETRY_AFTER: whole_seconds(error.retry_after_s)}
    return {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None


async def mark(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Give each response an id and the headers that no answer of an interface should be without."""
    response.headers.setdefault(REQUEST_ID, request_id())
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "WebMACS"  # aiohttp would name every version that somebody might look holes up for


def request_id() -> str:
    """A new id for a request; one that the client sends is not used."""
    return str(uuid.uuid4())


def gone(request: web.BaseRequest) -> bool:
    """Whether the client has left: the connection is lost, or about to be, and takes nothing any more."""
    return request.transport is None or request.transport.is_closing()


def failure(status: int, detail: str, headers: Mapping[istr, str] | None = None) -> web.Response:
    """An error as the contract has it."""
    return web.json_response({"detail": detail}, status=status, headers=headers)


def from_http(error: web.HTTPException) -> web.Response:
    """An error that aiohttp raised, as the contract has it. Its own text may repeat what the client sent."""
    kept = {name: error.headers[name] for name in _KEPT if name in error.headers}
    answer = failure(error.status, error.reason, headers=kept)
    if error.status == HTTPStatus.REQUEST_TIMEOUT:
        answer.force_close()  # what still comes would be taken for another request
    return answer
