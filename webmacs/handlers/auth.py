"""`/auth`: logging in and out."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field

from webmacs.auth import MAX_PASSWORD_LENGTH, Authenticator, Passwords
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, NotFound
from webmacs.handlers.http import IDENTITY, PREFIX, Routes, parsed, success, timestamp
from webmacs.model import Role
from webmacs.storage import accounts
from webmacs.storage.base import Storage
from webmacs.storage.logbook import log_entry

WRONG_PAIR = "Incorrect email or password"


class Login(BaseModel):
    """The body of a login."""

    email: Annotated[str, Field(min_length=1, max_length=254, pattern=r"^[^\x00]*$")]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]


class AuthRoutes:
    """The handlers of the resource."""

    def __init__(
        self, auth: Authenticator, passwords: Passwords, storage: Storage, catalog: Catalog, clock: Clock
    ) -> None:
        self._auth, self._passwords, self._storage = auth, passwords, storage
        self._catalog, self._clock = catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("POST", f"{PREFIX}/auth/login", self.login, needs=None)
        routes.add("POST", f"{PREFIX}/auth/logout", self.logout)
        routes.add("GET", f"{PREFIX}/auth/me", self.me)

    async def login(self, request: web.Request) -> web.Response:
        """Exchange address and password for a JWT."""
        body = await parsed(request, Login)
        try:
            user, password_hash = await accounts.user_by_email(self._storage, body.email)
        except NotFound:
            await self._passwords.verify(None, body.password)  # takes the same time as for somebody
            raise AuthError(WRONG_PAIR) from None
        if not await self._passwords.verify(password_hash, body.password):
            raise AuthError(WRONG_PAIR)
        if user.public_id not in self._catalog.current.users:
            await self._catalog.reload()  # made a moment ago by another process
        await self._storage.write(
            log_entry(f"user {user.username} logged in", now_us=self._clock.now_us(), user_id=user.id)
        )
        session = self._auth.issue(user)
        return success("Logged in", access_token=session.token, public_id=user.public_id, username=user.username)

    async def logout(self, request: web.Request) -> web.Response:
        """End the session of this JWT, and its live sockets. An API token stays until it is deleted."""
        identity = request[IDENTITY]
        if identity.jti is None or identity.expires_us is None:
            return success("API tokens have no session; delete the token to revoke it")
        await accounts.revoke(self._storage, identity.jti, identity.expires_us, self._clock.now_us())
        await self._catalog.reload()
        return success("Logged out")

    async def me(self, request: web.Request) -> web.Response:
        """Who bears this credential."""
        user = request[IDENTITY].user
        return web.json_response(
            {
                "public_id": user.public_id,
                "email": user.email,
                "username": user.username,
                "role": user.role.value,
                "admin": user.role is Role.ADMIN,
                "registered_on": timestamp(user.created_us),
                "sso_provider": None,
            }
        )
