"""`/events/unlinked/adopt`: from an id that arrives in vain to readings that are stored, and back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from tests.handlers.rest import (
    API,
    EVENTS,
    NO_CHOICE,
    NO_NUMBER,
    PLUGINS,
    alone,
    briefly,
    everything,
    fresh,
    made,
    rest,
    with_one,
)
from tests.plant import Server
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNLINKED = f"{EVENTS.path}/unlinked"
ADOPT = f"{UNLINKED}/adopt"
ADOPTED = "Adopted readings"


def body(**more: object) -> dict[str, Any]:
    wanted = {"event_public_id": str(uuid.uuid4()), "name": fresh(), "unit": "", "min_value": -1, "max_value": 2}
    return {**wanted, **more}


async def adopted(server: Server, **more: object) -> dict[str, Any]:
    reply = await rest(server, "POST", ADOPT, body(**more))
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.body
    return found


async def instances(server: Server) -> dict[str, dict[str, Any]]:
    """By name."""
    return {plugin["instance_name"]: plugin for plugin in await everything(server, PLUGINS.path)}


async def sent(server: Server, event: str, value: float = 1.0) -> int:
    reading = {"value": value, "event_public_id": event}
    return (await rest(server, "POST", f"{API}/datapoints", reading, Role.OPERATOR)).status


async def unlinked(server: Server) -> list[str]:
    return [entry["event_public_id"] for entry in (await rest(server, "GET", UNLINKED)).body]


async def latest(server: Server) -> dict[str, float]:
    return {
        one["event_public_id"]: one["value"] for one in (await rest(server, "GET", f"{API}/datapoints/latest")).body
    }


@alone
async def test_what_arrived_in_vain_is_stored_from_the_next_reading_on(server: Server) -> None:
    event = "Halle 3/Kessel «°C»"
    assert await sent(server, event) == 404
    assert await unlinked(server) == [event]
    wanted = body(event_public_id=event, name="Kessel", unit="°C", min_value=0, max_value=90.5)
    reply = await rest(server, "POST", ADOPT, wanted)
    owner = (await rest(server, "GET", f"{API}/auth/me")).body["public_id"]
    assert (reply.status, reply.body) == (
        201,
        {
            "public_id": event,
            "name": "Kessel",
            "min_value": 0.0,
            "max_value": 90.5,
            "unit": "°C",
            "type": "sensor",
            "user_public_id": owner,
        },
    )
    assert (await everything(server, EVENTS.path))[-1] == reply.body
    assert await unlinked(server) == []
    assert await sent(server, event, 21.5) == 201
    assert (await latest(server))[event] == 21.5
    instance = (await instances(server))[ADOPTED]
    assert (instance["plugin_id"], instance["enabled"], instance["demo_mode"]) == ("adopted", True, False)
    assert (instance["user_public_id"], instance["status"]) == (owner, "connected")
    (channel,) = instance["channel_mappings"]
    assert channel == {
        "public_id": channel["public_id"],
        "channel_id": event,
        "channel_name": "Kessel",
        "direction": "input",
        "unit": "°C",
        "event_public_id": event,
        "created_on": channel["created_on"],
    }


@alone
async def test_what_is_unlinked_again_comes_back_and_may_be_adopted_again(server: Server) -> None:
    event = await adopted(server)
    plugin = (await instances(server))[ADOPTED]
    channel = f"{PLUGINS.path}/{plugin['public_id']}/channels/{plugin['channel_mappings'][0]['public_id']}"
    assert (await rest(server, "PUT", channel, {"event_public_id": None})).status == 200
    assert await unlinked(server) == []
    assert await sent(server, event["public_id"]) == 409
    assert await unlinked(server) == [event["public_id"]]
    again = await rest(server, "POST", ADOPT, {"event_public_id": event["public_id"]})
    assert (again.status, again.body) == (201, event)
    assert await unlinked(server) == []
    assert await sent(server, event["public_id"]) == 201
    assert (await instances(server))[ADOPTED]["channel_mappings"] == plugin["channel_mappings"]
    assert (await rest(server, "DELETE", f"{EVENTS.path}/{event['public_id']}")).status == 200
    assert await sent(server, event["public_id"]) == 404
    assert (await adopted(server, event_public_id=event["public_id"], name="Other"))["name"] == "Other"
    assert await sent(server, event["public_id"]) == 201


async def test_an_event_that_is_there_keeps_its_name_and_the_rest(shared: Server) -> None:
    for sent_too in ({}, {"name": "Other", "unit": "K", "min_value": 5, "max_value": 1, "type": "actuator"}):
        event = await made(shared, EVENTS, type="range")
        reply = await rest(shared, "POST", ADOPT, {"event_public_id": event["public_id"], **sent_too})
        assert (reply.status, reply.body) == (201, event)
        channel = (await instances(shared))[ADOPTED]["channel_mappings"][-1]
        assert (channel["channel_name"], channel["unit"]) == (event["name"], event["unit"])


async def test_it_may_belong_to_an_instance_that_is_named(shared: Server) -> None:
    plugin = await made(shared, PLUGINS)
    event = await adopted(shared, plugin_public_id=plugin["public_id"], type="cmd_button")
    assert event["type"] == "cmd_button"
    mappings = (await instances(shared))[plugin["instance_name"]]["channel_mappings"]
    assert [one["event_public_id"] for one in mappings if one not in plugin["channel_mappings"]] == [event["public_id"]]
    assert await sent(shared, event["public_id"]) == 201


@alone
async def test_many_are_adopted_at_once(server: Server) -> None:
    replies = await asyncio.gather(*(rest(server, "POST", ADOPT, body()) for _ in range(10)))
    assert [reply.status for reply in replies] == [201] * 10
    found = [plugin for plugin in await everything(server, PLUGINS.path) if plugin["plugin_id"] == "adopted"]
    assert [len(plugin["channel_mappings"]) for plugin in found] == [10]


@alone
async def test_of_two_who_adopt_the_same_one_does(server: Server) -> None:
    same = body()
    replies = await asyncio.gather(*(rest(server, "POST", ADOPT, {**same, "name": fresh()}) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [201, 409]
    (refused,) = [reply for reply in replies if reply.status == 409]
    assert refused.detail == f"event {same['event_public_id']} is linked already"


@alone
async def test_what_is_in_the_way_is_said_and_nothing_is_left(server: Server) -> None:
    off = await made(server, PLUGINS, enabled=False)
    before = [await everything(server, path) for path in (EVENTS.path, PLUGINS.path)]
    linked, name = server.plant.linked[0], before[0][0]["name"]
    cases: list[tuple[dict[str, Any], int, str]] = [
        (body(event_public_id=linked), 409, f"event {linked} is linked already"),
        (body(name=name), 409, f"an event called {name!r} exists already"),
        (body(plugin_public_id="nothing"), 404, "there is no plugin instance nothing"),
        (
            body(plugin_public_id=off["public_id"]),
            409,
            f"plugin instance {off['instance_name']!r} is switched off; switch it on first",
        ),
        (
            body(event_public_id="in0", plugin_public_id=server.plant.plugin),
            409,
            "Test rig has a channel 'in0' already",
        ),
        (body(min_value=3), 422, "min_value (3) is above max_value (2)"),
        ({"event_public_id": "new"}, 422, "name, unit, min_value, max_value: needed, as there is no event new yet"),
        (body(event_public_id="new", unit=None), 422, "unit: needed, as there is no event new yet"),
    ]
    for wanted, status, detail in cases:
        reply = await rest(server, "POST", ADOPT, wanted)
        assert (reply.status, reply.detail[: len(detail)]) == (status, detail)
    after = [await everything(server, path) for path in (EVENTS.path, PLUGINS.path)]
    assert after == before


@alone
async def test_where_adopted_readings_are_switched_off_none_are_adopted(server: Server) -> None:
    event = await adopted(server)
    plugin = (await instances(server))[ADOPTED]
    assert (await rest(server, "PUT", f"{PLUGINS.path}/{plugin['public_id']}", {"enabled": False})).status == 200
    for wanted in ({"event_public_id": event["public_id"]}, body()):
        reply = await rest(server, "POST", ADOPT, wanted)
        assert (reply.status, reply.detail) == (409, f"plugin instance '{ADOPTED}' is switched off; switch it on first")


@alone
async def test_what_changed_a_moment_ago_elsewhere_is_noticed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has not heard of it yet: the transaction has."""
    monkeypatch.setattr(server.parts.catalog, "changed", lambda: None)
    known = server.parts.catalog.current
    wanted = body()
    other = await adopted(server)
    server.parts.catalog.current = known
    reply = await rest(server, "POST", ADOPT, {**wanted, "name": other["name"]})
    assert (reply.status, reply.detail) == (409, f"an event called {other['name']!r} exists already")
    server.parts.catalog.current = known
    reply = await rest(server, "POST", ADOPT, {**wanted, "event_public_id": other["public_id"]})
    assert (reply.status, reply.detail) == (409, f"event {other['public_id']} is linked already")


