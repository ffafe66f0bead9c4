"""`/plugins/{id}/channels`, row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.handlers.rest import (
    API,
    EVENTS,
    NO_CHOICE,
    PLUGINS,
    TIMESTAMP,
    alone,
    everything,
    made,
    rest,
    shown,
    with_one,
)
from tests.handlers.test_plugins import bare, path_of
from tests.plant import Server
from tests.wire import Reply
from webmacs.model import Role, Write
from webmacs.plugins.base import MAX_CHANNELS

pytestmark = pytest.mark.asyncio(loop_scope="module")

VALVE: dict[str, object] = {"channel_id": "valve", "channel_name": "Valve", "direction": "bidirectional", "unit": "%"}


async def listed(server: Server, instance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its channels."""
    reply = await rest(server, "GET", f"{path_of(instance)}/channels", role=Role.VIEWER)
    assert reply.status == 200
    found: list[dict[str, Any]] = reply.body
    assert found == (await shown(server, PLUGINS, instance["public_id"]))["channel_mappings"]
    return found


async def added(server: Server, instance: Mapping[str, Any], **more: object) -> Reply:
    return await rest(server, "POST", f"{path_of(instance)}/channels", {**VALVE, **more})


async def test_a_channel_is_added_linked_and_removed(shared: Server) -> None:
    instance = await bare(shared)
    before = await listed(shared, instance)
    reply = await added(shared, instance, more=1)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": "channel valve added"})
    *rest_of_them, channel = await listed(shared, instance)
    assert rest_of_them == before
    assert re.fullmatch(TIMESTAMP, channel["created_on"])
    created = {"public_id": channel["public_id"], "created_on": channel["created_on"]}
    assert channel == {**VALVE, **created, "event_public_id": None}
    path = f"{path_of(instance)}/channels/{channel['public_id']}"
    for link in (shared.plant.unlinked, shared.plant.linked[0], None):
        reply = await rest(shared, "PUT", path, {"event_public_id": link, "unit": "V"})
        assert (reply.status, reply.body) == (200, {"status": "success", "message": "channel changed"})
        assert (await listed(shared, instance))[-1] == {**channel, "event_public_id": link}
    reply = await rest(shared, "DELETE", path)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "channel valve removed"})
    assert await listed(shared, instance) == before


async def test_a_change_of_nothing_leaves_the_link(shared: Server) -> None:
    instance = await bare(shared)
    await added(shared, instance, event_public_id=shared.plant.unlinked)
    channel = (await listed(shared, instance))[-1]
    assert channel["event_public_id"] == shared.plant.unlinked
    assert (await rest(shared, "PUT", f"{path_of(instance)}/channels/{channel['public_id']}", {})).status == 200
    assert (await listed(shared, instance))[-1] == channel


async def test_a_channel_that_is_there_already_is_409(shared: Server) -> None:
    instance, other = await bare(shared), await bare(shared)
    replies = [await added(shared, one) for one in (instance, instance, other)]
    assert [reply.status for reply in replies] == [201, 409, 201]
    assert replies[1].detail == f"{instance['instance_name']} has a channel 'valve' already"
    assert len(await listed(shared, instance)) == 8


async def test_an_event_that_is_not_there_is_404_and_nothing_is_stored(shared: Server) -> None:
    instance = await bare(shared)
    before = await listed(shared, instance)
    path = f"{path_of(instance)}/channels/{before[0]['public_id']}"
    for reply in (
        await added(shared, instance, event_public_id="nobody"),
        await rest(shared, "PUT", path, {"event_public_id": "nobody"}),
    ):
        assert (reply.status, reply.detail) == (404, "there is no event nobody")
    assert await listed(shared, instance) == before


async def test_a_channel_of_another_instance_is_404(shared: Server) -> None:
    instance, other = await bare(shared), await bare(shared)
    channel = other["channel_mappings"][0]
    body = {"event_public_id": shared.plant.unlinked}
    for method, sent in (("PUT", body), ("DELETE", None)):
        reply = await rest(shared, method, f"{path_of(instance)}/channels/{channel['public_id']}", sent)
        detail = f"there is no channel {channel['public_id']} of {instance['instance_name']}"
        assert (reply.status, reply.detail) == (404, detail)
    assert await listed(shared, other) == other["channel_mappings"]


