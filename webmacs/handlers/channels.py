"""`/plugins/{id}/channels`: the quantities of a plugin instance, each linked to an event or to none."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog, Snapshot
from webmacs.clock import Clock
from webmacs.errors import Conflict, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Done, Text, Timestamp, changes, done, timestamp, unique, unset
from webmacs.model import Channel, Direction, Identity, Plugin, Role
from webmacs.plugins.base import MAX_CHANNELS, MAX_ID, MAX_UNIT
from webmacs.storage import plugins
from webmacs.storage.base import Storage

ChannelId = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=r"^[^\x00]*$")]
Unit = Annotated[str, Field(min_length=1, max_length=MAX_UNIT, pattern=r"^[^\x00]*$")]


class ChannelShape(TypedDict):
    """A channel."""

    public_id: str
    channel_id: str
    channel_name: str
    direction: Direction
    unit: str
    event_public_id: str | None
    created_on: Timestamp


class NewChannel(BaseModel):
    """A new channel; `channel_id` is what the device calls it."""

    channel_id: ChannelId
    channel_name: Text
    direction: Direction
    unit: Unit
    event_public_id: Text | None = None


class ChannelChange(BaseModel):
    """What changes; `event_public_id` null links the channel to none."""

    event_public_id: Text | None = unset()


class ChannelRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every = f"{PREFIX}/plugins/{{public_id}}/channels"
        one = f"{every}/{{mapping_id}}"
        routes.add("GET", every, self.listed, own=True)
        routes.add("POST", every, self.add, needs=Role.ADMIN, status=201, fails=(409,))
        routes.add("PUT", one, self.change, needs=Role.ADMIN)
        routes.add("DELETE", one, self.remove, needs=Role.ADMIN)

    async def listed(self, call: Call) -> list[ChannelShape]:
        """The channels of an instance, the oldest first."""
        catalog = self._catalog.current
        instance = instance_of(catalog, call.named(), call.identity)
        return [channel_shape(channel, catalog) for channel in catalog.channels_by_plugin.get(instance.id, ())]

    async def add(self, call: Call[NewChannel]) -> Done:
        """Add a channel to an instance."""
        new, instance = call.body, self._instance(call.named())
        self._check(new.event_public_id)
        if len(self._catalog.current.channels_by_plugin.get(instance.id, ())) >= MAX_CHANNELS:
            raise Conflict(f"{instance.instance_name} has {MAX_CHANNELS:,} channels, and there may be no more")
        with unique(f"{instance.instance_name} has a channel {new.channel_id!r} already"):
            await plugins.add_channel(
                self._storage.signed(call.actor),
                plugin=instance.public_id,
                channel_id=new.channel_id,
                channel_name=new.channel_name,
                direction=new.direction,
                unit=new.unit,
                event=new.event_public_id,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        return done(f"channel {new.channel_id} added")

    async def change(self, call: Call[ChannelChange]) -> Done:
        """Link a channel to another event, or to none."""
        changed, channel = changes(call.body), self._channel(call.named(), call.named("mapping_id"))
        if "event_public_id" in changed:
            self._check(changed["event_public_id"])
            await plugins.change_link(self._storage.signed(call.actor), channel.public_id, changed["event_public_id"])
            await self._catalog.reload()
        return done("channel changed")

    async def remove(self, call: Call) -> Done:
        """Remove a channel; its event stays."""
        channel = self._channel(call.named(), call.named("mapping_id"))
        await plugins.remove_channel(self._storage.signed(call.actor), channel.public_id)
        await self._catalog.reload()
        return done(f"channel {channel.channel_id} removed")

    def _instance(self, public_id: str) -> Plugin:
        return instance_of(self._catalog.current, public_id)

    def _channel(self, plugin: str, public_id: str) -> Channel:
        """Raises `NotFound` also for a channel of another instance."""
        instance = self._instance(plugin)
        for channel in self._catalog.current.channels_by_plugin.get(instance.id, ()):
            if channel.public_id == public_id:
                return channel
        raise NotFound(f"there is no channel {public_id} of {instance.instance_name}")

    def _check(self, event: str | None) -> None:
        if event is not None and event not in self._catalog.current.events:
            raise NotFound(f"there is no event {event}")


def instance_of(catalog: Snapshot, public_id: str, caller: Identity | None = None) -> Plugin:
    """The plugin instance of that public id. For a caller who speaks for one alone, there are no others.

    Raises `NotFound`.
    """
    instance = catalog.plugins_by_public_id.get(public_id)
    if instance is None or (caller is not None and caller.plugin_id not in {None, instance.id}):
        raise NotFound(f"there is no plugin instance {public_id}")
    return instance


def channel_shape(channel: Channel, catalog: Snapshot) -> ChannelShape:
    """What is shown of a channel."""
    event = catalog.events_by_id.get(channel.event_id or 0)
    return {
        "public_id": channel.public_id,
        "channel_id": channel.channel_id,
        "channel_name": channel.channel_name,
        "direction": channel.direction,
        "unit": channel.unit,
        "event_public_id": event.public_id if event else None,
        "created_on": timestamp(channel.created_us),
    }
