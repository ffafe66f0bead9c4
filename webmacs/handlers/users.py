"""`/users`: accounts."""

from __future__ import annotations

from typing import Annotated, NoReturn

from aiohttp import web
from pydantic import BaseModel, Field

from webmacs.auth import INSUFFICIENT, MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, Passwords
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, Conflict, InvalidMessage, NotFound
from webmacs.handlers.auth import UserShape, user_shape
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.proxies import Proxies
from webmacs.handlers.resource import Call, Done, Page, PageQuery, done, unique
from webmacs.logins import Logins
from webmacs.model import Identity, Role, User
from webmacs.storage import accounts
from webmacs.storage.base import Storage

LAST_ADMINISTRATOR = "this is the last administrator; add another one first"
TAKEN = "a user with that e-mail or name exists already"

Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")]
Username = Annotated[str, Field(min_length=2, max_length=50, pattern=r"^[^\x00]*$")]
Password = Annotated[str, Field(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH)]


class NewUser(BaseModel):
    """A new account."""

    email: Email
    username: Username
    password: Password
    role: Role = Role.VIEWER


class UserChange(BaseModel):
    """What changes; what is null or not there stays. One's own new password needs the old one."""

    email: Email | None = None
    username: Username | None = None
    password: Password | None = None
    old_password: Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH)] | None = None
    role: Role | None = None


class UserRoutes:
    """The handlers of the resource."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        passwords: Passwords,
        logins: Logins,
        proxies: Proxies,
        clock: Clock,
    ) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock
        self._passwords, self._logins, self._proxies = passwords, logins, proxies

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/users", f"{PREFIX}/users/{{public_id}}"
        routes.add("GET", every, self.listed, needs=Role.ADMIN)
        routes.add("POST", every, self.add, needs=Role.ADMIN, status=201, fails=(409,))
        routes.add("GET", one, self.show)
        routes.add("PUT", one, self.change, fails=(409,), guard=_oneself_or_administrator)
        routes.add("DELETE", one, self.remove, needs=Role.ADMIN, fails=(409,))

    async def listed(self, call: Call[None, PageQuery]) -> Page[UserShape]:
        """A page of users, the oldest first."""
        return call.query.of(self._catalog.current.users.values(), user_shape)

    async def add(self, call: Call[NewUser]) -> Done:
        """Add a user."""
        new = call.body
        with unique(TAKEN):
            await accounts.add_user(
                self._storage.signed(call.actor),
                email=new.email,
                username=new.username,
                password_hash=await self._passwords.hashed(new.password),
                role=new.role,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        return done(f"user {new.username} added")

    async def show(self, call: Call) -> UserShape:
        """One user."""
        return user_shape(self._user(call.named()))

    async def change(self, call: Call[UserChange]) -> Done:
        """Change oneself, or, as an administrator, anybody. A new password ends all sessions of that user."""
        me, body = call.identity.user, call.body
        if me.role is not Role.ADMIN and body.role is not None:
            raise AuthError(INSUFFICIENT)
        user = self._user(call.named())
        password_hash = None
        if body.password is not None:
            if user.id == me.id:
                await self._confirm(user, body.old_password, self._proxies.client(call.request))
            password_hash = await self._passwords.hashed(body.password)
        with unique(TAKEN):
            changed = await accounts.change_user(
                self._storage.signed(call.actor),
                user.id,
                email=body.email,
                username=body.username,
                role=body.role,
                password_hash=password_hash,
            )
        await self._catalog.reload()
        if not changed:
            self._refuse(user)
        return done("user changed")

    async def remove(self, call: Call) -> Done:
        """Remove a user; what the user made and measured stays."""
        user = self._user(call.named())
        removed = await accounts.remove_user(self._storage.signed(call.actor), user.id)
        await self._catalog.reload()
        if not removed:
            self._refuse(user)
        return done(f"user {user.username} removed")

    def _user(self, public_id: str) -> User:
        user = self._catalog.current.users.get(public_id)
        if user is None:
            raise NotFound(f"there is no user {public_id}")
        return user

    def _refuse(self, user: User) -> NoReturn:
        """Why nothing was changed: somebody has removed the user meanwhile, or there would be no administrator."""
        self._user(user.public_id)
        raise Conflict(LAST_ADMINISTRATOR)

    async def _confirm(self, user: User, old_password: str | None, address: str) -> None:
        """Who has got hold of somebody's session must not find out the password, either."""
        if old_password is None:
            raise InvalidMessage("old_password: is needed to change one's own password")
        _, password_hash = await accounts.user_by_email(self._storage, user.email)
        with self._logins.attempt(accounts.normal_email(user.email), address) as attempt:
            matches = await self._passwords.verify(password_hash, old_password)
            attempt.ended(well=matches)
        if not matches:
            raise InvalidMessage("old_password: is not the password")


def _oneself_or_administrator(caller: Identity, request: web.Request) -> None:
    if caller.user.role is not Role.ADMIN and request.match_info["public_id"] != caller.user.public_id:
        raise AuthError(INSUFFICIENT)
