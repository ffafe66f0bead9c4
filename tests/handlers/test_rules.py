"""`/rules`, row by row."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import (
    API,
    EVENTS,
    RULES,
    TIMESTAMP,
    WEBHOOKS,
    alone,
    changed,
    everything,
    made,
    posted,
    rest,
    shown,
    told,
)
from tests.handlers.test_history import measured
from tests.plant import Server, now_us
from webmacs.model import Role, to_datetime
from webmacs.storage.rollups import MINUTE_US

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_rule_is_added_shown_changed_and_removed(shared: Server) -> None:
    body = {**RULES.body(shared), "cooldown_seconds": 5, "enabled": False, "webhook_event_type": "sensor.reading"}
    reply = await rest(shared, "POST", RULES.path, body, Role.OPERATOR)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": f"rule {body['name']} added"})
    rule = (await everything(shared, RULES.path))[-1]
    assert re.fullmatch(TIMESTAMP, rule["created_on"])
    assert rule == {
        "public_id": rule["public_id"],
        "name": body["name"],
        "event_public_id": shared.plant.linked[0],
        "operator": "gt",
        "threshold": 80.0,
        "threshold_high": None,
        "action_type": "log",
        "webhook_event_type": "sensor.reading",
        "enabled": False,
        "cooldown_seconds": 5,
        "last_triggered_at": None,
        "created_on": rule["created_on"],
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"],
    }
    assert type(rule["threshold"]) is float
    path = f"{RULES.path}/{rule['public_id']}"
    reply = await rest(shared, "PUT", path, {"enabled": True}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "rule changed"})
    assert (await rest(shared, "GET", path, role=Role.OPERATOR)).body == {**rule, "enabled": True}
    reply = await rest(shared, "DELETE", path, role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "rule removed"})
    for method, sent in (("GET", None), ("PUT", {}), ("DELETE", None)):
        reply = await rest(shared, method, path, sent)
        assert (reply.status, reply.detail) == (404, f"there is no rule {rule['public_id']}")


async def test_a_rule_is_switched_on_and_waits_a_minute_unless_it_is_said_otherwise(shared: Server) -> None:
    rule = await made(shared, RULES)
    assert (rule["enabled"], rule["cooldown_seconds"], rule["webhook_event_type"]) == (True, 60, None)


CHANGES = [
    {"operator": "lte"},
    {"threshold": -2.5},
    {"threshold_high": 90.0},
    {"threshold_high": None},
    {"operator": "between", "threshold": 1.0, "threshold_high": 1.0},
    {"action_type": "webhook"},
    {"webhook_event_type": "experiment.started"},
    {"webhook_event_type": None},
    {"enabled": False},
    {"cooldown_seconds": 0},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_each_field_changes_alone(shared: Server, change: dict[str, object]) -> None:
    rule = await made(shared, RULES, threshold_high=85, webhook_event_type="sensor.reading")
    assert await changed(shared, RULES, rule["public_id"], change) == {**rule, **change}


async def test_a_rule_may_move_to_another_event(shared: Server) -> None:
    rule = await made(shared, RULES)
    moved = {"event_public_id": shared.plant.unlinked}
    assert await changed(shared, RULES, rule["public_id"], moved) == {**rule, **moved}


@pytest.mark.parametrize("operator", ["gt", "lt", "eq", "gte", "lte", "between", "not_between"])
async def test_every_operator_there_is(shared: Server, operator: str) -> None:
    rule = await made(shared, RULES, operator=operator, threshold_high=81)
    assert (rule["operator"], rule["threshold_high"]) == (operator, 81.0)


@pytest.mark.parametrize("operator", ["between", "not_between"])
async def test_a_range_needs_both_bounds_in_order(shared: Server, operator: str) -> None:
    for high, detail in (
        (None, f"{operator} needs threshold_high"),
        (79, "threshold_high (79) is below threshold (80)"),
    ):
        body = {**RULES.body(shared), "operator": operator, "threshold_high": high}
        reply = await rest(shared, "POST", RULES.path, body)
        assert (reply.status, reply.detail) == (422, detail)
    plain = await made(shared, RULES)
    path = f"{RULES.path}/{plain['public_id']}"
    reply = await rest(shared, "PUT", path, {"operator": operator})
    assert (reply.status, reply.detail) == (422, f"{operator} needs threshold_high")
    rule = await made(shared, RULES, operator=operator, threshold_high=90)
    for change in ({"threshold_high": None}, {"threshold_high": 70}, {"threshold": 91}):
        assert (await rest(shared, "PUT", f"{RULES.path}/{rule['public_id']}", change)).status == 422
    assert await shown(shared, RULES, rule["public_id"]) == rule
    within = {"threshold": 90}
    assert await changed(shared, RULES, rule["public_id"], within) == {**rule, **within}


async def test_an_upper_bound_that_does_not_count_does_no_harm(shared: Server) -> None:
    rule = await made(shared, RULES, threshold_high=1)
    assert (await changed(shared, RULES, rule["public_id"], {"threshold": 82}))["threshold"] == 82.0


async def test_an_event_that_is_not_there_is_404(shared: Server) -> None:
    rule, missing = await made(shared, RULES), {"event_public_id": "nobody"}
    replies = [
        await rest(shared, "POST", RULES.path, {**RULES.body(shared), **missing}),
        await rest(shared, "PUT", f"{RULES.path}/{rule['public_id']}", missing),
    ]
    assert [(reply.status, reply.detail) for reply in replies] == [(404, "there is no event nobody")] * 2
    assert await shown(shared, RULES, rule["public_id"]) == rule


async def test_a_viewer_does_not_even_see_rules(shared: Server) -> None:
    rule = await made(shared, RULES)
    for path in (RULES.path, f"{RULES.path}/{rule['public_id']}"):
        reply = await rest(shared, "GET", path, role=Role.VIEWER)
        assert (reply.status, reply.detail) == (403, "Insufficient permissions")


@alone
async def test_a_change_counts_from_the_very_next_reading_on(server: Server) -> None:
    webhook = await made(server, WEBHOOKS, events=["sensor.threshold_exceeded"])
    rule = await made(server, RULES, action_type="webhook", cooldown_seconds=0)
    counts, path = [], f"{RULES.path}/{rule['public_id']}"
    for change in ({}, {"enabled": False}, {"enabled": True}, {"threshold": 99}, {"operator": "lt"}, None):
        status = (
            await rest(server, "DELETE", path) if change is None else await rest(server, "PUT", path, change)
        ).status
        assert status == 200
        await posted(server, 90.0)
        counts.append(len(await told(server, webhook["public_id"])))
    assert counts == [1, 1, 2, 2, 3, 3]


@alone
async def test_when_a_rule_fired_last_is_shown_and_no_change(server: Server) -> None:
    rule = await made(server, RULES)
    await posted(server, 90.0)
    last = (await shown(server, RULES, rule["public_id"]))["last_triggered_at"]
    assert re.fullmatch(TIMESTAMP, last)
    assert (await changed(server, RULES, rule["public_id"], {"enabled": False}))["last_triggered_at"] == last
    assert (await everything(server, RULES.path))[0]["last_triggered_at"] == last


async def test_a_rule_of_an_event_that_was_just_added(shared: Server) -> None:
    event = await made(shared, EVENTS)
    assert (await made(shared, RULES, event_public_id=event["public_id"]))["event_public_id"] == event["public_id"]


# -- what a rule would have done ---------------------------------------------------------------------------------------

PREVIEW = f"{RULES.path}/preview"
TRIAL = {"operator": "gt", "threshold": 80}


async def previewed(server: Server, event: str, **more: object) -> dict[str, Any]:
    body = {"event_public_id": event, **TRIAL, **more}
    reply = await rest(server, "POST", PREVIEW, body, Role.OPERATOR)
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.body
    return found


@alone
async def test_a_preview_says_what_a_rule_would_have_done(serve: Serve) -> None:
    server = await serve()
    event, begin_us = server.plant.linked[0], now_us() - 30 * MINUTE_US
    values = [70.0, 81.0, 82.0, 80.0, 95.0, 96.0]  # a minute apart
    times = [begin_us + n * MINUTE_US for n in range(len(values))]
    await measured(server, list(zip(values, times, strict=True)))
    await measured(server, [(1000.0, begin_us)], event=1)
    shown_at = [to_datetime(time_us).isoformat().replace("+00:00", "Z") for time_us in times]
    found = await previewed(server, event)
    assert re.fullmatch(TIMESTAMP, found["since"])
    assert re.fullmatch(TIMESTAMP, found["until"])
    span = datetime.fromisoformat(found["until"]) - datetime.fromisoformat(found["since"])
    assert span == timedelta(minutes=60)
    counted = {key: found[key] for key in ("readings", "matching", "fired", "fired_at")}
    assert counted == {"readings": 6, "matching": 4, "fired": 4, "fired_at": [shown_at[n] for n in (1, 2, 4, 5)]}
    assert set(found) == {*counted, "since", "until"}
    for more, readings, matching, fired in (
        ({"cooldown_seconds": 61}, 6, 4, [1, 4]),
        ({"cooldown_seconds": 0}, 6, 4, [1, 2, 4, 5]),
        ({"threshold": 95.0}, 6, 1, [5]),
        ({"operator": "between", "threshold_high": 82}, 6, 3, [1, 2, 3]),
        ({"minutes": 28}, 3, 2, [4, 5]),
        ({"minutes": 20}, 0, 0, []),
    ):
        found = await previewed(server, event, **more)
        assert (found["readings"], found["matching"], found["fired"]) == (readings, matching, len(fired)), more
        assert found["fired_at"] == [shown_at[n] for n in fired], more
    assert (await rest(server, "GET", RULES.path)).body["total"] == 0  # nothing is left of it


@alone
async def test_a_preview_agrees_with_the_rule(serve: Serve) -> None:
    server = await serve()
    rule = await made(server, RULES, cooldown_seconds=0)
    for value in (81.0, 79.0, 99.0):
        await posted(server, value)
    found = await previewed(server, server.plant.linked[0], cooldown_seconds=0)
    entries = [
        entry["content"] for entry in await everything(server, f"{API}/logging") if rule["name"] in entry["content"]
    ]
    assert (found["readings"], found["fired"]) == (3, len(entries)) == (3, 2)


@alone
async def test_of_many_alarms_the_newest_are_named(serve: Serve) -> None:
    server = await serve()
    begin_us = now_us() - 30 * MINUTE_US
    await measured(server, [(90.0, begin_us + n) for n in range(2_600)])
    found = await previewed(server, server.plant.linked[0], cooldown_seconds=0)
    assert (found["readings"], found["matching"], found["fired"], len(found["fired_at"])) == (2_600, 2_600, 2_600, 500)
    assert datetime.fromisoformat(found["fired_at"][-1]) == to_datetime(begin_us + 2_599)


WRONG: dict[str, tuple[object, ...]] = {
    "minutes": (0, 1441, 1.5, "x", None),
    "cooldown_seconds": (-1, 1.5, None),
    "operator": ("", "nothing", None, "between"),  # which needs threshold_high
    "threshold": ("x", None, {}),
    "event_public_id": ("", "\0", None),
}
BAD_TRIALS: list[dict[str, object]] = [
    *({name: value} for name, values in WRONG.items() for value in values),
    {"operator": "not_between", "threshold_high": 79},
]


@pytest.mark.parametrize("more", BAD_TRIALS, ids=str)
async def test_a_preview_that_cannot_be_is_422(shared: Server, more: dict[str, object]) -> None:
    body = {"event_public_id": shared.plant.linked[0], **TRIAL, **more}
    assert (await rest(shared, "POST", PREVIEW, body)).status == 422


async def test_a_preview_is_of_an_event_that_is_there_linked_or_not(shared: Server) -> None:
    reply = await rest(shared, "POST", PREVIEW, {"event_public_id": "nobody", **TRIAL})
    assert (reply.status, reply.detail) == (404, "there is no event nobody")
    assert (await previewed(shared, shared.plant.unlinked))["readings"] == 0
