"""`/plugins`, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import (
    API,
    EVENTS,
    PLUGINS,
    RULES,
    TIMESTAMP,
    alone,
    changed,
    everything,
    fresh,
    made,
    posted,
    rest,
    shown,
    with_one,
)
from tests.plant import Server
from tests.wire import call
from webmacs import __version__
from webmacs.model import Role
from webmacs.testing import ManualClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

DASH = "\N{EN DASH}"
KNOWN = "there are modbus, mqtt, revpi, simulated, system"


def path_of(instance: Mapping[str, Any]) -> str:
    return f"{PLUGINS.path}/{instance['public_id']}"


async def event_of(server: Server, channel: Mapping[str, Any]) -> dict[str, Any]:
    return await shown(server, EVENTS, channel["event_public_id"])


async def bare(server: Server, **more: object) -> dict[str, Any]:
    """An instance whose channels are linked to none."""
    return await made(server, PLUGINS, auto_create_events=False, **more)


async def foreign(server: Server, config_json: str) -> dict[str, Any]:
    """An instance of a plugin that is installed where the device is, and not here: any configuration may be its own."""
    return await bare(server, plugin_id="plc", config_json=config_json)


# -- instances -------------------------------------------------------------------------------------------------------


async def test_an_instance_is_added_shown_and_removed(shared: Server) -> None:
    name = fresh("Anlage")
    body = {"plugin_id": "simulated", "instance_name": name, "status": "error", "more": 1}
    reply = await rest(shared, "POST", PLUGINS.path, body)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": f"plugin instance {name} added"})
    instance = (await everything(shared, PLUGINS.path))[-1]
    me = (await rest(shared, "GET", f"{API}/auth/me")).body
    assert re.fullmatch(TIMESTAMP, instance["created_on"])
    assert len(instance.pop("channel_mappings")) == 9
    assert instance == {
        "public_id": instance["public_id"],
        "plugin_id": "simulated",
        "instance_name": name,
        "demo_mode": False,
        "enabled": True,
        "status": "inactive",
        "config_json": None,
        "error_message": None,
        "last_seen": None,
        "created_on": instance["created_on"],
        "updated_on": None,
        "user_public_id": me["public_id"],
    }
    seen = await rest(shared, "GET", path_of(instance), role=Role.VIEWER)
    assert {key: value for key, value in seen.body.items() if key != "channel_mappings"} == instance
    reply = await rest(shared, "DELETE", path_of(instance))
    assert (reply.status, reply.body) == (200, {"status": "success", "message": f"plugin instance {name} removed"})
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/channels")):
        reply = await rest(shared, method, path_of(instance) + path, {} if method == "PUT" else None)
        assert (reply.status, reply.detail) == (404, f"there is no plugin instance {instance['public_id']}")


async def test_each_channel_comes_with_an_event_named_for_it(shared: Server) -> None:
    instance = await made(shared, PLUGINS, plugin_id="simulated")
    channels = instance["channel_mappings"]
    assert set(channels[0]) == {
        *("public_id", "channel_id", "channel_name", "direction", "unit", "event_public_id", "created_on")
    }
    assert re.fullmatch(TIMESTAMP, channels[0]["created_on"])
    expected = {
        "temp_reactor": ("Temperature Reactor", "input", "°C", "sensor", 20.0, 500.0),
        "volume_flow": ("Volume Flow", "input", "m³/h", "sensor", 0.0, 40.0),
        "valve_position": ("Valve Position", "output", "%", "actuator", 0.0, 100.0),
    }
    for channel in channels:
        event = await event_of(shared, channel)
        assert event["name"] == f"{instance['instance_name']} {DASH} {channel['channel_name']}"
        assert event["user_public_id"] == instance["user_public_id"]
        if channel["channel_id"] in expected:
            of_event = (event["type"], event["min_value"], event["max_value"])
            of_channel = (channel["channel_name"], channel["direction"], channel["unit"])
            assert (*of_channel, *of_event) == expected[channel["channel_id"]]
            assert event["unit"] == channel["unit"]


@pytest.mark.parametrize(("plugin_id", "count"), [("simulated", 9), ("system", 7), ("revpi", 28)])
async def test_an_instance_has_the_channels_of_its_plugin(shared: Server, plugin_id: str, count: int) -> None:
    assert len((await bare(shared, plugin_id=plugin_id))["channel_mappings"]) == count


async def test_without_events_the_channels_are_linked_to_none(shared: Server) -> None:
    before = len(await everything(shared, EVENTS.path))
    instance = await bare(shared)
    assert {channel["event_public_id"] for channel in instance["channel_mappings"]} == {None}
    assert len(await everything(shared, EVENTS.path)) == before


async def test_an_event_of_the_name_is_used_again(shared: Server) -> None:
    name = fresh()
    event = await made(shared, EVENTS, name=f"{name} {DASH} CPU Usage", unit="V")
    instance = await made(shared, PLUGINS, instance_name=name)
    assert instance["channel_mappings"][0]["event_public_id"] == event["public_id"]
    assert await event_of(shared, instance["channel_mappings"][0]) == event


async def test_readings_of_a_new_instance_are_taken_at_once(shared: Server) -> None:
    instance = await made(shared, PLUGINS)
    reading = {"value": 3, "event_public_id": instance["channel_mappings"][0]["event_public_id"]}
    assert (await rest(shared, "POST", f"{API}/datapoints", reading)).status == 201


@pytest.mark.parametrize("plugin_id", ["nothing", "Simulated", "webmacs.plugins.system:System"])
async def test_a_plugin_may_be_installed_where_the_device_is_and_nowhere_else(shared: Server, plugin_id: str) -> None:
    body = {**PLUGINS.body(shared), "plugin_id": plugin_id}
    reply = await rest(shared, "POST", PLUGINS.path, body)
    assert reply.status == 201
    assert f"added without channels: no {plugin_id!r} is installed here, {KNOWN}; add" in reply.body["message"]
    (instance,) = [
        one for one in await everything(shared, PLUGINS.path) if one["instance_name"] == body["instance_name"]
    ]
    assert (instance["plugin_id"], instance["channel_mappings"]) == (plugin_id, [])


@pytest.mark.parametrize("raw", ['""', f'"{"x" * 101}"', '"a\\u0000"', "null", "1"])
async def test_what_is_no_id_of_a_plugin_is_422(shared: Server, raw: str) -> None:
    reply = await rest(shared, "POST", PLUGINS.path, with_one(PLUGINS.body(shared), "plugin_id", raw))
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "plugin_id")


async def test_a_name_may_be_long_but_not_that_of_its_events(shared: Server) -> None:
    name = fresh("x" * 210)
    body = {"plugin_id": "system", "instance_name": name}
    reply = await rest(shared, "POST", PLUGINS.path, body)
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "instance_name")
    assert "or make no events" in reply.detail
    assert (await rest(shared, "POST", PLUGINS.path, {**body, "auto_create_events": False})).status == 201


CHANGES = [
    {"demo_mode": True},
    {"enabled": False},
    {"config_json": '{"port": 502}'},
    {"config_json": None},
    {"config_json": '{"a": "' + "x" * 16_375 + '"}'},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change)[:40])
async def test_each_field_changes_alone_and_when_it_did_is_shown(shared: Server, change: dict[str, Any]) -> None:
    instance = await foreign(shared, '{"a":  [1]}')
    assert instance["config_json"] == '{"a":  [1]}'  # to the letter
    found = await changed(shared, PLUGINS, instance["public_id"], change)
    assert re.fullmatch(TIMESTAMP, found["updated_on"])
    assert found == {**instance, **change, "updated_on": found["updated_on"]}
    again = await changed(shared, PLUGINS, instance["public_id"], change)
    assert again == found  # it changed nothing


@pytest.mark.promise("S1")
async def test_the_configuration_of_a_device_is_shown_to_those_who_may_operate_it(shared: Server) -> None:
    """It may hold a password; a controller, whose account is an operator's, needs it."""
    instance = await foreign(shared, '{"password": "CANARY"}')
    body = {"name": fresh(), "scope": "read"}
    token = (await call(shared, "POST", f"{API}/tokens", await shared.login(), json=body)).body["token"]
    tokens = {**{role.value: shared.plant.tokens[role] for role in Role}, "read": token}
    for who, text in tokens.items():
        listed = await call(shared, "GET", f"{PLUGINS.path}?page_size=100", text)
        one = await call(shared, "GET", path_of(instance), text)
        assert (listed.status, one.status) == (200, 200)
        shows = who in {"operator", "admin"}
        assert ("CANARY" in str(listed.body)) is shows
        assert (one.body["config_json"] is not None) is shows


