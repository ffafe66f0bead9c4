"""`/dashboards`, row by row."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.handlers.rest import API, DASHBOARDS, EVENTS, TIMESTAMP, USERS, changed, everything, fresh, made, rest, shown
from tests.plant import Newcomer, Server
from tests.wire import Reply, call
from webmacs.handlers.dashboards import MAX_CONFIG_LENGTH, OWNERLESS
from webmacs.model import Role
from webmacs.storage.dashboards import MAX_DASHBOARDS, MAX_WIDGETS

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = "Insufficient permissions"
GAUGE: dict[str, Any] = {"widget_type": "gauge", "title": "a gauge"}


async def by(server: Server, who: Newcomer, method: str, path: str, body: object = None) -> Reply:
    return await call(server, method, path, who.api_token, **({} if body is None else {"json": body}))


def path_of(dashboard: dict[str, Any]) -> str:
    return f"{DASHBOARDS.path}/{dashboard['public_id']}"


async def owned(server: Server, who: Newcomer, **more: object) -> dict[str, Any]:
    """A dashboard of somebody's own."""
    reply = await by(server, who, "POST", DASHBOARDS.path, {"name": fresh(), **more})
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.body
    return found


async def placed(server: Server, dashboard: dict[str, Any], **more: object) -> dict[str, Any]:
    """A widget on a dashboard."""
    reply = await rest(server, "POST", f"{path_of(dashboard)}/widgets", {**GAUGE, **more})
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.body
    return found


# -- dashboards ------------------------------------------------------------------------------------------------------


async def test_a_dashboard_is_added_shown_changed_and_removed(shared: Server) -> None:
    name = fresh("Übersicht")
    reply = await rest(shared, "POST", DASHBOARDS.path, {"name": name, "more": 1}, Role.OPERATOR)
    dashboard = reply.body
    assert (reply.status, bool(re.fullmatch(TIMESTAMP, dashboard["created_on"]))) == (201, True)
    assert dashboard == {
        "public_id": dashboard["public_id"],
        "name": name,
        "is_global": False,
        "created_on": dashboard["created_on"],
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"],
        "widgets": [],
    }
    path = path_of(dashboard)
    assert (await rest(shared, "GET", DASHBOARDS.path, role=Role.OPERATOR)).body["data"][0] == dashboard
    reply = await rest(shared, "PUT", path, {"is_global": True}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "dashboard changed"})
    assert (await rest(shared, "GET", path, role=Role.VIEWER)).body == {**dashboard, "is_global": True}
    reply = await rest(shared, "DELETE", path, role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "dashboard removed"})
    for method, sent in (("GET", None), ("PUT", {}), ("DELETE", None)):
        reply = await rest(shared, method, path, sent)
        assert (reply.status, reply.detail) == (404, f"there is no dashboard {dashboard['public_id']}")


@pytest.mark.parametrize("change", [{"name": "x"}, {"is_global": True}, {"is_global": False}], ids=str)
async def test_each_field_of_a_dashboard_changes_alone(shared: Server, change: dict[str, object]) -> None:
    dashboard = await made(shared, DASHBOARDS, is_global=not change.get("is_global", False))
    assert await changed(shared, DASHBOARDS, dashboard["public_id"], change) == {**dashboard, **change}


async def test_names_need_not_differ(shared: Server) -> None:
    one = await made(shared, DASHBOARDS)
    assert (await made(shared, DASHBOARDS, name=one["name"]))["public_id"] != one["public_id"]


async def test_the_list_has_ones_own_and_the_global_ones_the_newest_first(shared: Server) -> None:
    anne, bob = await shared.newcomer(), await shared.newcomer()
    own = await owned(shared, anne)
    for_all = await owned(shared, bob, is_global=True)
    foreign = await owned(shared, bob)
    newest = await owned(shared, anne)
    reply = await by(shared, anne, "GET", f"{DASHBOARDS.path}?page_size=3")
    assert reply.body["data"] == [newest, for_all, own]
    seen = {dashboard["public_id"] for dashboard in await everything(shared, DASHBOARDS.path)}
    assert for_all["public_id"] in seen
    assert seen.isdisjoint({own["public_id"], foreign["public_id"], newest["public_id"]})  # administrators, too


