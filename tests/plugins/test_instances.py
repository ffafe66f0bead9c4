"""An instance of a plugin comes with its channels and their events, or not at all; on every storage."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.storage.rows import T0, snapshot
from webmacs.errors import Conflict, InvalidMessage, InvalidRows
from webmacs.model import Direction, Plugin, Role
from webmacs.plugins.base import ChannelDescription
from webmacs.plugins.instances import add_instance, make_channels
from webmacs.storage import accounts, plugins, records
from webmacs.storage.base import Storage

LEVEL = ChannelDescription("level", "Level", Direction.INPUT, "m", -1.0, 4.0)
PUMP = ChannelDescription("pump", "Pump", Direction.OUTPUT, "", 0.0, 1.0)
VALVE = ChannelDescription("valve", "Valve", Direction.BIDIRECTIONAL, "%", 0.0, 100.0)
TANK = (LEVEL, PUMP, VALVE)
DASH = "\N{EN DASH}"
NAMES = {"level": f"Tank {DASH} Level", "pump": f"Tank {DASH} Pump", "valve": f"Tank {DASH} Valve"}


async def add_tank(storage: Storage, name: str = "Tank", *, events: bool = True) -> str:
    return await add_instance(storage, plugin_id="tank", instance_name=name, channels=TANK, events=events, now_us=T0)


async def links(storage: Storage, plugin: str) -> dict[str, str | None]:
    """By channel id, the name of the event that each channel of an instance is linked to."""
    events = (await snapshot(storage)).events
    found = await plugins.channel_events(storage, plugin)
    return {channel: None if event is None else events[event].name for channel, event in found.items()}


async def test_each_channel_is_linked_to_an_event_named_for_it(storage: Storage) -> None:
    assert await links(storage, await add_tank(storage)) == NAMES


async def test_events_are_of_the_kind_the_unit_and_the_range_of_their_channel(storage: Storage) -> None:
    await add_tank(storage)
    events = (await snapshot(storage)).events.values()
    assert [(event.type, event.unit, event.min_value, event.max_value) for event in events] == [
        ("sensor", "m", -1.0, 4.0),
        ("actuator", "", 0.0, 1.0),
        ("range", "%", 0.0, 100.0),
    ]


async def test_channels_are_stored_as_they_are_described_and_in_order(storage: Storage) -> None:
    await add_tank(storage)
    found = (await snapshot(storage)).channels
    assert [(one.channel_id, one.channel_name, one.direction, one.unit) for one in found] == [
        ("level", "Level", Direction.INPUT, "m"),
        ("pump", "Pump", Direction.OUTPUT, ""),
        ("valve", "Valve", Direction.BIDIRECTIONAL, "%"),
    ]


async def test_an_instance_is_stored_as_it_is_given_and_belongs_to_whoever_gives_it(storage: Storage) -> None:
    await accounts.add_user(storage, email="a@b.org", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b.org")
    public_id = await add_instance(
        storage,
        plugin_id="tank",
        instance_name="Tank",
        channels=[LEVEL],
        now_us=T0,
        demo_mode=True,
        enabled=False,
        config_json="{}",
        user_id=user.id,
    )
    found = await snapshot(storage)
    (plugin,), (event,) = found.plugins, found.events.values()
    assert replace(plugin, id=0) == Plugin(0, public_id, "tank", "Tank", True, False, "{}", user.id, T0)
    assert event.user_public_id == user.public_id


async def test_without_events_the_channels_are_linked_to_none(storage: Storage) -> None:
    plugin = await add_tank(storage, events=False)
    assert await links(storage, plugin) == dict.fromkeys(NAMES)
    assert (await snapshot(storage)).events == {}


async def test_an_event_of_that_name_is_taken_as_it_is(storage: Storage) -> None:
    there = await records.add_event(storage, name=NAMES["pump"], unit="bar", now_us=T0, max_value=7.0)
    plugin = await add_tank(storage)
    assert (await plugins.channel_events(storage, plugin))["pump"] == there
    events = (await snapshot(storage)).events
    assert len(events) == 3
    assert (events[there].unit, events[there].type, events[there].max_value) == ("bar", "sensor", 7.0)


async def test_a_name_that_is_taken_leaves_nothing_behind(storage: Storage) -> None:
    await plugins.add_plugin(storage, plugin_id="other", instance_name="Tank", now_us=T0)
    with pytest.raises(Conflict):
        await add_tank(storage)
    found = await snapshot(storage)
    assert (len(found.plugins), found.channels, found.events) == (1, (), {})


async def test_a_channel_that_is_refused_leaves_nothing_behind(storage: Storage) -> None:
    impossible = replace(PUMP, unit="%")
    object.__setattr__(impossible, "direction", "sideways")  # it would not let itself be made
    with pytest.raises(InvalidRows):
        await add_instance(
            storage, plugin_id="tank", instance_name="Tank", channels=[LEVEL, impossible], now_us=T0, events=False
        )
    found = await snapshot(storage)
    assert (found.plugins, found.channels, found.events) == ((), (), {})


async def test_instances_added_at_the_same_moment_share_no_events_but_those_of_one_name(storage: Storage) -> None:
    await asyncio.gather(*(add_tank(storage, f"Tank {number}") for number in range(4)))
    results = await asyncio.gather(*(add_tank(storage, "Same") for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 3
    found = await snapshot(storage)
    assert (len(found.plugins), len(found.channels), len(found.events)) == (5, 15, 15)


async def test_channels_may_be_added_later(storage: Storage) -> None:
    plugin = await add_instance(storage, plugin_id="tank", instance_name="Tank", channels=[LEVEL], now_us=T0)
    await storage.write(*make_channels(plugin, "Tank", [PUMP, VALVE], now_us=T0))
    assert await links(storage, plugin) == NAMES


async def test_events_have_names_that_are_no_longer_than_those_of_others(storage: Storage) -> None:
    room = 255 - len(f" {DASH} Level")
    plugin = await add_tank(storage, "x" * room)
    assert (await links(storage, plugin))["level"] == f"{'x' * room} {DASH} Level"
    with pytest.raises(
        InvalidMessage, match="channel 'level' would have a name of 257 characters, more than 255; shorten"
    ):
        await add_tank(storage, "y" * (room + 2))
    assert len((await snapshot(storage)).plugins) == 1
    await add_tank(storage, "y" * 255, events=False)
