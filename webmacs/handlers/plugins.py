"""`/plugins`: instances of plugins, which plugins there are to make some of, and the packages those came with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import ConfigError, InvalidMessage
from webmacs.handlers.channels import ChannelShape, channel_shape, instance_of
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import (
    Call,
    Done,
    Page,
    PageQuery,
    Text,
    Timestamp,
    changes,
    done,
    parsed,
    timestamp,
    unique,
    unset,
)
from webmacs.latest import LatestValues
from webmacs.model import Channel, Direction, Identity, Plugin, Role, Scope
from webmacs.plugins.base import MAX_ID, ChannelDescription
from webmacs.plugins.installed import Installed
from webmacs.plugins.instances import add_instance
from webmacs.statuses import Said, Status, Statuses
from webmacs.storage import plugins
from webmacs.storage.base import Storage

MAX_CONFIG_LENGTH: Final = 16_384


def _json_object(text: str) -> str:
    try:
        found = parsed(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a text that holds a JSON object")  # noqa: TRY004 - which pydantic would let through
    return text


Config = Annotated[str, Field(max_length=MAX_CONFIG_LENGTH), AfterValidator(_json_object)]
PluginId = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=r"^[^\x00]*$")]


class InstanceShape(TypedDict):
    """An instance of a plugin with its channels, the oldest first.

    `status` is what its controller says, or else what its readings tell; `last_seen` is when either was heard of last.
    `config_json` may hold the password of a device: it is null for viewers, and for tokens that only read.
    """

    public_id: str
    plugin_id: str
    instance_name: str
    demo_mode: bool
    enabled: bool
    status: Status
    config_json: str | None
    error_message: str | None
    last_seen: Timestamp | None
    created_on: Timestamp
    updated_on: Timestamp | None
    user_public_id: str
    channel_mappings: list[ChannelShape]


class AvailableShape(TypedDict):
    """A plugin that instances can be made of."""

    id: str
    name: str
    version: str
    vendor: str
    description: str
    url: str | None


class PackageShape(TypedDict):
    """An installed package that brings plugins. It came by pip and goes by pip."""

    public_id: str
    package_name: str
    version: str
    source: Literal["bundled"]
    plugin_ids: list[str]
    file_size_bytes: int | None
    installed_on: Timestamp | None
    removable: bool


class NewInstance(BaseModel):
    """A new instance of a plugin, with a channel for each that the plugin has. With `auto_create_events`, each channel
    is linked to an event of its own.
    """

    plugin_id: PluginId
    instance_name: Text
    demo_mode: bool = False
    enabled: bool = True
    auto_create_events: bool = True
    config_json: Config | None = None


class InstanceChange(BaseModel):
    """What changes; the rest stays, and so do the channels and their events."""

    instance_name: Text = unset()
    demo_mode: bool = unset()
    enabled: bool = unset()
    config_json: Config | None = unset()


class PluginRoutes:
    """The handlers of the resource. Of an instance nothing was heard lately if its newest reading is older than
    `quiet_s`, and what its controller says of it, too.
    """

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        latest: LatestValues,
        statuses: Statuses,
        installed: Installed,
        clock: Clock,
        quiet_s: float,
    ) -> None:
        self._storage, self._catalog, self._latest, self._clock = storage, catalog, latest, clock
        self._statuses, self._installed = statuses, installed
        self._quiet_us = int(quiet_s * 1e6)

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/plugins", f"{PREFIX}/plugins/{{public_id}}"
        routes.add("GET", every, self.listed, own=True)
        routes.add("POST", every, self.add, needs=Role.ADMIN, status=201, fails=(409,))
        routes.add("GET", f"{every}/available", self.available)
        routes.add("GET", f"{every}/packages", self.packages)
        routes.add("GET", one, self.show, own=True)
        routes.add("PUT", one, self.change, needs=Role.ADMIN, fails=(409,))
        routes.add("DELETE", one, self.remove, needs=Role.ADMIN)

    async def available(self, _call: Call) -> list[AvailableShape]:
        """The plugins that are installed here."""
        return [
            {
                "id": plugin.id,
                "name": plugin.name,
                "version": plugin.version,
                "vendor": plugin.vendor,
                "description": plugin.description,
                "url": plugin.url,
            }
            for plugin in (device.description for device in self._installed.plugins.values())
        ]

    async def packages(self, _call: Call) -> list[PackageShape]:
        """The installed packages that bring plugins, also those whose plugins are broken."""
        return [
            {
                "public_id": package.name,
                "package_name": package.name,
                "version": package.version,
                "source": "bundled",
                "plugin_ids": list(package.plugin_ids),
                "file_size_bytes": None,
                "installed_on": None,
                "removable": False,
            }
            for package in self._installed.packages
        ]

    async def listed(self, call: Call[None, PageQuery]) -> Page[InstanceShape]:
        """A page of instances: those that are switched on, the oldest first, then those that are not.

        A token of scope `ingest` that is bound to an instance is shown that one alone.
        """
        # A controller reads the first page and stops what is not on it, so nothing that runs may slide off that page.
        plugins, own = self._catalog.current.plugins, call.identity.plugin_id
        instances = sorted((one for one in plugins if own in {None, one.id}), key=lambda one: not one.enabled)
        return call.query.of(instances, lambda instance: self._shape(instance, call.identity))

    async def add(self, call: Call[NewInstance]) -> Done:
        """Add an instance with its channels, those that its plugin has with that configuration.

        One of a plugin that is not installed here has none yet: it may be installed where the device is.
        """
        new = call.body
        channels = self._channels(new.plugin_id, new.config_json)
        with unique(_taken(new.instance_name)):
            await add_instance(
                self._storage.signed(call.actor),
                plugin_id=new.plugin_id,
                instance_name=new.instance_name,
                channels=channels or (),
                events=new.auto_create_events,
                demo_mode=new.demo_mode,
                enabled=new.enabled,
                config_json=new.config_json,
                user_id=call.identity.user.id,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        if channels is None:
            return done(
                f"plugin instance {new.instance_name} added without channels: no {new.plugin_id!r} is installed here,"
                f" there are {', '.join(self._installed.plugins)}; add its channels one by one"
            )
        return done(f"plugin instance {new.instance_name} added")

    async def show(self, call: Call) -> InstanceShape:
        """One instance."""
        return self._shape(instance_of(self._catalog.current, call.named(), call.identity), call.identity)

    async def change(self, call: Call[InstanceChange]) -> Done:
        """Change an instance. Its events keep their names, and its channels stay as they are."""
        changed = changes(call.body)
        now = self._instance(call.named())
        if "config_json" in changed and changed["config_json"] != now.config_json:
            self._channels(now.plugin_id, changed["config_json"])
        if any(getattr(now, name) != value for name, value in changed.items()):
            changed["updated_us"] = self._clock.now_us()
        with unique(_taken(call.body.instance_name)):
            await plugins.change_plugin(self._storage.signed(call.actor), now.public_id, **changed)
        await self._catalog.reload()
        return done("plugin instance changed")

    async def remove(self, call: Call) -> Done:
        """Remove an instance with its channels. What was measured stays, and so do events that others need."""
        instance = self._instance(call.named())
        await plugins.remove_plugin(self._storage.signed(call.actor), instance.public_id)
        await self._catalog.reload()
        return done(f"plugin instance {instance.instance_name} removed")

    def _channels(self, plugin_id: str, config_json: str | None) -> Sequence[ChannelDescription] | None:
        """Those of an instance; None: its plugin is not installed here. Raises `InvalidMessage`."""
        plugin = self._installed.plugins.get(plugin_id)
        if plugin is None:
            return None
        try:
            return plugin.channels_of(plugin.configured(config_json))
        except ConfigError as error:
            raise InvalidMessage(f"config_json: {error}") from error

    def _instance(self, public_id: str) -> Plugin:
        return instance_of(self._catalog.current, public_id)

    def _shape(self, instance: Plugin, caller: Identity) -> InstanceShape:
        catalog = self._catalog.current
        trusted = caller.scope.covers(Scope.FULL) or caller.plugin_id == instance.id
        configures = caller.user.role.covers(Role.OPERATOR) and trusted
        user = catalog.users_by_id.get(instance.user_id or 0)
        channels = catalog.channels_by_plugin.get(instance.id, ())
        said, measured_us = self._statuses.of(instance.id), self._newest_us(channels)
        status = self._status(instance, said, measured_us)
        said_us = None if said is None else said.time_us
        heard_us = [time_us for time_us in (measured_us, said_us) if time_us is not None]
        return {
            "public_id": instance.public_id,
            "plugin_id": instance.plugin_id,
            "instance_name": instance.instance_name,
            "demo_mode": instance.demo_mode,
            "enabled": instance.enabled,
            "status": status,
            "config_json": instance.config_json if configures else None,
            "error_message": said.report.message if said is not None and status is Status.ERROR else None,
            "last_seen": timestamp(max(heard_us)) if heard_us else None,
            "created_on": timestamp(instance.created_us),
            "updated_on": None if instance.updated_us is None else timestamp(instance.updated_us),
            "user_public_id": user.public_id if user else "",
            "channel_mappings": [channel_shape(channel, catalog) for channel in channels],
        }

    def _newest_us(self, channels: Sequence[Channel]) -> int | None:
        """When something came from the device last. Values of outputs do not: people write those."""
        newest = self._latest.all()
        told = [newest.get(channel.event_id or 0) for channel in channels if channel.direction is not Direction.OUTPUT]
        return max((datapoint.time_us for datapoint in told if datapoint is not None), default=None)

    def _status(self, instance: Plugin, said: Said | None, measured_us: int | None) -> Status:
        """The controller knows best, as long as it says anything; then what comes from the device tells."""
        if not instance.enabled:
            return Status.INACTIVE
        if said is not None and said.fresh:
            return said.report.status
        if measured_us is None or measured_us < self._clock.now_us() - self._quiet_us:
            return Status.INACTIVE
        return Status.DEMO if instance.demo_mode else Status.CONNECTED


def _taken(name: str) -> str:
    return f"a plugin instance called {name!r} exists already"
