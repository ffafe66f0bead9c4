"""A server's HTTP interface, as a controller uses it: in a session that is renewed, with an eye on its clock."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

from webmacs.controller.clocks import Clocks
from webmacs.controller.login import UNAUTHORIZED, Login
from webmacs.controller.server import Server
from webmacs.controller.wire import API
from webmacs.errors import AuthError, WebmacsError
from webmacs.model import to_us

FORBIDDEN: Final = 403
PAGE_SIZE: Final = 100
MAX_PAGES: Final = 100
MAX_RETRY_AFTER_S: Final = 300.0
MAX_DETAIL: Final = 200
HALF_S: Final = 0.5  # the header has whole seconds


class Unreachable(WebmacsError):
    """The server does not answer, or not as a WebMACS server does."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; `body` is None where that was no JSON."""

    status: int
    body: Any
    retry_after_s: float | None = None

    @property
    def good(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 400  # noqa: PLR2004 - HTTP's

    def said(self) -> str:
        """What was wrong, for a person."""
        detail = self.body.get("detail") if isinstance(self.body, dict) else None
        return f"{detail or 'no reason is given'} ({self.status})"[:MAX_DETAIL]


class Api:
    """Requests to one server."""

    def __init__(
        self, session: aiohttp.ClientSession, server: Server, login: Login, clocks: Clocks, timeout_s: float
    ) -> None:
        self._session, self._server, self._login, self._clocks = session, server, login, clocks
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def ask(self, method: str, path: str, body: str | None = None) -> Reply:
        """One request; `body` is JSON.

        Raises:
            Unreachable: there is no answer. Whether the request had an effect is not known.
            AuthError: we are not let in.

        """
        try:
            token = await self._login.token()
            reply = await self._once(method, path, body, token)
            if reply.status == UNAUTHORIZED and self._login.over(token):
                token = await self._login.token()
                reply = await self._once(method, path, body, token)
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        if reply.status == UNAUTHORIZED:
            self._login.over(token)
            raise AuthError(reply.said())
        return reply

    async def pages(self, path: str) -> list[Any]:
        """All that a list has, page by page.

        Raises:
            Unreachable, AuthError: as `ask`; also when the answer is no list of pages.

        """
        found: list[Any] = []
        for number in range(1, MAX_PAGES + 1):
            reply = await self.ask("GET", f"{path}?page={number}&page_size={PAGE_SIZE}")
            if reply.status == FORBIDDEN:
                raise AuthError(reply.said())
            try:
                items, total = list(reply.body["data"]), int(reply.body["total"])
            except (TypeError, KeyError, ValueError):
                raise Unreachable(f"{path} is no list: {reply.said()}") from None
            found += items
            if not items or len(found) >= total:
                break
        return found

    async def _once(self, method: str, path: str, body: str | None, token: str) -> Reply:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        began = time.monotonic()
        async with self._session.request(
            method,
            f"{self._server.address}{API}{path}",
            data=None if body is None else body.encode("utf-8", "surrogatepass"),
            headers=headers,
            timeout=self._timeout,
        ) as response:
            text = await response.read()
            self._hear(response.headers.get("Date"), time.monotonic() - began)
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError):
                parsed = None
            return Reply(response.status, parsed, _seconds(response.headers.get("Retry-After")))

    def _hear(self, date: str | None, took_s: float) -> None:
        """The server's clock, to the second."""
        with contextlib.suppress(TypeError, ValueError):
            moment = parsedate_to_datetime(date or "")
            if moment.tzinfo is not None:
                self._clocks.heard(to_us(moment) + int(HALF_S * 1e6), HALF_S + took_s)


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else min(max(float(text), 0.0), MAX_RETRY_AFTER_S)
    except ValueError:
        return None