async def test_a_configuration_has_an_end(shared: Server) -> None:
    longer = '{"a": "' + "x" * 16_376 + '"}'
    reply = await rest(shared, "POST", PLUGINS.path, {**PLUGINS.body(shared), "config_json": longer})
    assert (reply.status, reply.detail) == (422, "config_json: String should have at most 16384 characters")


@pytest.mark.parametrize("config", ['{"nonsense": "CANARY"}', '{"more": ["CANARY"]}'])
async def test_a_configuration_that_the_plugin_refuses_is_refused(shared: Server, config: str) -> None:
    reply = await rest(shared, "POST", PLUGINS.path, {**PLUGINS.body(shared), "config_json": config})
    key = re.findall(r'"(\w+)"', config)[0]
    assert (reply.status, reply.detail) == (422, f"config_json: {key}: unknown key")
    instance = await bare(shared)
    reply = await rest(shared, "PUT", path_of(instance), {"config_json": config})
    assert (reply.status, reply.detail) == (422, f"config_json: {key}: unknown key")
    assert (await shown(shared, PLUGINS, instance["public_id"]))["config_json"] is None


async def test_a_plugin_whose_channels_the_configuration_says_has_those(shared: Server) -> None:
    reply = await rest(shared, "POST", PLUGINS.path, {"plugin_id": "modbus", "instance_name": fresh()})
    assert (reply.status, reply.detail) == (422, "config_json: channels: Field required")
    channels = [
        {"channel_id": "level", "address": 4, "type": "float32", "min_value": 0, "max_value": 2, "unit": "m"},
        {"channel_id": "pump", "table": "coil", "address": 1, "direction": "output"},
    ]
    instance = await made(
        shared, PLUGINS, plugin_id="modbus", config_json=json.dumps({"host": "10.0.0.9", "channels": channels})
    )
    found = [(one["channel_id"], one["direction"], one["unit"]) for one in instance["channel_mappings"]]
    assert found == [("level", "input", "m"), ("pump", "output", "bool")]
    event = await event_of(shared, instance["channel_mappings"][0])
    assert (event["unit"], event["min_value"], event["max_value"]) == ("m", 0.0, 2.0)


