"""`/events`: what is measured, and what arrives without being linked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import InvalidMessage, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import (
    Call,
    Done,
    Number,
    Page,
    PageQuery,
    Text,
    Timestamp,
    changes,
    done,
    timestamp,
    unique,
    unset,
)
from webmacs.model import Event, Role
from webmacs.storage import records
from webmacs.storage.base import Storage

EventType = Literal["sensor", "actuator", "range", "cmd_button", "cmd_opened", "cmd_closed"]


class EventShape(TypedDict):
    """An event."""

    public_id: str
    name: str
    min_value: float
    max_value: float
    unit: str
    type: str
    user_public_id: str | None


class UnlinkedShape(TypedDict):
    """An id that arrives in readings and is linked to nothing."""

    event_public_id: str
    count: int
    last_value: float
    first_seen: Timestamp
    last_seen: Timestamp


class NewEvent(BaseModel):
    """A new event."""

    name: Text
    min_value: Number
    max_value: Number
    unit: Text
    type: EventType


class EventChange(BaseModel):
    """What changes; the rest stays."""

    name: Text = unset()
    min_value: Number = unset()
    max_value: Number = unset()
    unit: Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")] = unset()
    type: EventType = unset()


class EventRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/events", f"{PREFIX}/events/{{public_id}}"
        routes.add("GET", every, self.listed, own=True)
        routes.add("POST", every, self.add, needs=Role.OPERATOR, status=201, fails=(409,))
        routes.add("GET", f"{every}/unlinked", self.unlinked)
        routes.add("GET", one, self.show)
        routes.add("PUT", one, self.change, needs=Role.OPERATOR, fails=(409,))
        routes.add("DELETE", one, self.remove, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[EventShape]:
        """A page of events, the oldest first.

        A token of scope `ingest` that is bound to a plugin instance is shown those that are linked to it.
        """
        known, own = self._catalog.current, call.identity.plugin_id
        linked = known.events if own is None else known.events_by_plugin.get(own, {})
        return call.query.of(sorted(linked.values(), key=lambda event: event.id), event_shape)

    async def add(self, call: Call[NewEvent]) -> Done:
        """Add an event."""
        new = call.body
        check_bounds(new.min_value, new.max_value)
        with unique(f"an event called {new.name!r} exists already"):
            await records.add_event(
                self._storage.signed(call.actor),
                name=new.name,
                unit=new.unit,
                type=new.type,
                min_value=new.min_value,
                max_value=new.max_value,
                user_id=call.identity.user.id,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        return done(f"event {new.name} added")

    async def show(self, call: Call) -> EventShape:
        """One event."""
        return event_shape(self._event(call.named()))

    async def change(self, call: Call[EventChange]) -> Done:
        """Change an event; its bounds must make sense afterwards."""
        changed = changes(call.body)
        now = self._event(call.named())
        check_bounds(changed.get("min_value", now.min_value), changed.get("max_value", now.max_value))
        with unique(f"an event called {call.body.name!r} exists already"):
            await records.change_event(self._storage.signed(call.actor), now.public_id, **changed)
        await self._catalog.reload()
        return done("event changed")

    async def remove(self, call: Call) -> Done:
        """Remove an event with its rules and, soon after, its readings."""
        event = self._event(call.named())
        await records.drop_event(self._storage.signed(call.actor), event.public_id)
        await self._catalog.reload()
        return done(f"event {event.name} removed")

    async def unlinked(self, _call: Call) -> list[UnlinkedShape]:
        """The event ids seen in readings that were dropped, the newest first."""
        return [
            {
                "event_public_id": entry.event_public_id,
                "count": entry.count,
                "last_value": entry.last_value,
                "first_seen": timestamp(entry.first_seen_us),
                "last_seen": timestamp(entry.last_seen_us),
            }
            for entry in self._catalog.unlinked.listed()
        ]

    def _event(self, public_id: str) -> Event:
        event = self._catalog.current.events.get(public_id)
        if event is None:
            raise NotFound(f"there is no event {public_id}")
        return event


def check_bounds(min_value: float, max_value: float) -> None:
    """Raises `InvalidMessage` for a range that has no value in it."""
    if min_value > max_value:
        raise InvalidMessage(f"min_value ({min_value:g}) is above max_value ({max_value:g})")


def event_shape(event: Event) -> EventShape:
    """What is shown of an event."""
    return {
        "public_id": event.public_id,
        "name": event.name,
        "min_value": event.min_value,
        "max_value": event.max_value,
        "unit": event.unit,
        "type": event.type,
        "user_public_id": event.user_public_id,
    }
