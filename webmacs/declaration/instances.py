"""Plugin instances of a file and their channels: what becomes of them, and which events come with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from webmacs.declaration.draft import Draft, merged
from webmacs.declaration.file import ChannelEntry, PluginEntry, place
from webmacs.declaration.problem import choice, shown
from webmacs.declaration.state import ChannelState, EventState, PluginState, Thing
from webmacs.errors import ConfigError, InvalidMessage
from webmacs.model import Direction
from webmacs.plugins.base import MAX_CHANNELS, ChannelDescription, Device
from webmacs.plugins.instances import EVENT_TYPES, event_name


class _Instance(NamedTuple):
    """An instance of which it is known what it will be; `catalog` has its plugin's channels by id.

    `known` False: there will be none, as its plugin is not installed and was expected to be.
    """

    place: str
    entry: PluginEntry
    public_id: str
    new: bool
    known: bool
    catalog: Mapping[str, ChannelDescription]


class _Channel(NamedTuple):
    """A channel before what the file says of it is heard."""

    instance: _Instance
    place: str
    entry: ChannelEntry
    thing: Thing[ChannelState] | None
    base: ChannelState


def plan_instances(draft: Draft, entries: Iterable[PluginEntry], plugins: Mapping[str, type[Device]]) -> None:
    """Instances with the events that come with them, then all channels: what one brings may be linked by another."""
    found = [
        _plan_instance(draft, where, entry, plugins)
        for where, entry in draft.numbered("plugins", entries, "instance_name")
    ]
    for channel in [channel for instance in found for channel in _channels(draft, instance)]:
        _plan_channel(draft, channel)


def _plan_instance(draft: Draft, where: str, entry: PluginEntry, plugins: Mapping[str, type[Device]]) -> _Instance:
    thing, name = draft.there.plugins.get(entry.instance_name), entry.instance_name
    plugin_id = thing.state.plugin_id if thing else entry.plugin_id or ""
    plugin = plugins.get(plugin_id)
    stored = thing.state.config_json if thing else None
    catalog = _catalog(draft, where, entry, plugin, stored) if plugin else {}
    if thing is not None and draft.left(name, thing):
        return _Instance(where, entry, thing.public_id, new=False, known=True, catalog=catalog)
    base = thing.state if thing else PluginState(name, plugin_id, demo_mode=False, enabled=True, config_json=None)
    known = thing is not None or plugin is not None or not entry.catalog_channels
    if thing is None:
        draft.needs(where, entry, f"there is no plugin instance {shown(name)} yet", "plugin_id")
        if not known and plugin_id:
            draft.problem(
                f"{where}.plugin_id",
                f"no plugin {shown(plugin_id)} is installed here ({choice(plugin_id, plugins)}); for one that is"
                " installed where the device is, add catalog_channels = false",
            )
    elif entry.plugin_id not in {None, plugin_id}:
        draft.problem(
            f"{where}.plugin_id",
            f"{shown(name)} is an instance of {shown(plugin_id)}, and cannot become one of {shown(entry.plugin_id)}:"
            " give the new one another instance_name",
        )
    now = merged(base, entry, but="plugin_id")
    if entry.config_json is not None and not _same(base.config_json, entry.config_json):
        now = replace(now, config_json=entry.config_json)
    return _Instance(where, entry, draft.step(name, thing, now), thing is None, known, catalog)


def _catalog(
    draft: Draft, where: str, entry: PluginEntry, plugin: type[Device], stored: str | None
) -> dict[str, ChannelDescription]:
    """The plugin's channels by id, with the configuration that the instance will have."""
    given = entry.config_json
    try:
        channels = plugin.channels_of(plugin.configured(stored if given is None else given))
    except ConfigError as error:
        if given is not None or stored is None:  # what was there before is no fault of the file
            draft.problem(f"{where}.config", str(error))
        return {}
    return {channel.channel_id: channel for channel in channels}


def _same(one: str | None, other: str) -> bool:
    """Whether two configurations mean the same."""
    try:
        return one is not None and bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def _channels(draft: Draft, instance: _Instance) -> Iterator[_Channel]:
    """The channels that the file names and, of a new instance, those of the catalogue; with the events they bring."""
    named: dict[str, tuple[str, ChannelEntry]] = {}
    for number, entry in enumerate(instance.entry.channels):
        where, key = f"{instance.place}.{place('channels', number)}", entry.channel_id
        if key in named:
            draft.problem(f"{where}.channel_id", f"{shown(key)} is {named[key][0]} already; leave one of them out")
        else:
            named[key] = (where, entry)
    if instance.new and instance.entry.catalog_channels:
        brought = {key: (instance.place, ChannelEntry(channel_id=key)) for key in instance.catalog}
        named = brought | named
    there = [key for name, key in draft.there.channels if name == instance.entry.instance_name]
    most = len({*there, *named})
    if most > MAX_CHANNELS:
        draft.problem(f"{instance.place}.channels", f"would be {most:,} in all, and there may be {MAX_CHANNELS:,}")
    for key, (where, entry) in named.items():
        thing = draft.there.channels.get((instance.entry.instance_name, key))
        yield _Channel(instance, where, entry, thing, thing.state if thing else _new(draft, instance, where, entry))


def _new(draft: Draft, instance: _Instance, where: str, entry: ChannelEntry) -> ChannelState:
    """A channel that is not there yet: as the catalogue has it, or else as the file will have to say."""
    described, name = instance.catalog.get(entry.channel_id), instance.entry.instance_name
    if described is None:
        if instance.known:
            why = f"{shown(name)} has no channel {shown(entry.channel_id)} yet, and the plugin's catalogue has none"
            draft.needs(where, entry, why, "channel_name", "unit")
        return ChannelState(instance.public_id, entry.channel_id, "", Direction.INPUT, "", None)
    brings = entry.event is None and instance.entry.auto_create_events
    return ChannelState(
        instance.public_id,
        entry.channel_id,
        described.name,
        described.direction,
        described.unit,
        _event_for(draft, where, name, described) if brings else None,
    )


def _event_for(draft: Draft, where: str, instance_name: str, channel: ChannelDescription) -> str | None:
    """The event that is named for a channel, made if there is none of that name."""
    try:
        name = event_name(instance_name, channel)
    except InvalidMessage as error:
        draft.problem(where, str(error))
        return None
    if name not in draft.event_ids:
        kind = EVENT_TYPES[channel.direction]
        now = EventState(name, channel.unit, kind, float(channel.min_value), float(channel.max_value))
        draft.event_ids[name] = draft.step(name, None, now)
    return draft.event_ids[name]


def _plan_channel(draft: Draft, channel: _Channel) -> None:
    entry = channel.entry
    name = f"{channel.instance.entry.instance_name} / {entry.channel_id}"
    if draft.left(name, channel.thing):
        return
    now = merged(channel.base, entry, but="event")
    if entry.event is not None:
        now = replace(now, event=draft.event(f"{channel.place}.event", entry.event) if entry.event else None)
    draft.step(name, channel.thing, now)
