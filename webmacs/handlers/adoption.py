"""`/events/unlinked/adopt`: an id that arrives in vain becomes an event whose readings are stored."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field

from webmacs.catalog import Catalog, Snapshot
from webmacs.clock import Clock
from webmacs.errors import Conflict, InvalidMessage
from webmacs.handlers.channels import instance_of
from webmacs.handlers.events import EventShape, EventType, check_bounds, event_shape
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Number, Text
from webmacs.model import Role, Write
from webmacs.pipeline.validate import EventId
from webmacs.plugins.adoption import INSTANCE_NAME, adopt
from webmacs.plugins.base import MAX_CHANNELS
from webmacs.storage import records
from webmacs.storage.base import Storage

NEEDED: Final = ("name", "unit", "min_value", "max_value")


class Adoption(BaseModel):
    """An id and what its event is to be; of an event that is there already, the rest is not looked at.

    Without `plugin_public_id` it is linked to the plugin instance "Adopted readings", which is made if it is not there.
    """

    event_public_id: EventId
    name: Text | None = None
    unit: Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")] | None = None
    min_value: Number | None = None
    max_value: Number | None = None
    type: EventType = "sensor"
    plugin_public_id: Text | None = None


class AdoptionRoutes:
    """The handler of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the route."""
        path = f"{PREFIX}/events/unlinked/adopt"
        routes.add("POST", path, self.adopt, needs=Role.ADMIN, status=201, fails=(404, 409))

    async def adopt(self, call: Call[Adoption]) -> EventShape:
        """Have the readings of an id stored from the next one on: an event of that id, linked to a plugin instance.

        The answer is what is shown of the event. One that is there already keeps its name and all else.
        """
        body, known, now_us = call.body, self._catalog.current, self._clock.now_us()
        event, user_id = known.events.get(body.event_public_id), call.identity.user.id
        new = None if event is not None else _event(body, now_us=now_us, user_id=user_id)
        instance_name = INSTANCE_NAME
        if body.plugin_public_id is not None:
            instance_name = instance_of(known, body.plugin_public_id).instance_name
        _check(known, body, instance_name)
        try:
            await adopt(
                self._storage.signed(call.actor),
                body.event_public_id,
                name=event.name if event else body.name or "",
                unit=event.unit if event else body.unit or "",
                new=new,
                instance_name=instance_name,
                user_id=user_id,
                now_us=now_us,
            )
        except Conflict:
            await self._catalog.reload()  # what is in the way may be a moment old
            _check(self._catalog.current, body, instance_name)
            raise Conflict("somebody has changed the event or the plugin instance meanwhile; try again") from None
        await self._catalog.reload()
        adopted = self._catalog.current.events.get(body.event_public_id)
        if adopted is None:
            raise Conflict(f"event {body.event_public_id} was removed at the same moment")
        return event_shape(adopted)


def _event(body: Adoption, *, now_us: int, user_id: int) -> Write:
    """The event to make. Raises `InvalidMessage`."""
    missing = [field for field in NEEDED if getattr(body, field) is None]
    if body.name is None or body.unit is None or body.min_value is None or body.max_value is None:
        raise InvalidMessage(f"{', '.join(missing)}: needed, as there is no event {body.event_public_id} yet")
    check_bounds(body.min_value, body.max_value)
    return records.make_event(
        body.event_public_id,
        name=body.name,
        unit=body.unit,
        type=body.type,
        min_value=body.min_value,
        max_value=body.max_value,
        user_id=user_id,
        now_us=now_us,
    )


def _check(known: Snapshot, body: Adoption, instance_name: str) -> None:
    """Raises `Conflict` for what is in the way."""
    event = known.events.get(body.event_public_id)
    if body.event_public_id in known.linked:
        raise Conflict(f"event {body.event_public_id} is linked already")
    if event is None and any(other.name == body.name for other in known.events.values()):
        raise Conflict(f"an event called {body.name!r} exists already")
    instance = next((plugin for plugin in known.plugins if plugin.instance_name == instance_name), None)
    if instance is None:
        return
    if not instance.enabled:
        raise Conflict(f"plugin instance {instance_name!r} is switched off; switch it on first")
    channels = known.channels_by_plugin.get(instance.id, ())
    same = next((channel for channel in channels if channel.channel_id == body.event_public_id), None)
    if same is not None and same.event_id is not None:
        raise Conflict(f"{instance_name} has a channel {same.channel_id!r} already, which is linked to something else")
    if same is None and len(channels) >= MAX_CHANNELS:
        raise Conflict(
            f"{instance_name} has {MAX_CHANNELS:,} channels, and there may be no more; name another instance"
        )
