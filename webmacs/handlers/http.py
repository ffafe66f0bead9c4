"""What all HTTP routes share: roles, errors as JSON, request bodies, the contract's forms of numbers and times."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
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
    """Turn every error into its status and a JSON `detail`, and give each response an id."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect is an answer, not an error
            raise
        response = failure(error.status, error.reason, headers=_allow(error))
    except AuthError as error:
        status = 403 if error.reason == INSUFFICIENT else 401
        missing = {hdrs.WWW_AUTHENTICATE: "Bearer"} if error.reason == AUTHENTICATION_REQUIRED else None
        response = failure(status, error.reason, headers=missing)
    except WebmacsError as error:
        response = _ours(error)
    except Exception:  # noqa: BLE001 - nobody gets a trace
        _log.exception("%s %s failed", request.method, request.path)
        response = failure(500, "Internal Server Error")
    if not response.prepared:
        response.headers["X-Request-ID"] = str(uuid.uuid4())
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def failure(status: int, detail: str, headers: dict[istr, str] | None = None) -> web.Response:
    """An error as the contract has it."""
    return web.json_response({"detail": detail}, status=status, headers=headers)


def success(message: str, status: int = 200, **more: object) -> web.Response:
    """The answer to most writes."""
    return web.json_response({"status": "success", "message": message, **more}, status=status)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object. Raises `InvalidMessage` (422), or 413 by aiohttp."""
    if request.content_type != "application/json":
        raise InvalidMessage("The body must be JSON, with Content-Type: application/json")
    try:
        body = json.loads(await request.read())
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


def _ours(error: WebmacsError) -> web.Response:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            unavailable = {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)} if status == 503 else None  # noqa: PLR2004
            return failure(status, str(error), headers=unavailable)
    _log.error("no status for %r", error)
    return failure(500, "Internal Server Error")


def _allow(error: web.HTTPException) -> dict[istr, str] | None:
    return {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
