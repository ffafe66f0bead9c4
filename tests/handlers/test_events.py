"""`/events`, row by row."""

from __future__ import annotations

import pytest

from tests.handlers.rest import API, EVENTS, RULES, alone, changed, everything, fresh, made, posted, rest, shown
from tests.plant import Server
from tests.wire import call
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = ["sensor", "actuator", "range", "cmd_button", "cmd_opened", "cmd_closed"]


async def test_an_event_is_added_shown_changed_and_removed(shared: Server) -> None:
    name = fresh("Ümläut 🌡")
    body = {"name": name, "min_value": -1, "max_value": 2.5, "unit": "°C", "type": "range", "more": 1}
    reply = await rest(shared, "POST", EVENTS.path, body, Role.OPERATOR)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": f"event {name} added"})
    event = (await everything(shared, EVENTS.path))[-1]
    owner = (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"]
    assert event == {
        "public_id": event["public_id"],
        "name": name,
        "min_value": -1.0,
        "max_value": 2.5,
        "unit": "°C",
        "type": "range",
        "user_public_id": owner,
    }
    path = f"{EVENTS.path}/{event['public_id']}"
    assert (await rest(shared, "GET", path, role=Role.VIEWER)).body == event
    reply = await rest(shared, "PUT", path, {"unit": "K"}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "event changed"})
    assert (await rest(shared, "GET", path)).body == {**event, "unit": "K"}
    reply = await rest(shared, "DELETE", path, role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": f"event {name} removed"})
    reply = await rest(shared, "GET", path)
    assert (reply.status, reply.detail) == (404, f"there is no event {event['public_id']}")
    assert (await rest(shared, "DELETE", path)).status == 404


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_slash_forms_do_the_same(shared: Server, slash: str) -> None:
    body = EVENTS.body(shared)
    assert (await rest(shared, "POST", f"{EVENTS.path}{slash}", body)).status == 201
    event = (await everything(shared, EVENTS.path + slash))[-1]
    assert event["name"] == body["name"]
    path = f"{EVENTS.path}/{event['public_id']}{slash}"
    assert (await rest(shared, "GET", path)).status == 200
    assert (await rest(shared, "PUT", path, {})).status == 200
    assert (await rest(shared, "DELETE", path)).status == 200


@pytest.mark.parametrize(
    "change", [{"name": "x"}, {"min_value": -3}, {"max_value": 9}, {"unit": ""}, {"type": "actuator"}]
)
async def test_each_field_changes_alone(shared: Server, change: dict[str, object]) -> None:
    event = await made(shared, EVENTS)
    assert await changed(shared, EVENTS, event["public_id"], change) == {**event, **change}
    assert (await rest(shared, "DELETE", f"{EVENTS.path}/{event['public_id']}")).status == 200


@pytest.mark.parametrize("kind", TYPES)
async def test_every_type_there_is(shared: Server, kind: str) -> None:
    assert (await made(shared, EVENTS, type=kind))["type"] == kind


@pytest.mark.parametrize(("sent", "kept"), [(7, 7.0), ("2.5", 2.5), (True, 1.0), (-0.0, 0.0), (1e308, 1e308)])
async def test_numbers_come_back_as_floats(shared: Server, sent: object, kept: float) -> None:
    event = await made(shared, EVENTS, min_value=sent, max_value=1.5e308)
    assert (event["min_value"], type(event["min_value"])) == (kept, float)


async def test_floats_are_written_with_a_decimal_point(shared: Server) -> None:
    event = await made(shared, EVENTS, min_value=0, max_value=7)
    token = shared.plant.tokens[Role.VIEWER]
    url, headers = f"{shared.address}{EVENTS.path}/{event['public_id']}", {"Authorization": f"Bearer {token}"}
    async with shared.client.get(url, headers=headers) as response:
        text = await response.text()
    assert '"min_value":0.0,"max_value":7.0' in text


async def test_bounds_must_make_sense(shared: Server) -> None:
    body = {**EVENTS.body(shared), "min_value": 2, "max_value": 1}
    reply = await rest(shared, "POST", EVENTS.path, body)
    assert (reply.status, reply.detail) == (422, "min_value (2) is above max_value (1)")
    event = await made(shared, EVENTS, min_value=1, max_value=1)
    for change in ({"min_value": 1.5}, {"max_value": 0.5}, {"min_value": 3, "max_value": 2}):
        assert (await rest(shared, "PUT", f"{EVENTS.path}/{event['public_id']}", change)).status == 422
    assert await shown(shared, EVENTS, event["public_id"]) == event
    change = {"min_value": 3, "max_value": 4}  # each of them alone would not
    assert await changed(shared, EVENTS, event["public_id"], change) == {**event, **change}


async def test_a_new_event_needs_a_unit_and_an_old_one_may_lose_it(shared: Server) -> None:
    reply = await rest(shared, "POST", EVENTS.path, {**EVENTS.body(shared), "unit": ""})
    assert (reply.status, reply.detail) == (422, "unit: String should have at least 1 character")
    event = await made(shared, EVENTS)
    assert (await changed(shared, EVENTS, event["public_id"], {"unit": ""}))["unit"] == ""


async def test_the_name_of_a_removed_event_is_free_again(shared: Server) -> None:
    first = await made(shared, EVENTS)
    assert (await rest(shared, "DELETE", f"{EVENTS.path}/{first['public_id']}")).status == 200
    assert (await made(shared, EVENTS, name=first["name"]))["public_id"] != first["public_id"]


@alone
async def test_with_an_event_go_its_rules_and_what_was_measured(server: Server) -> None:
    await posted(server, 5.0)
    await posted(server, 6.0, event=1)
    rule = await made(server, RULES)
    gone = server.plant.linked[0]
    assert (await rest(server, "DELETE", f"{EVENTS.path}/{gone}")).status == 200
    latest = (await rest(server, "GET", f"{API}/datapoints/latest")).body
    assert [point["value"] for point in latest] == [6.0]
    assert (await rest(server, "GET", f"{RULES.path}/{rule['public_id']}")).status == 404
    reply = await call(
        server, "POST", f"{API}/datapoints", server.plant.tokens[Role.OPERATOR], json=server.reading(7.0)
    )
    assert (reply.status, reply.detail) == (404, f"there is no event {gone}")
    assert (await rest(server, "GET", "/health")).body["status"] == "ok"
