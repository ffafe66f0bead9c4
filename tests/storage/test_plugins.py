"""Plugin instances, their channels and what those are linked to, on every storage."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

import pytest

from tests.storage.rows import T0, commit, new_event, new_rule, reading, snapshot
from webmacs.errors import Conflict, NotFound
from webmacs.model import Channel, Direction, Event, Plugin, Role, Scalar, Write
from webmacs.storage import accounts, dashboards, plugins, records
from webmacs.storage.base import Storage


async def add_plugin(storage: Storage, name: str = "Rig", *, enabled: bool = True) -> str:
    return await plugins.add_plugin(storage, plugin_id="test", instance_name=name, now_us=T0, enabled=enabled)


async def add_channel(storage: Storage, plugin: str, event: str | None, channel_id: str = "in0") -> str:
    return await plugins.add_channel(
        storage, plugin=plugin, channel_id=channel_id, channel_name="In", unit="V", event=event, now_us=T0
    )


async def linked(storage: Storage) -> set[str]:
    return {event.name for event in (await snapshot(storage)).linked.values()}


async def names(storage: Storage) -> list[str]:
    """Of the events that there are."""
    return [event.name for event in (await snapshot(storage)).events.values()]


async def test_events_are_linked_by_channels_of_enabled_plugin_instances(storage: Storage) -> None:
    events = [await new_event(storage, name) for name in ("on", "off", "both", "spare")]
    on, off = await add_plugin(storage, "On"), await add_plugin(storage, "Off", enabled=False)
    await add_channel(storage, on, events[0].public_id, "a")
    await add_channel(storage, off, events[1].public_id, "a")
    await add_channel(storage, on, events[2].public_id, "b")
    await add_channel(storage, off, events[2].public_id, "b")
    await add_channel(storage, on, None, "c")
    assert await linked(storage) == {"on", "both"}
    await plugins.enable_plugin(storage, on, enabled=False)
    assert await linked(storage) == set()
    await plugins.enable_plugin(storage, off, enabled=True)
    assert await linked(storage) == {"off", "both"}


async def test_an_instance_comes_back_as_it_was_added_and_as_it_was_changed(storage: Storage) -> None:
    public_id = await plugins.add_plugin(
        storage, plugin_id="test", instance_name="Rig", now_us=T0, demo_mode=True, enabled=False
    )
    [plugin] = (await snapshot(storage)).plugins
    assert plugin == Plugin(plugin.id, public_id, "test", "Rig", True, False, None, None, T0)
    changed: dict[str, Scalar] = {
        "instance_name": "New",
        "demo_mode": 0,
        "enabled": 1,
        "config_json": "{}",
        "updated_us": T0 + 1,
    }
    await plugins.change_plugin(storage, public_id, **changed)
    [found] = (await snapshot(storage)).plugins
    assert found == Plugin(plugin.id, public_id, "test", "New", False, True, "{}", None, T0, T0 + 1)


async def test_a_channel_comes_back_as_it_was_added(storage: Storage) -> None:
    plugin, event = await add_plugin(storage), await new_event(storage)
    public_id = await plugins.add_channel(
        storage,
        plugin=plugin,
        channel_id="out0",
        channel_name="Out",
        unit="",
        event=event.public_id,
        now_us=T0,
        direction="output",
    )
    found = await snapshot(storage)
    [channel] = found.channels
    of = found.plugins[0].id
    assert channel == Channel(channel.id, public_id, of, "out0", "Out", Direction.OUTPUT, "", event.id, T0)


async def test_names_of_instances_and_ids_of_their_channels_that_are_taken_are_conflicts(storage: Storage) -> None:
    plugin, other = await add_plugin(storage, "Rig"), await add_plugin(storage, "Other")
    await add_channel(storage, plugin, None)
    await add_channel(storage, other, None)  # of another instance it may have that id
    for attempt in (
        add_plugin(storage, "Rig"),
        plugins.change_plugin(storage, other, instance_name="Rig"),
        add_channel(storage, plugin, None),
    ):
        with pytest.raises(Conflict):
            await attempt


async def test_a_channel_outlives_its_event(storage: Storage) -> None:
    event, plugin = await new_event(storage), await add_plugin(storage)
    await add_channel(storage, plugin, event.public_id)
    await records.remove_event(storage, event.public_id)
    assert await plugins.channel_events(storage, plugin) == {"in0": None}


async def test_the_channels_of_a_plugin_instance_are_told_with_their_events(storage: Storage) -> None:
    event, plugin, other = await new_event(storage), await add_plugin(storage, "A"), await add_plugin(storage, "B")
    await add_channel(storage, plugin, event.public_id, "in0")
    await add_channel(storage, plugin, None, "in1")
    await add_channel(storage, other, event.public_id, "in2")
    assert await plugins.channel_events(storage, plugin) == {"in0": event.public_id, "in1": None}


async def test_a_channel_of_no_plugin_instance_is_refused(storage: Storage) -> None:
    with pytest.raises(NotFound, match="there is no plugin instance abc"):
        await add_channel(storage, "abc", None)
    assert (await snapshot(storage)).channels == ()


async def test_a_channel_of_an_event_that_is_not_there_is_linked_to_none(storage: Storage) -> None:
    plugin = await add_plugin(storage)
    await add_channel(storage, plugin, "abc")
    assert await plugins.channel_events(storage, plugin) == {"in0": None}


async def test_a_channel_is_linked_to_another_event_and_to_none(storage: Storage) -> None:
    plugin, event, other = await add_plugin(storage), await new_event(storage, "a"), await new_event(storage, "b")
    channel = await add_channel(storage, plugin, event.public_id)
    await add_channel(storage, plugin, event.public_id, "in1")
    for link in (other.public_id, None):
        await plugins.change_link(storage, channel, link)
        assert await plugins.channel_events(storage, plugin) == {"in0": link, "in1": event.public_id}


async def test_a_channel_goes_and_its_event_stays(storage: Storage) -> None:
    plugin, event = await add_plugin(storage), await new_event(storage)
    channel = await add_channel(storage, plugin, event.public_id)
    await plugins.remove_channel(storage, channel)
    assert (await snapshot(storage)).channels == ()
    assert await names(storage) == [event.name]


@pytest.mark.parametrize(
    ("attempt", "what"),
    [
        (lambda storage: plugins.change_plugin(storage, "abc", enabled=0), "plugin instance"),
        (lambda storage: plugins.remove_plugin(storage, "abc"), "plugin instance"),
        (lambda storage: plugins.change_link(storage, "abc", None), "channel"),
        (lambda storage: plugins.remove_channel(storage, "abc"), "channel"),
    ],
)
async def test_what_is_not_there_is_not_found(
    storage: Storage, attempt: Callable[[Storage], Awaitable[None]], what: str
) -> None:
    with pytest.raises(NotFound, match=f"there is no {what} abc"):
        await attempt(storage)


async def test_a_plugin_instance_is_found_by_name(storage: Storage) -> None:
    assert await plugins.plugin_named(storage, "Rig") is None
    public_id = await add_plugin(storage, "Rig")
    assert await plugins.plugin_named(storage, "Rig") == public_id


# -- what goes with an instance --------------------------------------------------------------------------------------


async def measure(storage: Storage, event: Event) -> None:
    await storage.append(await commit(storage, 1, [reading(1.0, event)]))


async def sum_up(storage: Storage, event: Event) -> None:
    """As if the readings had gone by their age, and what was made of them had not."""
    columns = "start_us, count, min_value, min_us, min_id, max_value, max_us, max_id"
    row = {"event_id": event.id, "time_us": T0}
    values = ":time_us, 1, 1.0, :time_us, 1, 1.0, :time_us, 1"
    await storage.write(Write(f"INSERT INTO rollups (event_id, {columns}) VALUES (:event_id, {values})", (row,)))


async def link_elsewhere(storage: Storage, event: Event) -> None:
    await add_channel(storage, await add_plugin(storage, "Other", enabled=False), event.public_id)


async def draw(storage: Storage, event: Event) -> None:
    await accounts.add_user(storage, email="a@b.org", username="a", password_hash="", role=Role.ADMIN, now_us=T0)
    owner, _ = await accounts.user_by_email(storage, "a@b.org")
    dashboard = await dashboards.add_dashboard(storage, name="Board", is_global=True, user_id=owner.id, now_us=T0)
    await dashboards.add_widget(
        storage, dashboard.public_id, widget_type="gauge", title="Gauge", event=event.public_id, now_us=T0
    )


@pytest.mark.parametrize("need", [measure, sum_up, link_elsewhere, draw, new_rule])
async def test_of_the_events_of_an_instance_that_is_removed_those_stay_that_something_needs(
    storage: Storage, need: Callable[[Storage, Event], Awaitable[object]]
) -> None:
    plugin = await add_plugin(storage)
    needed, spare = await new_event(storage, "needed"), await new_event(storage, "spare")
    await new_event(storage, "never linked")
    await add_channel(storage, plugin, needed.public_id, "in0")
    await add_channel(storage, plugin, spare.public_id, "in1")
    await add_channel(storage, plugin, spare.public_id, "in2")
    await add_channel(storage, plugin, None, "in3")
    await need(storage, needed)
    await plugins.remove_plugin(storage, plugin)
    assert await names(storage) == ["needed", "never linked"]
    assert await plugins.plugin_named(storage, "Rig") is None
    assert await plugins.channel_events(storage, plugin) == {}


async def test_what_was_measured_outlasts_its_instance(storage: Storage) -> None:
    plugin, event = await add_plugin(storage), await new_event(storage)
    await add_channel(storage, plugin, event.public_id)
    await measure(storage, event)
    await plugins.remove_plugin(storage, plugin)
    [kept] = await storage.latest(await snapshot(storage))
    assert (kept.event, kept.value) == (event, 1.0)


# -- claims ------------------------------------------------------------------------------------------------------------


def claim(event: str, channel_id: str = "in0", instance: str = "Rig") -> Write:
    return plugins.claim_channel(
        str(uuid.uuid4()),
        instance_name=instance,
        channel_id=channel_id,
        channel_name="In",
        unit="",
        event=event,
        now_us=T0,
    )


async def test_a_channel_is_claimed_for_an_event_made_or_linked_again(storage: Storage) -> None:
    rig, event = await add_plugin(storage), await new_event(storage)
    await storage.write(claim(event.public_id))
    [first] = (await snapshot(storage)).channels
    assert first == Channel(first.id, first.public_id, first.plugin_id, "in0", "In", Direction.INPUT, "", event.id, T0)
    await plugins.change_link(storage, first.public_id, None)
    assert await linked(storage) == set()
    await storage.write(claim(event.public_id))
    assert (await snapshot(storage)).channels == (first,)
    assert await plugins.channel_events(storage, rig) == {"in0": event.public_id}


async def test_what_cannot_be_claimed_undoes_all_that_was_to_come_with_it(storage: Storage) -> None:
    rig, event, other = await add_plugin(storage), await new_event(storage), await new_event(storage, "Other")
    await add_plugin(storage, "Off", enabled=False)
    await add_channel(storage, rig, other.public_id)
    new = records.make_event("new", name="New", unit="", now_us=T0)
    for impossible in (
        claim(event.public_id),
        claim("nothing", "in1"),
        claim(event.public_id, "in1", "Off"),
        claim(event.public_id, "in1", "Nothing"),
    ):
        with pytest.raises(Conflict):
            await storage.write(new, impossible)
    assert await names(storage) == ["Sensor", "Other"]
    assert await plugins.channel_events(storage, rig) == {"in0": other.public_id}


async def test_an_instance_may_be_added_unless_there_is_one(storage: Storage) -> None:
    for public_id in ("first", "second"):
        await storage.write(
            plugins.make_plugin(public_id, plugin_id="test", instance_name="Rig", now_us=T0, unless_taken=True)
        )
    assert [plugin.public_id for plugin in (await snapshot(storage)).plugins] == ["first"]