async def test_one_that_is_anothers_own_is_shown_to_nobody_else(shared: Server) -> None:
    anne = await shared.newcomer()
    own, for_all = await owned(shared, anne), await owned(shared, anne, is_global=True)
    for role in Role:
        reply = await rest(shared, "GET", path_of(own), role=role)
        assert (reply.status, reply.detail) == (403, FORBIDDEN)
        assert (await rest(shared, "GET", path_of(for_all), role=role)).body == for_all
    assert (await by(shared, anne, "GET", path_of(own))).body == own


@pytest.mark.parametrize("is_global", [False, True])
async def test_owner_and_administrators_change_it_and_nobody_else(shared: Server, is_global: bool) -> None:
    anne, bob = await shared.newcomer(), await shared.newcomer()
    dashboard = await owned(shared, anne, is_global=is_global)
    path = path_of(dashboard)
    widget = await placed(shared, dashboard)  # an administrator may
    requests: list[tuple[str, str, object]] = [
        ("PUT", path, {"name": "x"}),
        ("POST", f"{path}/widgets", GAUGE),
        ("PUT", f"{path}/widgets/{widget['public_id']}", {"title": "x"}),
        ("DELETE", f"{path}/widgets/{widget['public_id']}", None),
        ("DELETE", path, None),
    ]
    for method, target, body in requests:
        reply = await by(shared, bob, method, target, body)
        assert (reply.status, reply.detail) == (403, FORBIDDEN)
        reply = await rest(shared, method, target, body, Role.VIEWER)
        assert (reply.status, reply.detail) == (403, FORBIDDEN)
    assert (await by(shared, anne, "GET", path)).body == {**dashboard, "widgets": [widget]}
    for method, target, body in requests:
        assert (await by(shared, anne, method, target, body)).status in {200, 201}
    dashboard = await owned(shared, anne, is_global=is_global)
    assert (await rest(shared, "PUT", path_of(dashboard), {"name": "x"})).status == 200
    assert (await rest(shared, "DELETE", path_of(dashboard))).status == 200


async def test_whose_it_is_comes_before_what_is_sent_and_that_before_which(shared: Server) -> None:
    anne, bob = await shared.newcomer(), await shared.newcomer()
    path = path_of(await owned(shared, anne))
    broken: list[tuple[str, str]] = [("PUT", ""), ("POST", "/widgets"), ("PUT", "/widgets/nobody")]
    for method, end in broken:
        assert (await call(shared, method, path + end, json={"title": 1})).status == 401
        assert (await by(shared, bob, method, path + end, {"title": 1, "name": 1})).status == 403
        assert (await by(shared, anne, method, path + end, {"title": 1, "name": 1})).status == 422
        for nobody in ("nobody", "%00"):
            nowhere = f"{DASHBOARDS.path}/{nobody}{end}"
            assert (await by(shared, bob, method, nowhere, {"title": 1, "name": 1})).status == 422
            assert (await by(shared, bob, method, nowhere, GAUGE | {"name": "x"})).status == 404


async def test_a_user_may_have_so_many_dashboards(shared: Server) -> None:
    anne = await shared.newcomer()
    for _ in range(MAX_DASHBOARDS):
        await owned(shared, anne)
    reply = await by(shared, anne, "POST", DASHBOARDS.path, {"name": "one more"})
    assert (reply.status, reply.detail) == (
        409,
        f"you have {MAX_DASHBOARDS} dashboards, and there may be no more; remove one first",
    )


async def test_what_nobody_else_could_see_goes_with_its_owner(shared: Server) -> None:
    anne = await shared.newcomer()
    own, for_all = await owned(shared, anne), await owned(shared, anne, is_global=True)
    assert (await rest(shared, "DELETE", f"{USERS.path}/{anne.public_id}")).status == 200
    assert (await rest(shared, "GET", path_of(own))).status == 404
    assert await shown(shared, DASHBOARDS, for_all["public_id"]) == {**for_all, "user_public_id": ""}
    reply = await rest(shared, "PUT", path_of(for_all), {"is_global": False})
    assert (reply.status, reply.detail) == (409, OWNERLESS)
    assert (await rest(shared, "PUT", path_of(for_all), {"name": "x", "is_global": True})).status == 200
    assert (await rest(shared, "PUT", path_of(for_all), {}, Role.OPERATOR)).status == 403
    assert (await rest(shared, "DELETE", path_of(for_all))).status == 200


