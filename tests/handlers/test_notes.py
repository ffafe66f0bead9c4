"""`/experiments/{id}/notes`, row by row."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.handlers.rest import (
    API,
    EXPERIMENTS,
    NO_NUMBER,
    TIMESTAMP,
    alone,
    briefly,
    everything,
    made,
    rest,
    shown,
    stop_all,
    with_one,
)
from tests.plant import Server
from webmacs.model import Role
from webmacs.storage import accounts

pytestmark = pytest.mark.asyncio(loop_scope="module")


def of(experiment: dict[str, Any] | str) -> str:
    return f"{EXPERIMENTS.path}/{experiment if isinstance(experiment, str) else experiment['public_id']}/notes"


async def running(server: Server) -> dict[str, Any]:
    await stop_all(server)
    assert (await rest(server, "POST", EXPERIMENTS.path, EXPERIMENTS.body(server))).status == 201
    return (await everything(server, EXPERIMENTS.path))[-1]


async def written(server: Server, experiment: dict[str, Any], **body: Any) -> dict[str, Any]:
    reply = await rest(server, "POST", of(experiment), {"text": "Note", **body}, Role.OPERATOR)
    assert reply.status == 201, reply
    found: dict[str, Any] = reply.body
    return found


async def test_a_note_is_added_shown_changed_and_removed(shared: Server) -> None:
    run, text = await running(shared), "«Ventil» klemmt\n🌡 'a' \\"
    reply = await rest(shared, "POST", of(run), {"text": text, "public_id": "mine"}, Role.OPERATOR)
    note = reply.body
    assert reply.status == 201, reply
    assert re.fullmatch(TIMESTAMP, note["timestamp"])
    assert note == {
        "public_id": note["public_id"],
        "experiment_public_id": run["public_id"],
        "text": text,
        "timestamp": note["created_on"],
        "created_on": note["created_on"],
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"],
    }
    listed = await rest(shared, "GET", of(run), role=Role.VIEWER)
    assert (listed.status, listed.body) == (200, {"page": 1, "page_size": 25, "total": 1, "data": [note]})
    path = f"{of(run)}/{note['public_id']}"
    for change in ({"text": "x" * 2000}, {"timestamp": run["started_on"]}, {}):
        reply = await rest(shared, "PUT", path, change, Role.OPERATOR)
        assert (reply.status, reply.body) == (200, {"status": "success", "message": "note changed"})
        note |= change
        assert await everything(shared, of(run)) == [note]
    reply = await rest(shared, "DELETE", path, role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "note removed"})
    for method, sent in (("PUT", {}), ("PUT", {"timestamp": run["started_on"]}), ("DELETE", None)):
        reply = await rest(shared, method, path, sent)
        assert (reply.status, reply.detail) == (404, f"there is no note {note['public_id']}")


async def test_notes_come_by_the_time_they_are_about(shared: Server) -> None:
    run = await running(shared)
    now, earlier = await written(shared, run), await written(shared, run, timestamp=run["started_on"])
    assert await everything(shared, of(run)) == [earlier, now]
    page = (await rest(shared, "GET", f"{of(run)}?page=2&page_size=1")).body
    assert page == {"page": 2, "page_size": 1, "total": 2, "data": [now]}
    assert (await rest(shared, "GET", f"{of(run)}?page_size=101")).status == 422


@pytest.mark.parametrize("offset", [0, 5.5, -12])
async def test_a_moment_is_given_with_any_offset(shared: Server, offset: float) -> None:
    run = await running(shared)
    moment = datetime.fromisoformat(run["started_on"])
    spelled = (moment + timedelta(hours=offset)).replace(tzinfo=None).isoformat()
    sign, minutes = "-" if offset < 0 else "+", int(abs(offset) * 60)
    note = await written(shared, run, timestamp=f"{spelled}{sign}{minutes // 60:02d}:{minutes % 60:02d}")
    assert note["timestamp"] == run["started_on"]


@pytest.mark.parametrize(
    "moment",
    ["", "now", "2026-01-31", "2026-01-31T12:00:00", "1767225600", "2026-13-01T00:00:00Z", 1767225600, True, []],
)
async def test_what_is_no_moment_with_an_offset_is_422(shared: Server, moment: object) -> None:
    run = await running(shared)
    note = await written(shared, run)
    for method, path in (("POST", of(run)), ("PUT", f"{of(run)}/{note['public_id']}")):
        reply = await rest(shared, method, path, {"text": "x", "timestamp": moment})
        assert reply.status == 422
        assert reply.detail.startswith("timestamp: must be a time in ISO 8601 with its offset"), reply.detail


async def test_a_note_outside_of_its_experiment_is_422(shared: Server) -> None:
    run = await running(shared)
    note = await written(shared, run)
    path = f"{of(run)}/{note['public_id']}"
    start = datetime.fromisoformat(run["started_on"])
    outside = [(start - timedelta(microseconds=1), "before the start"), (start + timedelta(hours=1), "in the future")]
    for moment, why in outside:
        for method, where in (("POST", of(run)), ("PUT", path)):
            reply = await rest(shared, method, where, {"text": "x", "timestamp": moment.isoformat()})
            assert reply.status == 422
            assert reply.detail.startswith(f"timestamp: lies {why}"), reply.detail
    await stop_all(shared)
    ended = (await shown(shared, EXPERIMENTS, run["public_id"]))["stopped_on"]
    assert (await written(shared, run, timestamp=ended))["timestamp"] == ended
    reply = await rest(shared, "POST", of(run), {"text": "too late"})
    assert (reply.status, reply.detail.partition(",")[0]) == (
        422,
        "timestamp: lies after the end of the experiment",
    )
    assert (await everything(shared, of(run)))[0] == note


TEXTS = (*(raw for raw in NO_NUMBER if raw != '"x"'), '""', '"a\\u0000"', '"\\ud800"', f'"{"x" * 2001}"', "true")


@pytest.mark.parametrize("raw", TEXTS, ids=briefly)
async def test_what_is_no_text_of_a_note_is_422(shared: Server, raw: str) -> None:
    run = await running(shared)
    note = await written(shared, run)
    for method, path in (("POST", of(run)), ("PUT", f"{of(run)}/{note['public_id']}")):
        assert (await rest(shared, method, path, with_one({}, "text", raw))).status == 422
    assert await everything(shared, of(run)) == [note]


async def test_a_note_is_of_its_own_experiment_alone(shared: Server) -> None:
    run = await running(shared)
    note, other = await written(shared, run), await made(shared, EXPERIMENTS)
    for experiment in (other["public_id"], "nothing", "%00"):
        for method, sent in (("PUT", {"text": "x"}), ("DELETE", None)):
            assert (await rest(shared, method, f"{of(experiment)}/{note['public_id']}", sent)).status == 404
    for method, sent in (("GET", None), ("POST", {"text": "x"})):
        reply = await rest(shared, method, of("nothing"), sent)
        assert (reply.status, reply.detail) == (404, "there is no experiment nothing")
    assert await everything(shared, of(run)) == [note]


@alone
async def test_notes_outlast_their_author_and_go_with_their_experiment(server: Server) -> None:
    run = await running(server)
    note = await written(server, run)
    author, _ = await accounts.user_by_email(server.parts.storage, server.plant.emails[Role.OPERATOR])
    assert (await rest(server, "DELETE", f"{API}/users/{author.public_id}")).status == 200
    assert await everything(server, of(run)) == [{**note, "user_public_id": None}]
    assert (await rest(server, "DELETE", f"{EXPERIMENTS.path}/{run['public_id']}")).status == 200
    assert (await rest(server, "GET", of(run))).status == 404
    trail = (await rest(server, "GET", f"{API}/audit?public_id={note['public_id']}")).body["data"]
    assert [entry["action"] for entry in trail] == ["removed", "changed", "added"]
