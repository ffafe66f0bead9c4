"""What controllers say of their plugin instances, over HTTP and on their sockets, and what is shown of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API, PLUGINS, TIMESTAMP, changed, made, rest, shown
from tests.handlers.test_agents import greeted, silent, token
from tests.plant import Server
from tests.wire import acknowledged, call
from webmacs.handlers.statuses import MAX_MESSAGE_LENGTH, status_message
from webmacs.model import Role, Scope
from webmacs.testing import ManualClock

STATUSES = f"{API}/plugins/status"


def said(instance: dict[str, Any], status: str = "connected", **more: object) -> dict[str, object]:
    return {"public_id": instance["public_id"], "status": status, **more}


def message(*reports: object) -> dict[str, object]:
    return {"type": "status", "instances": list(reports)}


async def status_of(server: Server, instance: dict[str, Any]) -> tuple[str, str | None]:
    found = await shown(server, PLUGINS, instance["public_id"])
    return found["status"], found["error_message"]


async def measured(server: Server, instance: dict[str, Any], channel_id: str = "cpu_percent") -> str:
    """A reading of one of its channels; when it was taken."""
    [channel] = [one for one in instance["channel_mappings"] if one["channel_id"] == channel_id]
    reading = {"value": 1, "event_public_id": channel["event_public_id"]}
    assert (await rest(server, "POST", f"{API}/datapoints", reading)).status == 201
    latest = (await rest(server, "GET", f"{API}/datapoints/latest")).body
    moment: str = next(one["timestamp"] for one in latest if one["event_public_id"] == channel["event_public_id"])
    return moment


# -- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["connected", "error", "demo", "inactive"])
async def test_an_instance_is_what_its_controller_says(server: Server, status: str) -> None:
    instance = await made(server, PLUGINS)
    reply = await rest(server, "POST", STATUSES, {"instances": [said(instance, status)]}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "1 of 1 statuses taken"})
    await measured(server, instance)
    found = await shown(server, PLUGINS, instance["public_id"])
    assert (found["status"], found["error_message"]) == (status, None)
    assert re.fullmatch(TIMESTAMP, found["last_seen"])
    [listed] = [
        one for one in (await rest(server, "GET", PLUGINS.path)).body["data"] if one["public_id"] == found["public_id"]
    ]
    assert listed == found


async def test_an_error_has_a_message_and_what_is_well_has_none(server: Server) -> None:
    instance = await made(server, PLUGINS)
    for status, text, expected in (
        ("error", "no answer from 10.0.0.7: is the device on? °C", "no answer from 10.0.0.7: is the device on? °C"),
        ("connected", "two of seven channels", None),
        ("error", None, None),
        ("error", "x" * MAX_MESSAGE_LENGTH, "x" * MAX_MESSAGE_LENGTH),
    ):
        body = {"instances": [said(instance, status, message=text)]}
        assert (await rest(server, "POST", STATUSES, body)).status == 200
        assert await status_of(server, instance) == (status, expected)


async def test_what_was_said_long_ago_is_no_more_than_when_it_was_said(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, plugins={"quiet_s": 10})
    instance = await made(server, PLUGINS)
    assert (await rest(server, "POST", STATUSES, {"instances": [said(instance, "error", message="m")]})).status == 200
    seen = (await shown(server, PLUGINS, instance["public_id"]))["last_seen"]
    clock.advance(10)
    assert await status_of(server, instance) == ("error", "m")
    clock.advance(0.001)
    assert await status_of(server, instance) == ("inactive", None)
    assert (await shown(server, PLUGINS, instance["public_id"]))["last_seen"] == seen
    moment = await measured(server, instance)
    assert await status_of(server, instance) == ("connected", None)
    assert (await shown(server, PLUGINS, instance["public_id"]))["last_seen"] == moment > seen
    clock.advance(1)
    assert (await rest(server, "POST", STATUSES, {"instances": [said(instance, "demo")]})).status == 200
    assert await status_of(server, instance) == ("demo", None)
    assert (await shown(server, PLUGINS, instance["public_id"]))["last_seen"] > moment


async def test_an_instance_that_is_switched_off_is_inactive_whatever_is_said(server: Server) -> None:
    instance = await made(server, PLUGINS, enabled=False)
    assert (await rest(server, "POST", STATUSES, {"instances": [said(instance, "error", message="m")]})).status == 200
    assert await status_of(server, instance) == ("inactive", None)
    await changed(server, PLUGINS, instance["public_id"], {"enabled": True})
    assert await status_of(server, instance) == ("error", "m")


async def test_what_was_said_goes_with_the_instance(server: Server) -> None:
    instance = await made(server, PLUGINS)
    assert (await rest(server, "POST", STATUSES, {"instances": [said(instance)]})).status == 200
    plugin = server.parts.catalog.current.plugins_by_public_id[instance["public_id"]]
    assert server.parts.statuses.of(plugin.id) is not None
    assert (await rest(server, "DELETE", f"{PLUGINS.path}/{instance['public_id']}")).status == 200
    assert server.parts.statuses.of(plugin.id) is None


@pytest.mark.promise("S3")
async def test_a_sender_is_heard_about_what_is_its_own_and_the_rest_is_counted(server: Server) -> None:
    first, second = [await made(server, PLUGINS) for _ in range(2)]
    text = await token(server, Scope.INGEST, plugin_public_id=first["public_id"])
    reports = [said(first), said(second), {"public_id": "nobody", "status": "error"}]
    reply = await call(server, "POST", STATUSES, text, json={"instances": reports})
    assert (reply.status, reply.body["message"]) == (200, "1 of 3 statuses taken")
    socket, _ = await greeted(server, text)
    await socket.send_json(message(*reports))
    await silent(socket, server)
    assert await status_of(server, second) == ("inactive", None)
    assert b"webmacs_statuses_ignored_total 4.0" in server.parts.metrics.text()
    unbound = await token(server, Scope.INGEST)
    assert (await call(server, "POST", STATUSES, unbound, json={"instances": [said(second)]})).status == 200
    assert await status_of(server, second) == ("connected", None)


NO_REPORTS: list[tuple[object, str]] = [
    ({}, "instances"),
    ({"instances": None}, "instances"),
    ({"instances": {}}, "instances"),
    ({"instances": [None]}, "instances.0"),
    ({"instances": [{"public_id": "a"}]}, "instances.0.status"),
    ({"instances": [{"public_id": "a", "status": "broken"}]}, "instances.0.status"),
    ({"instances": [{"status": "error"}]}, "instances.0.public_id"),
    ({"instances": [{"public_id": "", "status": "error"}]}, "instances.0.public_id"),
    ({"instances": [{"public_id": 1, "status": "error"}]}, "instances.0.public_id"),
    ({"instances": [{"public_id": "a", "status": "error", "message": 1}]}, "instances.0.message"),
    ({"instances": [{"public_id": "a", "status": "error", "message": "x" * 501}]}, "instances.0.message"),
    ({"instances": [{"public_id": "a", "status": "error", "message": "\ud800"}]}, "instances.0.message"),
]


@pytest.mark.parametrize(("body", "where"), NO_REPORTS, ids=str)
async def test_what_is_no_report_is_an_error_that_says_where(server: Server, body: dict[str, Any], where: str) -> None:
    reply = await rest(server, "POST", STATUSES, body)
    assert (reply.status, reply.detail.partition(":")[0]) == (422, where)
    socket, _ = await greeted(server)
    answer = await acknowledged(socket, {"type": "status", **body})
    assert set(answer) == {"type", "message"}
    assert answer["type"] == "error"
    assert answer["message"].startswith(f"Invalid status: {where}: ")
    await silent(socket, server)


# -- on the socket ---------------------------------------------------------------------------------------------------


async def test_a_report_on_the_socket_is_taken_without_a_word_and_is_no_batch(server: Server) -> None:
    instance = await made(server, PLUGINS)
    socket, _ = await greeted(server)
    before = server.parts.metrics.text()
    for status, text in (
        ("error", json.dumps(message(said(instance, "error", message='"datapoints"')))),
        ("demo", json.dumps({"instances": [said(instance, "demo")], "more": 1, "type": "status"}, indent=2)),
        ("connected", json.dumps({**message(), "instances": [said(instance)]}, separators=(",", ":"))),
    ):
        await socket.send_str(text)
        await silent(socket, server)
        assert (await status_of(server, instance))[0] == status
    for name in ("batches_refused", "readings_invalid"):
        [line] = re.findall(rf"(?m)^webmacs_{name}_total .*$", before.decode())
        assert line.encode() in server.parts.metrics.text()


async def test_a_batch_is_a_batch_in_whatever_order_its_keys_come(server: Server) -> None:
    socket, _ = await greeted(server)
    item = server.reading(1.0)
    batches: list[dict[str, Any]] = [
        {"batch_id": "0", "datapoints": [item]},
        {"batch_id": "1", "type": "status", "datapoints": [item]},
        {"type": "status", "datapoints": [item], "batch_id": "2", "instances": []},
        {"datapoints": [item], "type": "status", "batch_id": "3"},
        {"status": 1, "datapoints": [item], "batch_id": "4"},
    ]
    for number, batch in enumerate(batches):
        answer = await acknowledged(socket, batch)
        assert (answer["type"], answer["batch_id"]) == ("ack", str(number))
    for text, why in (
        ('"status"', "Invalid JSON"),
        ('["status"]', "Invalid JSON"),
        ('{"type":"status"', "Invalid JSON"),
        ("[" * 50_000 + '"status"', "Invalid JSON"),
        ('{"type":["status"]}', "No valid datapoints in batch"),
        ('{"type":"stat","is":"status"}', "No valid datapoints in batch"),
    ):
        assert await acknowledged(socket, text) == {"type": "error", "message": why}


def test_what_is_usual_is_told_by_its_beginning_without_being_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", None)
    assert status_message('{"datapoints": [{"event_public_id": "\\"status\\"", "value": 1}], "type": "status"}') is None
    assert status_message('{"batch_id": "one", "datapoints": [{"event_public_id": "a status", "value": 1}]}') is None