# -- widgets ---------------------------------------------------------------------------------------------------------


async def test_a_widget_is_added_shown_changed_and_removed(shared: Server) -> None:
    dashboard = await made(shared, DASHBOARDS)
    path = f"{path_of(dashboard)}/widgets"
    sent: dict[str, object] = {"widget_type": "line_chart", "title": "Wärme", "event_public_id": shared.plant.linked[0]}
    sent |= {"x": 3, "y": 2, "w": 12, "h": 1, "config_json": '{"minutes": 60}'}
    reply = await rest(shared, "POST", path, {**sent, "more": 1})
    widget = reply.body
    assert (reply.status, widget) == (201, {"public_id": widget["public_id"], **sent})
    assert (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"] == [widget]
    assert (await everything(shared, DASHBOARDS.path))[0]["widgets"] == [widget]
    reply = await rest(shared, "PUT", f"{path}/{widget['public_id']}", {"x": 4, "widget_type": "gauge"})
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "widget changed"})
    assert (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"] == [{**widget, "x": 4}]
    reply = await rest(shared, "DELETE", f"{path}/{widget['public_id']}")
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "widget removed"})
    assert await shown(shared, DASHBOARDS, dashboard["public_id"]) == dashboard
    for method in ("PUT", "DELETE"):
        reply = await rest(shared, method, f"{path}/{widget['public_id']}", {} if method == "PUT" else None)
        assert (reply.status, reply.detail) == (404, f"there is no widget {widget['public_id']}")


@pytest.mark.parametrize("kind", ["line_chart", "gauge", "stat_card", "actuator_toggle", "text_note"])
async def test_of_a_widget_little_has_to_be_said(shared: Server, kind: str) -> None:
    widget = await placed(shared, await made(shared, DASHBOARDS), widget_type=kind)
    assert widget == {
        "public_id": widget["public_id"],
        "widget_type": kind,
        "title": GAUGE["title"],
        "event_public_id": None,
        "x": 0,
        "y": 0,
        "w": 4,
        "h": 3,
        "config_json": None,
    }