async def test_a_renamed_instance_leaves_its_events_as_they_are(shared: Server) -> None:
    instance = await made(shared, PLUGINS)
    event = await event_of(shared, instance["channel_mappings"][0])
    found = await changed(shared, PLUGINS, instance["public_id"], {"instance_name": fresh("new")})
    assert found["channel_mappings"] == instance["channel_mappings"]
    assert await event_of(shared, instance["channel_mappings"][0]) == event


@alone
async def test_what_is_switched_on_stands_before_what_is_not(server: Server) -> None:
    """A controller reads one page of 25, and stops what is not on it."""
    rig = (await everything(server, PLUGINS.path))[0]
    off = [await bare(server, instance_name=f"off {number}", enabled=False) for number in range(30)]
    late = await bare(server, instance_name="late")
    page = (await rest(server, "GET", PLUGINS.path)).body
    assert (page["total"], len(page["data"])) == (32, 25)
    wanted = [rig, late, *off]
    found = [instance["public_id"] for instance in await everything(server, PLUGINS.path)]
    assert found == [instance["public_id"] for instance in wanted]
    await changed(server, PLUGINS, off[29]["public_id"], {"enabled": True})
    await changed(server, PLUGINS, rig["public_id"], {"enabled": False})
    names = [instance["instance_name"] for instance in await everything(server, PLUGINS.path)]
    assert names == ["off 29", "late", "Test rig", *(f"off {number}" for number in range(29))]


@alone
async def test_an_instance_that_is_switched_off_sends_nothing_more(server: Server) -> None:
    rig = (await everything(server, PLUGINS.path))[0]
    reading = server.reading(1.0)
    for enabled, status in ((False, 409), (True, 201)):
        await changed(server, PLUGINS, rig["public_id"], {"enabled": enabled})
        assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == status


# -- status ----------------------------------------------------------------------------------------------------------


async def status_of(server: Server, instance: Mapping[str, Any]) -> str:
    [found] = [one for one in await everything(server, PLUGINS.path) if one["public_id"] == instance["public_id"]]
    assert found == await shown(server, PLUGINS, instance["public_id"])
    status: str = found["status"]
    return status


async def measured(server: Server, instance: Mapping[str, Any], channel_id: str, **more: object) -> None:
    """A reading of one of its channels."""
    [channel] = [one for one in instance["channel_mappings"] if one["channel_id"] == channel_id]
    reading = {"value": 1, "event_public_id": channel["event_public_id"], **more}
    assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == 201


@alone
async def test_an_instance_is_what_its_readings_tell(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, plugins={"quiet_s": 10})
    instance, other = [await made(server, PLUGINS, plugin_id="simulated") for _ in range(2)]
    assert await status_of(server, instance) == "inactive"
    await measured(server, instance, "humidity")
    assert (await status_of(server, instance), await status_of(server, other)) == ("connected", "inactive")
    for change, status in (
        ({"demo_mode": True}, "demo"),
        ({"enabled": False}, "inactive"),
        ({"enabled": True, "demo_mode": False}, "connected"),
    ):
        await changed(server, PLUGINS, instance["public_id"], change)
        assert await status_of(server, instance) == status
    clock.advance(10)
    assert await status_of(server, instance) == "connected"
    clock.advance(0.001)
    assert await status_of(server, instance) == "inactive"


