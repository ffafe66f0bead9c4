"""`/audit`: who changed what, when, what it was before and what it is after. It can be read, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Page, PageQuery, Timestamp, timestamp
from webmacs.model import Role
from webmacs.storage import audit
from webmacs.storage.audit import Change, Wanted
from webmacs.storage.base import Storage

Action = Literal["added", "changed", "removed", "set"]
Sought = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]


class ChangeShape(TypedDict):
    """An entry. Of a change, `before` and `after` have what is different; one is null for what was not, or is no more.

    `user_public_id` is null for what was done at the command line, or by the server itself; `token` is the name of the
    API token, if it came by one. `set` is a value that was given to an actuator.
    """

    time: Timestamp
    actor: str
    user_public_id: str | None
    token: str | None
    action: Action
    kind: str
    public_id: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditQuery(PageQuery):
    """Which entries: about one thing, about one kind of thing, by one actor."""

    public_id: Sought | None = None
    kind: Sought | None = None
    actor: Sought | None = None


class AuditRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/audit", self.listed, needs=Role.ADMIN)

    async def listed(self, call: Call[None, AuditQuery]) -> Page[ChangeShape]:
        """A page of entries, the newest first."""
        query = call.query
        wanted = Wanted(query.public_id, query.kind, query.actor)
        found = await audit.page(self._storage, wanted, limit=query.page_size, offset=query.offset)
        return query.holding([_shape(change) for change in found], await audit.total(self._storage, wanted))


def _shape(change: Change) -> ChangeShape:
    was, becomes = change.differences()
    action: Any = change.action
    return {
        "time": timestamp(change.time_us),
        "actor": change.actor.name,
        "user_public_id": change.actor.user_public_id,
        "token": change.actor.token_name,
        "action": action,
        "kind": change.kind,
        "public_id": change.public_id,
        "name": change.name,
        "before": _shown(was),
        "after": _shown(becomes),
    }


def _shown(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """Times as everywhere else."""
    if values is None:
        return None
    return {
        name.removesuffix("_us"): timestamp(value) if name.endswith("_us") and value is not None else value
        for name, value in values.items()
    }
