"""`/events`: what is measured, and what arrives without being linked."""

from __future__ import annotations

from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Page, PageQuery, Timestamp, timestamp
from webmacs.model import Event


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


class EventRoutes:
    """The handlers of the resource."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/events", self.listed)
        routes.add("GET", f"{PREFIX}/events/unlinked", self.unlinked)

    async def listed(self, call: Call[None, PageQuery]) -> Page[EventShape]:
        """A page of events, the oldest first."""
        return call.query.of([_shape(event) for event in self._catalog.current.events.values()])

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


def _shape(event: Event) -> EventShape:
    return {
        "public_id": event.public_id,
        "name": event.name,
        "min_value": event.min_value,
        "max_value": event.max_value,
        "unit": event.unit,
        "type": event.type,
        "user_public_id": event.user_public_id,
    }