@alone
async def test_an_adoption_is_the_callers(server: Server) -> None:
    event = await adopted(server)
    found = (await rest(server, "GET", f"{API}/audit?page_size=3")).body["data"]
    assert [(entry["action"], entry["kind"], entry["actor"]) for entry in found] == [
        ("added", "channel", "admin@example.org"),
        ("added", "plugin", "admin@example.org"),
        ("added", "event", "admin@example.org"),
    ]
    assert found[0]["after"]["event"] == event["public_id"]


FIELDS = {
    "event_public_id": ('""', "null", "1", "[]", '"a\\u0000"', '"a\\n"', '"\\ud800"', f'"{"x" * 101}"'),
    "name": ('""', "1", "[]", '"a\\u0000"', f'"{"x" * 256}"', "null"),
    "unit": ("1", "[]", '"a\\u0000"', f'"{"x" * 256}"', "null"),
    "min_value": NO_NUMBER,
    "max_value": NO_NUMBER,
    "type": NO_CHOICE,
    "plugin_public_id": ('""', "1", "[]", '"a\\u0000"'),
}


@pytest.mark.parametrize(("name", "raw"), [(n, raw) for n, every in FIELDS.items() for raw in every], ids=briefly)
async def test_what_cannot_be_is_422(shared: Server, name: str, raw: str) -> None:
    assert (await rest(shared, "POST", ADOPT, with_one(body(), name, raw))).status == 422
