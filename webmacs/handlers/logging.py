"""`/logging`: what the Logs page shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Done, Page, PageQuery, Timestamp, changes, done, timestamp, unset
from webmacs.model import Role
from webmacs.storage import logbook
from webmacs.storage.base import Storage
from webmacs.storage.logbook import Logged

Content = Annotated[str, Field(min_length=1, max_length=logbook.CONTENT_LENGTH, pattern=r"^[^\x00]*$")]
Kind = Literal["error", "warning", "info"]
Status = Literal["read", "unread"]


class LogShape(TypedDict):
    """An entry."""

    public_id: str
    content: str
    logging_type: str
    status_type: str
    created_on: Timestamp
    user_public_id: str


class NewLog(BaseModel):
    """A new entry; it begins unread."""

    content: Content
    logging_type: Kind = "info"


class LogChange(BaseModel):
    """What changes; the rest stays."""

    content: Content = unset()
    status_type: Status = unset()


class LogRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/logging", f"{PREFIX}/logging/{{public_id}}"
        routes.add("GET", every, self.listed)
        routes.add("POST", every, self.add, needs=Role.OPERATOR, status=201)
        routes.add("GET", one, self.show)
        routes.add("PUT", one, self.change, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[LogShape]:
        """A page of entries, the newest first."""
        found, total = await logbook.page(self._storage, limit=call.query.page_size, offset=call.query.offset)
        return call.query.holding([self._shape(entry) for entry in found], total)

    async def add(self, call: Call[NewLog]) -> Done:
        """Add an entry."""
        entry = logbook.log_entry(
            call.body.content,
            now_us=self._clock.now_us(),
            user_id=call.identity.user.id,
            logging_type=call.body.logging_type,
        )
        await self._storage.write(entry)
        return done("entry added")

    async def show(self, call: Call) -> LogShape:
        """One entry."""
        return self._shape(await logbook.entry(self._storage, call.named()))

    async def change(self, call: Call[LogChange]) -> Done:
        """Change an entry, or mark it as read."""
        await logbook.change_entry(self._storage, call.named(), **changes(call.body))
        return done("entry changed")

    def _shape(self, entry: Logged) -> LogShape:
        user = self._catalog.current.users_by_id.get(entry.user_id or 0)
        return {
            "public_id": entry.public_id,
            "content": entry.content,
            "logging_type": entry.logging_type,
            "status_type": entry.status_type,
            "created_on": timestamp(entry.created_us),
            "user_public_id": user.public_id if user else "",
        }