async def test_channels_of_an_instance_that_is_not_there_are_404(shared: Server) -> None:
    path = f"{PLUGINS.path}/nobody/channels"
    for method, where, body in (
        ("GET", path, None),
        ("POST", path, VALVE),
        ("PUT", f"{path}/x", {}),
        ("DELETE", f"{path}/x", None),
    ):
        reply = await rest(shared, method, where, body)
        assert (reply.status, reply.detail) == (404, "there is no plugin instance nobody")


NO_TEXT = ("null", "1", "[]", "{}", '"a\\u0000b"', '"a\\ud800b"')
WRONG = {
    "channel_id": ('""', f'"{"x" * 101}"', *NO_TEXT),
    "channel_name": ('""', f'"{"x" * 256}"', *NO_TEXT),
    "unit": ('""', f'"{"x" * 51}"', *NO_TEXT),
    "direction": NO_CHOICE,
    "event_public_id": ('""', f'"{"x" * 256}"', *NO_TEXT[1:]),
}


@pytest.mark.parametrize(("name", "raw"), [(name, raw) for name, wrong in WRONG.items() for raw in wrong])
async def test_what_is_no_value_of_a_field_is_422(shared: Server, name: str, raw: str) -> None:
    path = f"{PLUGINS.path}/{shared.plant.plugin}/channels"
    reply = await rest(shared, "POST", path, with_one(VALVE, name, raw))
    assert (reply.status, name in reply.detail) == (422, True)
    if name == "event_public_id":
        assert (await rest(shared, "PUT", f"{path}/nobody", with_one({}, name, raw))).status == 422


@pytest.mark.parametrize("name", list(VALVE))
async def test_what_is_needed_is_named_when_it_is_missing(shared: Server, name: str) -> None:
    body = {key: value for key, value in VALVE.items() if key != name}
    reply = await rest(shared, "POST", f"{PLUGINS.path}/{shared.plant.plugin}/channels", body)
    assert (reply.status, reply.detail) == (422, f"{name}: Field required")


@alone
async def test_a_link_counts_from_the_very_next_reading_on(server: Server) -> None:
    instance = await bare(server)
    path = f"{path_of(instance)}/channels/{instance['channel_mappings'][0]['public_id']}"
    reading = {"value": 1, "event_public_id": server.plant.unlinked}
    for link, status in ((server.plant.unlinked, 201), (None, 409)):
        assert (await rest(server, "PUT", path, {"event_public_id": link})).status == 200
        assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == status
    assert (await added(server, instance, event_public_id=server.plant.unlinked)).status == 201
    assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == 201
    valve = (await listed(server, instance))[-1]
    assert (await rest(server, "DELETE", f"{path_of(instance)}/channels/{valve['public_id']}")).status == 200
    assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == 409


@alone
async def test_a_channel_whose_event_is_removed_is_linked_to_none(server: Server) -> None:
    instance = await made(server, PLUGINS)
    channel = instance["channel_mappings"][0]
    assert (await rest(server, "DELETE", f"{EVENTS.path}/{channel['event_public_id']}")).status == 200
    assert (await listed(server, instance))[0] == {**channel, "event_public_id": None}


@alone
async def test_an_instance_has_so_many_channels_and_no_more(server: Server) -> None:
    numbers = [{"number": number} for number in range(MAX_CHANNELS - 4)]  # beside three that it has
    columns = "public_id, plugin_id, channel_id, channel_name, direction, unit, created_us"
    values = "SELECT 'c' || :number, id, 'c' || :number, 'C', 'input', 'V', 0 FROM plugins"
    await server.parts.storage.write(Write(f"INSERT INTO channels ({columns}) {values}", tuple(numbers)))
    await server.parts.catalog.reload()
    rig = (await everything(server, PLUGINS.path))[0]
    assert [(await added(server, rig, channel_id=name)).status for name in ("last", "one more")] == [201, 409]
    detail = (await added(server, rig, channel_id="one more")).detail
    assert detail == "Test rig has 1,000 channels, and there may be no more"
    assert len(await listed(server, rig)) == MAX_CHANNELS