@alone
async def test_a_setpoint_is_no_sign_of_life(server: Server) -> None:
    instance = await made(server, PLUGINS, plugin_id="simulated")
    await measured(server, instance, "heater_power")
    assert await status_of(server, instance) == "inactive"
    await measured(server, instance, "humidity")
    assert await status_of(server, instance) == "connected"


@alone
async def test_old_readings_that_are_sent_late_are_no_sign_of_life(server: Server) -> None:
    instance = await made(server, PLUGINS)
    await measured(server, instance, "cpu_percent", timestamp="2026-01-01T00:00:00Z")
    assert await status_of(server, instance) == "inactive"


# -- what goes with an instance --------------------------------------------------------------------------------------


@alone
async def test_what_was_measured_outlasts_the_instance_and_other_events_go(server: Server) -> None:
    instance = await made(server, PLUGINS, plugin_id="simulated")
    events = {one["channel_id"]: one["event_public_id"] for one in instance["channel_mappings"]}
    other = await bare(server)
    link = {"event_public_id": events["temp_inlet"]}
    channel = f"{path_of(other)}/channels/{other['channel_mappings'][0]['public_id']}"
    assert (await rest(server, "PUT", channel, link)).status == 200
    rule = await made(server, RULES, event_public_id=events["temp_outlet"])
    await measured(server, instance, "humidity")
    assert (await rest(server, "DELETE", path_of(instance))).status == 200
    left = {event["public_id"] for event in await everything(server, EVENTS.path)}
    kept = {events[name] for name in ("temp_inlet", "temp_outlet", "humidity")}
    assert left & set(events.values()) == kept
    assert await shown(server, RULES, rule["public_id"]) == rule
    latest = (await rest(server, "GET", f"{API}/datapoints/latest")).body
    assert [point["event_public_id"] for point in latest] == [events["humidity"]]
    for name, status in (("humidity", 409), ("temp_inlet", 201), ("valve_position", 404)):
        reading = {"value": 1, "event_public_id": events[name]}
        assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == status


# -- plugins and packages --------------------------------------------------------------------------------------------


async def test_the_plugins_that_are_installed(shared: Server) -> None:
    reply = await rest(shared, "GET", f"{PLUGINS.path}/available", role=Role.VIEWER)
    assert reply.status == 200
    assert [set(plugin) for plugin in reply.body] == [{"id", "name", "version", "vendor", "description", "url"}] * 5
    assert [(plugin["id"], plugin["name"], plugin["version"], plugin["vendor"]) for plugin in reply.body] == [
        ("modbus", "Modbus", "1.0.0", "WebMACS"),
        ("mqtt", "MQTT", "1.0.0", "WebMACS"),
        ("revpi", "Revolution Pi", "0.1.0", "KUNBUS GmbH"),
        ("simulated", "Simulated Device", "0.2.0", "WebMACS"),
        ("system", "System Monitor", "0.1.0", "WebMACS"),
    ]


async def test_the_packages_they_came_with(shared: Server) -> None:
    reply = await rest(shared, "GET", f"{PLUGINS.path}/packages", role=Role.VIEWER)
    [package] = reply.body
    assert (reply.status, package) == (
        200,
        {
            "public_id": package["public_id"],
            "package_name": "webmacs",
            "version": __version__,
            "source": "bundled",
            "plugin_ids": ["modbus", "mqtt", "revpi", "simulated", "system"],
            "file_size_bytes": None,
            "installed_on": None,
            "removable": False,
        },
    )
    assert package["public_id"]


# -- what a controller does at its first start -----------------------------------------------------------------------


@alone
async def test_a_controller_that_finds_nothing_adds_its_simulated_device(server: Server) -> None:
    body = {"plugin_id": "simulated", "instance_name": "Simulated Device", "demo_mode": True, "enabled": True}
    assert (await rest(server, "POST", PLUGINS.path, body, Role.OPERATOR)).status == 403  # of which it only warns
    assert (await rest(server, "POST", PLUGINS.path, body)).status == 201
    instance = (await everything(server, PLUGINS.path))[-1]
    inputs = [one for one in instance["channel_mappings"] if one["direction"] == "input"]
    points = [{"value": 1.5, "event_public_id": one["event_public_id"]} for one in inputs]
    reply = await rest(server, "POST", f"{API}/datapoints/batch", {"datapoints": points}, Role.OPERATOR)
    assert (reply.status, reply.body["message"].split()[0]) == (201, "7")
    assert await status_of(server, instance) == "demo"
    await posted(server, 1.0)  # of another instance
