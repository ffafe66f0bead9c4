"""How a controller is let in: by a token that it is given, or by logging in, and again when the session has ended."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from webmacs.controller.wire import API
from webmacs.errors import AuthError

UNAUTHORIZED: Final = 401
REFUSALS: Final = (400, UNAUTHORIZED, 403, 422)


class Login:
    """The token of the present session with one server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        *,
        token: str | None = None,
        email: str | None = None,
        password: str | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """Either `token`, or both of the others."""
        self._session, self._address = session, address
        self._token = token
        self._given = token is not None
        self._who = {"email": email, "password": password}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._turn = asyncio.Lock()

    async def token(self) -> str:
        """The one that is good now, as far as is known.

        Raises:
            AuthError: the e-mail address or the password is not right.
            aiohttp.ClientError, OSError: the server cannot be asked.

        """
        async with self._turn:
            if self._token is None:
                self._token = await self._log_in()
            return self._token

    def over(self, token: str) -> bool:
        """That token is not good any more; whether another one can be had."""
        if self._given:
            return False
        if self._token == token:
            self._token = None
        return True

    async def _log_in(self) -> str:
        async with self._session.post(
            f"{self._address}{API}/auth/login", json=self._who, timeout=self._timeout
        ) as response:
            if response.status in REFUSALS:
                raise AuthError(f"the server does not know this e-mail address with this password ({response.status})")
            response.raise_for_status()
            try:
                return str((await response.json(content_type=None))["access_token"])
            except (ValueError, KeyError, TypeError):
                raise aiohttp.ClientPayloadError("the answer to the log-in has no token") from None
