"""`/tokens`: long-lived credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.auth import INSUFFICIENT, MAX_TIME_S, api_token_digest, new_api_token
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, InvalidMessage, InvalidRows, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Done, Page, PageQuery, Text, Timestamp, done, timestamp
from webmacs.model import ApiToken, Identity, Plugin, Role, Scope, User, to_us
from webmacs.storage import accounts
from webmacs.storage.base import Storage
from webmacs.uses import Uses


class TokenShape(TypedDict):
    """A token, without its text, which is not kept."""

    public_id: str
    name: str
    last_used_at: Timestamp | None
    expires_at: Timestamp | None
    created_at: Timestamp
    user_public_id: str
    scope: Scope
    plugin_public_id: str | None


class TokenCreated(TypedDict):
    """A new token; its text is shown this once."""

    public_id: str
    name: str
    token: str
    expires_at: Timestamp | None
    created_at: Timestamp
    scope: Scope
    plugin_public_id: str | None


class NewToken(BaseModel):
    """A new token; a time without an offset is UTC.

    Scopes: `ingest` sends readings, with `plugin_public_id` only those of that plugin instance, of which it sees what
    its controller needs; `read` sees what its owner may see; `full` does what its owner may do.
    """

    name: Text
    expires_at: datetime | None = None
    scope: Scope = Scope.FULL
    plugin_public_id: Annotated[str, Field(max_length=100)] | None = None


class TokenRoutes:
    """The handlers of the resource. With an API token they only show: tokens are made and deleted in a session."""

    def __init__(self, storage: Storage, catalog: Catalog, uses: Uses, clock: Clock) -> None:
        self._storage, self._catalog, self._uses, self._clock = storage, catalog, uses, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/tokens", f"{PREFIX}/tokens/{{public_id}}"
        routes.add("GET", every, self.listed)
        routes.add("POST", every, self.add, status=201, fails=(404,), guard=_in_session)
        routes.add("DELETE", one, self.remove, guard=_in_session)

    async def listed(self, call: Call[None, PageQuery]) -> Page[TokenShape]:
        """A page of one's own tokens, an administrator's of all, the newest first."""
        stored, caller, known = await accounts.last_used(self._storage), call.identity, self._catalog.current
        used = {**stored, **self._uses.waiting}
        seen = [token for token in known.tokens_by_id.values() if _may_see(caller, token)]
        owners = known.users_by_id  # a token that has none was read just before its owner was removed
        mine = [(token, owners[token.user_id]) for token in reversed(seen) if token.user_id in owners]
        instances = {plugin.id: plugin.public_id for plugin in known.plugins}
        return call.query.of(
            mine, lambda pair: _shape(*pair, used.get(pair[0].id), instances.get(pair[0].plugin_id or 0))
        )

    async def add(self, call: Call[NewToken]) -> TokenCreated:
        """Issue a token for oneself."""
        now_us = self._clock.now_us()
        expires_us = None if call.body.expires_at is None else to_us(_aware(call.body.expires_at))
        if expires_us is not None and not now_us < expires_us <= MAX_TIME_S * 1_000_000:
            raise InvalidMessage("expires_at: lies in the past, or after the year 9999")
        plugin = self._bound_to(call.body)
        text = new_api_token()
        try:
            public_id = await accounts.add_token(
                self._storage.signed(call.actor),
                user_id=call.identity.user.id,
                name=call.body.name,
                digest=api_token_digest(text),
                expires_us=expires_us,
                now_us=now_us,
                scope=call.body.scope,
                plugin_id=None if plugin is None else plugin.id,
            )
        except InvalidRows:  # the instance, or oneself, was removed a moment ago
            await self._catalog.reload()
            self._bound_to(call.body)
            raise
        await self._catalog.reload()
        return {
            "public_id": public_id,
            "name": call.body.name,
            "token": text,
            "expires_at": None if expires_us is None else timestamp(expires_us),
            "created_at": timestamp(now_us),
            "scope": call.body.scope,
            "plugin_public_id": None if plugin is None else plugin.public_id,
        }

    async def remove(self, call: Call) -> Done:
        """Delete a token of one's own, as an administrator anybody's; its live sockets are closed."""
        known = self._catalog.current
        token = next((token for token in known.tokens.values() if token.public_id == call.named()), None)
        if token is None:
            raise NotFound(f"there is no token {call.named()}")
        if not _may_see(call.identity, token):
            raise AuthError(INSUFFICIENT)
        await accounts.remove_token(self._storage.signed(call.actor), token.public_id)
        await self._catalog.reload()
        return done(f"token {token.name} removed")

    def _bound_to(self, new: NewToken) -> Plugin | None:
        if new.plugin_public_id is None:
            return None
        if new.scope is not Scope.INGEST:
            raise InvalidMessage(f"plugin_public_id: only a token of scope {Scope.INGEST} belongs to a plugin instance")
        for plugin in self._catalog.current.plugins:
            if plugin.public_id == new.plugin_public_id:
                return plugin
        raise NotFound(f"there is no plugin instance {new.plugin_public_id}")


def _shape(token: ApiToken, owner: User, last_used_us: int | None, plugin: str | None) -> TokenShape:
    return {
        "public_id": token.public_id,
        "name": token.name,
        "last_used_at": None if last_used_us is None else timestamp(last_used_us),
        "expires_at": None if token.expires_us is None else timestamp(token.expires_us),
        "created_at": timestamp(token.created_us),
        "user_public_id": owner.public_id,
        "scope": token.scope,
        "plugin_public_id": plugin,
    }


def _may_see(caller: Identity, token: ApiToken) -> bool:
    return caller.user.role is Role.ADMIN or token.user_id == caller.user.id


def _in_session(caller: Identity, _request: web.Request) -> None:
    if caller.token_id is not None:
        raise AuthError(INSUFFICIENT)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
