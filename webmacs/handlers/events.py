"""`/events`: what is measured, and what arrives without being linked."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from webmacs.catalog import Catalog
from webmacs.errors import InvalidMessage
from webmacs.handlers.http import PREFIX, Routes, timestamp
from webmacs.model import Event

MAX_PAGE_SIZE = 100
MAX_PAGE = 2**31


class EventRoutes:
    """The handlers of the resource."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/events", self.listed)
        routes.add("GET", f"{PREFIX}/events/unlinked", self.unlinked)

    async def listed(self, request: web.Request) -> web.Response:
        """A page of events, the oldest first."""
        page = _whole(request, "page", 1, MAX_PAGE)
        page_size = _whole(request, "page_size", 25, MAX_PAGE_SIZE)
        events = list(self._catalog.current.events.values())
        start = (page - 1) * page_size
        return web.json_response(
            {
                "page": page,
                "page_size": page_size,
                "total": len(events),
                "data": [_event(event) for event in events[start : start + page_size]],
            }
        )

    async def unlinked(self, _request: web.Request) -> web.Response:
        """The event ids seen in readings that were dropped, the newest first."""
        return web.json_response(
            [
                {
                    "event_public_id": entry.event_public_id,
                    "count": entry.count,
                    "last_value": entry.last_value,
                    "first_seen": timestamp(entry.first_seen_us),
                    "last_seen": timestamp(entry.last_seen_us),
                }
                for entry in self._catalog.unlinked.listed()
            ]
        )


def _event(event: Event) -> dict[str, Any]:
    return {
        "public_id": event.public_id,
        "name": event.name,
        "min_value": event.min_value,
        "max_value": event.max_value,
        "unit": event.unit,
        "type": event.type,
        "user_public_id": event.user_public_id,
    }


def _whole(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= most):  # noqa: PLR2004
        raise InvalidMessage(f"{name}: must be a whole number from 1 to {most}")
    return int(text)
