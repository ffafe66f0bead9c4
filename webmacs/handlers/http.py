"""What all HTTP routes share: roles, errors as JSON, request bodies, the contract's forms of numbers and times."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import istr
from pydantic import BaseModel, ValidationError

from webmacs.auth import AUTHENTICATION_REQUIRED, INSUFFICIENT, Authenticator
from webmacs.config import explain
from webmacs.errors import (
    AuthError,
    Conflict,
    InvalidMessage,
    InvalidRows,
    NotFound,
    Overloaded,
    StorageUnavailable,
    WebmacsError,
)
from webmacs.model import Identity, Role, to_datetime

_log = logging.getLogger(__name__)
M = TypeVar("M", bound=BaseModel)

PREFIX: Final = "/api/v1"
RETRY_AFTER_S: Final = 1
IDENTITY: Final = web.RequestKey("identity", Identity)
REQUEST_ID: Final = istr("X-Request-ID")

_STATUS: Final[Sequence[tuple[type[WebmacsError], int]]] = (
    (InvalidMessage, 422),
    (InvalidRows, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Overloaded, 503),
    (StorageUnavailable, 503),
)


class Routes:
    """Adds routes with the role each one needs, in both slash forms: clients use either and follow no redirect."""

    def __init__(self, router: web.UrlDispatcher, auth: Authenticator) -> None:
        self._router = router
        self._auth = auth

    def add(
        self,
        method: str,
        path: str,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        needs: Role | None = Role.VIEWER,
    ) -> None:
        """`needs` None: open to everyone."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if needs is not None:
                request[IDENTITY] = self._auth.authenticate(bearer(request), needs)
            return await handler(request)

        for form in (path, f"{path}/"):
            self._router.add_route(method, form, guarded)


def bearer(request: web.Request) -> str | None:
    """The credential of the `Authorization` header (RFC 6750); None without one."""
    scheme, _, credential = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
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
            unavailable = {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return failure(status, str(error), headers=unavailable)
    if isinstance(error, web.RequestPayloadError):  # its chunks or its compression are broken
        return failure(400, HTTPStatus.BAD_REQUEST.phrase)
    if isinstance(error, ConnectionError) and request.transport is None:
        return None
    name = request_id()
    _log.error("%s %s failed, request %s", request.method, request.rel_url.raw_path, name, exc_info=error)
    return failure(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase, headers={REQUEST_ID: name})


async def mark(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Give each response an id and the headers that no answer of an interface should be without."""
    response.headers.setdefault(REQUEST_ID, request_id())
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")


def request_id() -> str:
    """A new id for a request; one that the client sends is not used."""
    return str(uuid.uuid4())


def failure(status: int, detail: str, headers: Mapping[istr, str] | None = None) -> web.Response:
    """An error as the contract has it."""
    return web.json_response({"detail": detail}, status=status, headers=headers)


def from_http(error: web.HTTPException) -> web.Response:
    """An error that aiohttp raised, as the contract has it. Its own text may repeat what the client sent."""
    allow = {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
    return failure(error.status, error.reason, headers=allow)


def success(message: str, status: int = 200, **more: object) -> web.Response:
    """The answer to most writes."""
    return web.json_response({"status": "success", "message": message, **more}, status=status)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object in UTF-8. Raises `InvalidMessage` (422), or 413 by aiohttp."""
    if request.content_type != "application/json":
        raise InvalidMessage("The body must be JSON, with Content-Type: application/json")
    try:
        body = json.loads((await request.read()).decode())
    except (ValueError, RecursionError):
        raise InvalidMessage("Invalid JSON") from None
    if not isinstance(body, dict):
        raise InvalidMessage("The body must be a JSON object")
    return body


async def parsed(request: web.Request, model: type[M]) -> M:
    """The body as a model. Raises `InvalidMessage` that names the field."""
    try:
        return model.model_validate(await json_object(request))
    except ValidationError as error:
        raise InvalidMessage(explain(error)) from None


def timestamp(time_us: int) -> str:
    """A time as REST writes it: UTC, `Z`, six digits of fraction or none."""
    return to_datetime(time_us).isoformat().replace("+00:00", "Z")