CHANGES: list[dict[str, object]] = [
    {"title": "x"},
    {"event_public_id": None},
    {"x": -(2**31)},
    {"y": 2**31 - 1},
    {"w": 1},
    {"h": 12},
    {"config_json": None},
    {"config_json": "[1]"},
    {},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_each_field_of_a_widget_changes_alone(shared: Server, change: dict[str, object]) -> None:
    dashboard = await made(shared, DASHBOARDS)
    widget = await placed(shared, dashboard, event_public_id=shared.plant.linked[0], config_json="{}")
    reply = await rest(shared, "PUT", f"{path_of(dashboard)}/widgets/{widget['public_id']}", change)
    assert reply.status == 200
    assert (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"] == [{**widget, **change}]


NO_WHOLE_NUMBER = ["1.5", '"x"', "null", "[]", "NaN", "1e400", "1" + "0" * 400]
BAD: dict[str, list[str]] = {
    "widget_type": ['"pie"', '""', "null", "1"],
    "title": ['""', "null", "1", f'"{"x" * 256}"', '"a\\u0000"', '"a\\ud800"'],
    "event_public_id": ['""', "1", "{}", '"a\\u0000"'],
    "x": [*NO_WHOLE_NUMBER, str(2**31), str(-(2**31) - 1)],
    "y": [*NO_WHOLE_NUMBER, str(2**31), str(-(2**31) - 1)],
    "w": [*NO_WHOLE_NUMBER, "0", "13", "-1"],
    "h": [*NO_WHOLE_NUMBER, "0", "13", "-1"],
    "config_json": ["{}", "1", '""', '"{"', '"[NaN]"', '"\\"a\\u0000\\""', f'"{"[" * 10_000}"', f'"{" " * 16_385}"'],
}


@pytest.mark.parametrize(("name", "raw"), [(name, raw) for name, wrong in BAD.items() for raw in wrong])
async def test_what_is_no_value_of_a_field_is_422(shared: Server, name: str, raw: str) -> None:
    path = f"{DASHBOARDS.path}/nobody/widgets"  # where it is comes later
    body = json.dumps({**GAUGE, name: "PLACE"}).replace('"PLACE"', raw)
    reply = await rest(shared, "POST", path, body)
    assert (reply.status, reply.detail.partition(":")[0]) == (422, name)
    if name != "widget_type":  # it is never changed
        reply = await rest(shared, "PUT", f"{path}/nobody", f'{{"{name}": {raw}}}')
        assert (reply.status, reply.detail.partition(":")[0]) == (422, name)


@pytest.mark.parametrize("name", GAUGE)
async def test_what_is_needed_is_named_when_it_is_missing(shared: Server, name: str) -> None:
    body = {key: value for key, value in GAUGE.items() if key != name}
    reply = await rest(shared, "POST", f"{DASHBOARDS.path}/nobody/widgets", body)
    assert (reply.status, reply.detail) == (422, f"{name}: Field required")


async def test_a_configuration_may_be_of_some_length(shared: Server) -> None:
    config = json.dumps("☃" * 2_000)[: MAX_CONFIG_LENGTH - 2].ljust(MAX_CONFIG_LENGTH)
    dashboard = await made(shared, DASHBOARDS)
    assert (await placed(shared, dashboard, config_json=config))["config_json"] == config
    assert (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"][0]["config_json"] == config


async def test_an_event_that_is_not_there_is_404(shared: Server) -> None:
    dashboard = await made(shared, DASHBOARDS)
    path, widget = f"{path_of(dashboard)}/widgets", await placed(shared, dashboard)
    for method, target, body in (
        ("POST", path, {**GAUGE, "event_public_id": "nothing"}),
        ("PUT", f"{path}/{widget['public_id']}", {"x": 1, "event_public_id": "nothing"}),
    ):
        reply = await rest(shared, method, target, body)
        assert (reply.status, reply.detail) == (404, "there is no event nothing")
    assert (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"] == [widget]


async def test_a_widget_outlasts_its_event(shared: Server) -> None:
    dashboard, event = await made(shared, DASHBOARDS), await made(shared, EVENTS)
    widget = await placed(shared, dashboard, event_public_id=event["public_id"])
    assert (await rest(shared, "DELETE", f"{EVENTS.path}/{event['public_id']}")).status == 200
    left = (await shown(shared, DASHBOARDS, dashboard["public_id"]))["widgets"]
    assert left == [{**widget, "event_public_id": None}]


@pytest.mark.parametrize("widget_id", ["nobody", "%00", "a'b;--", "x" * 3_000])
async def test_a_widget_is_looked_for_on_its_own_dashboard(shared: Server, widget_id: str) -> None:
    dashboard, other = await made(shared, DASHBOARDS), await made(shared, DASHBOARDS)
    widget = await placed(shared, other)
    for name in (widget_id, widget["public_id"]):
        for method in ("PUT", "DELETE"):
            path = f"{path_of(dashboard)}/widgets/{name}"
            assert (await rest(shared, method, path, {} if method == "PUT" else None)).status == 404
    assert (await shown(shared, DASHBOARDS, other["public_id"]))["widgets"] == [widget]


async def test_a_dashboard_may_have_so_many_widgets(shared: Server) -> None:
    dashboard = await made(shared, DASHBOARDS)
    for _ in range(MAX_WIDGETS):
        await placed(shared, dashboard)
    reply = await rest(shared, "POST", f"{path_of(dashboard)}/widgets", GAUGE)
    assert (reply.status, reply.detail) == (
        409,
        f"the dashboard has {MAX_WIDGETS} widgets, and there may be no more; remove one first",
    )
