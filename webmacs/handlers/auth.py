"""`/auth`: logging in and out."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.auth import MAX_PASSWORD_LENGTH, Authenticator, Passwords
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.proxies import Proxies
from webmacs.handlers.resource import Call, Done, Timestamp, done, timestamp
from webmacs.logins import Logins
from webmacs.model import Role, User
from webmacs.storage import accounts
from webmacs.storage.base import Storage
from webmacs.storage.logbook import log_entry

WRONG_PAIR = "Incorrect email or password"


class Login(BaseModel):
    """The body of a login."""

    email: Annotated[str, Field(min_length=1, max_length=254, pattern=r"^[^\x00]*$")]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]


class LoggedIn(Done):
    """A new session; `access_token` is its JWT."""

    access_token: str
    public_id: str
    username: str


class UserShape(TypedDict):
    """A user."""

    public_id: str
    email: str
    username: str
    role: Role
    admin: bool
    registered_on: Timestamp
    sso_provider: None


def user_shape(user: User) -> UserShape:
    """A user as the contract shows one."""
    return {
        "public_id": user.public_id,
        "email": user.email,
        "username": user.username,
        "role": user.role,
        "admin": user.role is Role.ADMIN,
        "registered_on": timestamp(user.created_us),
        "sso_provider": None,
    }


class AuthRoutes:
    """The handlers of the resource."""

    def __init__(
        self,
        auth: Authenticator,
        passwords: Passwords,
        logins: Logins,
        proxies: Proxies,
        storage: Storage,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._auth, self._passwords, self._logins, self._proxies = auth, passwords, logins, proxies
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("POST", f"{PREFIX}/auth/login", self.login, needs=None, fails=(401,))
        routes.add("POST", f"{PREFIX}/auth/logout", self.logout)
        # A dashboard takes any failure of this one for a log-out.
        routes.add("GET", f"{PREFIX}/auth/me", self.me, limited=False)

    async def login(self, call: Call[Login]) -> LoggedIn:
        """Exchange address and password for a JWT."""
        account, address = accounts.normal_email(call.body.email), self._proxies.client(call.request)
        with self._logins.attempt(account, address) as attempt:
            user = await self._user(call.body)
            attempt.ended(well=user is not None)
        if user is None:
            raise AuthError(WRONG_PAIR)
        if user.public_id not in self._catalog.current.users:
            await self._catalog.reload()  # made a moment ago by another process
        await self._storage.write(
            log_entry(f"user {user.username} logged in", now_us=self._clock.now_us(), user_id=user.id)
        )
        token = self._auth.issue(user).token
        return {
            **done("Logged in"),
            "access_token": token,
            "public_id": user.public_id,
            "username": user.username,
        }

    async def _user(self, body: Login) -> User | None:
        """Whose address and password these are; None: nobody's, which takes the same time."""
        try:
            user, password_hash = await accounts.user_by_email(self._storage, body.email)
        except NotFound:
            await self._passwords.verify(None, body.password)
            return None
        return user if await self._passwords.verify(password_hash, body.password) else None

    async def logout(self, call: Call) -> Done:
        """End the session of this JWT, and its live sockets. An API token stays until it is deleted."""
        identity = call.identity
        if identity.jti is None or identity.expires_us is None:
            return done("API tokens have no session; delete the token to revoke it")
        await accounts.revoke(self._storage, identity.jti, identity.expires_us, self._clock.now_us())
        await self._catalog.reload()
        return done("Logged out")

    async def me(self, call: Call) -> UserShape:
        """Who bears this credential."""
        return user_shape(call.identity.user)
