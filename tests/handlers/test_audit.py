"""`/audit`, and what it has of what comes over HTTP: each change by its caller, each setpoint, and nothing else."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.handlers.rest import (
    ALL,
    API,
    DASHBOARDS,
    EVENTS,
    EXPERIMENTS,
    LOGS,
    PLUGINS,
    RULES,
    TIMESTAMP,
    changed,
    everything,
    fresh,
    made,
    posted,
    rest,
    stop_all,
)
from tests.plant import Server
from tests.wire import call, heard
from webmacs.auth import api_token_digest, new_api_token
from webmacs.model import Role, Scope
from webmacs.storage import accounts, records
from webmacs.storage.triggers import AUDITED

pytestmark = pytest.mark.promise("P9")

AUDIT = f"{API}/audit"
DATAPOINTS = f"{API}/datapoints"


async def entries(server: Server, query: str = "") -> list[dict[str, Any]]:
    """The newest first."""
    reply = await rest(server, "GET", f"{AUDIT}?page_size=100{query}")
    assert reply.status == 200, reply
    found: list[dict[str, Any]] = reply.body["data"]
    return found


async def since(server: Server, many: int) -> list[dict[str, Any]]:
    """What has come since there were so many, the oldest first."""
    whole = await everything(server, AUDIT)
    return whole[: len(whole) - many][::-1]


async def total(server: Server) -> int:
    return int((await rest(server, "GET", AUDIT)).body["total"])


async def actuator(server: Server) -> str:
    """One of the linked events controls something."""
    event = server.plant.linked[0]
    await records.change_event(server.parts.storage, event, type="actuator")
    await server.parts.catalog.reload()
    return event


# -- changes -----------------------------------------------------------------------------------------------------------


async def test_each_change_over_http_is_the_callers(server: Server) -> None:
    before = await total(server)
    renamed = {"webhooks": {"enabled": False}, "users": {"username": "someone else"}, "plugins": {"enabled": False}}
    for resource in ALL:
        one = await made(server, resource)
        if resource is LOGS:
            continue
        await changed(server, resource, one["public_id"], renamed.get(resource.name, {"name": fresh()}))
        assert (await rest(server, "DELETE", f"{resource.path}/{one['public_id']}")).status == 200
    board = (await made(server, DASHBOARDS))["public_id"]
    widget = {"widget_type": "gauge", "title": "Dial", "x": 0, "y": 0, "w": 2, "h": 2}
    added = await rest(server, "POST", f"{DASHBOARDS.path}/{board}/widgets", widget)
    assert added.status == 201, added
    one_widget = f"{DASHBOARDS.path}/{board}/widgets/{added.body['public_id']}"
    assert (await rest(server, "PUT", one_widget, {"title": "Clock"})).status == 200
    assert (await rest(server, "DELETE", one_widget)).status == 200
    channels = f"{PLUGINS.path}/{server.plant.plugin}/channels"
    channel = {"channel_id": "more", "channel_name": "More", "direction": "input", "unit": "V"}
    assert (await rest(server, "POST", channels, channel)).status == 201
    link = next(one for one in (await rest(server, "GET", channels)).body if one["channel_id"] == "more")["public_id"]
    assert (await rest(server, "PUT", f"{channels}/{link}", {"event_public_id": server.plant.linked[0]})).status == 200
    assert (await rest(server, "DELETE", f"{channels}/{link}")).status == 200
    assert (await rest(server, "POST", EXPERIMENTS.path, EXPERIMENTS.body(server))).status == 201
    run = (await everything(server, EXPERIMENTS.path))[-1]
    notes = f"{EXPERIMENTS.path}/{run['public_id']}/notes"
    written = await rest(server, "POST", notes, {"text": "The valve sticks"})
    assert written.status == 201, written
    assert (await rest(server, "PUT", f"{notes}/{written.body['public_id']}", {"text": "It was dry"})).status == 200
    assert (await rest(server, "DELETE", f"{notes}/{written.body['public_id']}")).status == 200
    session = await server.login()
    reply = await call(server, "POST", f"{API}/tokens", session, json={"name": "rig"})
    assert reply.status == 201, reply
    token = next(one for one in await everything(server, f"{API}/tokens") if one["name"] == "rig")["public_id"]
    assert (await call(server, "DELETE", f"{API}/tokens/{token}", session)).status == 200

    found = await since(server, before)
    admin = (await call(server, "GET", f"{API}/auth/me", session)).body
    assert {(entry["actor"], entry["user_public_id"]) for entry in found} == {(admin["email"], admin["public_id"])}
    for audited in AUDITED:
        actions = {entry["action"] for entry in found if entry["kind"] == audited.kind}
        assert actions == ({"added", "removed"} if audited.kind == "token" else {"added", "changed", "removed"}), (
            audited
        )
    assert {entry["token"] for entry in found if entry["kind"] != "token"} == {"test"}  # the name of that API token
    assert {entry["token"] for entry in found if entry["kind"] == "token"} == {None}


async def test_a_change_shows_what_is_different(server: Server) -> None:
    rule = await made(server, RULES)
    await changed(server, RULES, rule["public_id"], {"threshold": 90.5, "name": "Too hot"})
    change, added = await entries(server, f"&public_id={rule['public_id']}")
    assert re.fullmatch(TIMESTAMP, change["time"])
    assert change | {"time": None} == {
        "time": None,
        "actor": "admin@example.org",
        "user_public_id": rule["user_public_id"],
        "token": "test",
        "action": "changed",
        "kind": "rule",
        "public_id": rule["public_id"],
        "name": "Too hot",
        "before": {"name": rule["name"], "threshold": 80},
        "after": {"name": "Too hot", "threshold": 90.5},
    }
    assert (added["action"], added["before"], added["after"]["threshold"]) == ("added", None, 80)


async def test_times_are_shown_as_everywhere(server: Server) -> None:
    run = await made(server, EXPERIMENTS)
    stopped, started = await entries(server, f"&public_id={run['public_id']}")
    assert stopped["before"] == {"stopped": None}
    assert stopped["after"] == {"stopped": run["stopped_on"]}
    assert started["after"]["started"] == run["started_on"]


async def test_a_change_that_is_refused_is_none(server: Server) -> None:
    first, second = await made(server, EVENTS), await made(server, EVENTS)
    before = await total(server)
    taken = await rest(server, "PUT", f"{EVENTS.path}/{second['public_id']}", {"name": first["name"]})
    assert taken.status == 409
    assert (await rest(server, "PUT", f"{EVENTS.path}/{second['public_id']}", {"type": "x"})).status == 422
    assert (await rest(server, "DELETE", f"{EVENTS.path}/nothing")).status == 404
    assert (await rest(server, "POST", f"{API}/users", {}, Role.VIEWER)).status == 403
    assert await total(server) == before


async def test_a_reading_that_is_removed_is_the_callers(server: Server) -> None:
    await posted(server, 21.5)
    (reading,) = (await rest(server, "GET", DATAPOINTS)).body["data"]
    before = await total(server)
    assert (await rest(server, "DELETE", f"{DATAPOINTS}/{reading['public_id']}", role=Role.OPERATOR)).status == 200
    assert (await rest(server, "DELETE", f"{DATAPOINTS}/{reading['public_id']}", role=Role.OPERATOR)).status == 404
    (entry,) = await since(server, before)
    assert (entry["actor"], entry["action"], entry["kind"]) == ("operator@example.org", "removed", "datapoint")
    assert entry["after"] is None
    assert entry["before"] == {"event": server.plant.linked[0], "time": reading["timestamp"], "value": 21.5}


# -- setpoints ---------------------------------------------------------------------------------------------------------


async def test_a_setpoint_is_written_down_with_what_it_was(server: Server) -> None:
    event = await actuator(server)
    before = await total(server)
    for value in (20, 20, 21.5):
        await posted(server, value)
    found = await since(server, before)
    assert [(entry["before"], entry["after"]) for entry in found] == [
        (None, {"value": 20}),
        ({"value": 20}, {"value": 20}),
        ({"value": 20}, {"value": 21.5}),
    ]
    for entry in found:
        assert (entry["actor"], entry["token"]) == ("operator@example.org", "test")
        assert (entry["action"], entry["kind"], entry["public_id"], entry["name"]) == (
            "set",
            "event",
            event,
            "Sensor 0",
        )


async def test_what_is_measured_is_no_setpoint(server: Server) -> None:
    event = await actuator(server)
    before = await total(server)
    await posted(server, 1.0, event=1)
    socket = await server.telemetry()
    batch = {"datapoints": [{"event_public_id": event, "value": 3.0}], "batch_id": str(uuid.uuid4())}
    await socket.send_json(batch)
    assert (await heard(socket))["accepted"] == 1
    operator, _ = await accounts.user_by_email(server.parts.storage, "operator@example.org")
    text = new_api_token()
    await accounts.add_token(
        server.parts.storage,
        user_id=operator.id,
        name="rig",
        digest=api_token_digest(text),
        expires_us=None,
        now_us=1,
        scope=Scope.INGEST,
    )
    await server.parts.catalog.reload()
    reply = await call(server, "POST", DATAPOINTS, text, json={"event_public_id": event, "value": 4.0})
    assert reply.status == 201, reply
    assert [entry["kind"] for entry in await since(server, before)] == ["token"]


async def test_of_many_values_at_once_those_that_change_something_are_written_down(server: Server) -> None:
    event = await actuator(server)
    await posted(server, 5.0)
    before = await total(server)
    values = [5.0, 5.0, 6.0, 6.0, 5.0]
    items = [{"event_public_id": event, "value": value} for value in values]
    items += [server.reading(7.0, 1)]
    batch = {"datapoints": items, "batch_id": str(uuid.uuid4())}
    for _ in range(2):  # the second time nothing is stored
        assert (await rest(server, "POST", f"{DATAPOINTS}/batch", batch, Role.OPERATOR)).status == 201
    found = [(entry["before"], entry["after"]) for entry in await since(server, before)]
    assert found == [({"value": 5}, {"value": 6}), ({"value": 6}, {"value": 5})]


async def test_a_setpoint_that_is_not_stored_is_not_written_down(server: Server) -> None:
    await actuator(server)
    await records.change_event(server.parts.storage, server.plant.unlinked, type="actuator")
    await server.parts.catalog.reload()
    before = await total(server)
    body = {"event_public_id": server.plant.unlinked, "value": 1.0}
    assert (await rest(server, "POST", DATAPOINTS, body, Role.OPERATOR)).status == 409
    assert await total(server) == before


# -- reading it --------------------------------------------------------------------------------------------------------


async def test_entries_come_in_pages_and_by_what_they_are_about(server: Server) -> None:
    event = await made(server, EVENTS)
    await made(server, RULES)
    assert [entry["kind"] for entry in await entries(server, "&kind=event&actor=admin%40example.org")] == ["event"]
    assert [entry["public_id"] for entry in await entries(server, f"&public_id={event['public_id']}")] == [
        event["public_id"]
    ]
    assert await entries(server, "&actor=nobody") == []
    whole = await entries(server)
    page = (await rest(server, "GET", f"{AUDIT}?page=2&page_size=3")).body
    assert (page["data"], page["total"]) == (whole[3:6], len(whole))
    for query in ("kind=", "actor=%00", "public_id=%00"):
        assert (await rest(server, "GET", f"{AUDIT}?{query}")).status == 422
    await stop_all(server)
