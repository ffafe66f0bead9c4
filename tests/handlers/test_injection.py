"""Text from outside stays text: in SQL, in HTML, in a file for a spreadsheet. Of the log see `tests/test_logs.py`."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import pytest

from tests.handlers.rest import ALL, API, EVENTS, EXPERIMENTS, Resource, everything, fresh, made, posted, rest, stop_all
from tests.plant import PASSWORD, Server
from tests.rawsocket import RawSocket
from tests.wire import STREAM, acknowledged, call
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("S10")]

STATEMENTS = [
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    '" OR ""="',
    "1); DELETE FROM datapoints; --",
    "') UNION SELECT password_hash FROM users --",
    "\\'; DROP TABLE events; --",
    ":name %(name)s %s ? $1 {name} {0}",
    "%' OR 1=1 --",
    "\u02bc; DROP TABLE users; --",
    "E'\\x27' /* */ ; -- \n DROP TABLE users",
]
TABLES = ("users", "events", "experiments", "rules", "webhooks", "dashboards", "plugins", "logs", "api_tokens")


async def counts(server: Server) -> dict[str, int]:
    """How many rows each table has."""
    return {
        table: (await server.parts.storage.fetch(f"SELECT count(*) FROM {table}"))[0][0]
        for table in (*TABLES, "datapoints")
    }


@pytest.mark.parametrize("resource", ALL, ids=str)
async def test_a_statement_in_a_field_is_a_text_like_any_other(shared: Server, resource: Resource) -> None:
    before = await counts(shared)
    for statement in STATEMENTS:
        for field in resource.texts:
            text = f"{statement} {fresh()}"
            added = await rest(shared, "POST", resource.path, {**resource.body(shared), field: text})
            assert added.status in {201, 404, 409, 422}, (field, added)
            if added.status != 201 or field in {"password", "secret"}:
                continue
            (kept,) = [item for item in await newest(shared, resource) if item[field] == text]
            path = f"{resource.path}/{kept['public_id']}"
            changed = await rest(shared, "PUT", path, {field: f"{statement} {fresh()}"})
            assert changed.status in {200, 404, 422}, (field, changed)
            if resource is EXPERIMENTS:
                assert (await rest(shared, "PUT", f"{path}/stop")).status == 200
    after = await counts(shared)
    assert all(after[table] >= before[table] for table in before)


async def newest(server: Server, resource: Resource) -> list[dict[str, Any]]:
    """All of them; whichever way the list is ordered."""
    return await everything(server, resource.path)


async def test_a_statement_in_a_path_or_a_query_finds_nothing(shared: Server) -> None:
    before = await counts(shared)
    for statement in STATEMENTS:
        escaped = quote(statement, safe="")
        for resource in ALL:
            for method in ("GET", "DELETE"):
                reply = await rest(shared, method, f"{resource.path}/{escaped}")
                assert reply.status in {404, 405}, (resource, method)
        for path in (
            f"{API}/datapoints/{escaped}",
            f"{API}/datapoints?event_public_id={escaped}",
            f"{API}/events?page={escaped}",
            f"{API}/webhooks/{escaped}/deliveries",
            f"{API}/experiments/{escaped}/export/csv",
        ):
            reply = await rest(shared, "GET", path)
            assert reply.status in {404, 422} or reply.body["data"] == [], path
    assert await counts(shared) == before


async def test_a_statement_logs_nobody_in_and_is_no_reading(shared: Server) -> None:
    email, viewer = shared.plant.emails[Role.ADMIN], shared.plant.tokens[Role.VIEWER]
    before = await counts(shared)
    socket = await shared.telemetry()
    for statement in STATEMENTS:
        for name, password in ((f"{email}{statement}", PASSWORD), (email, statement), (statement, statement)):
            reply = await call(shared, "POST", f"{API}/auth/login", json={"email": name, "password": password})
            assert reply.status in {401, 422}
        assert (await call(shared, "GET", f"{API}/auth/me", statement.replace("\n", " "))).status == 401
        batch = {"datapoints": [{"value": 1.0, "event_public_id": statement}]}
        answer = await acknowledged(socket, {**batch, "batch_id": f"{statement} {fresh()}".replace("\n", "")[:64]})
        assert answer.get("accepted", 0) == 0
        where = f"{STREAM}?events={quote(statement, safe='')}&snapshot=1&token={viewer}"
        async with await RawSocket.open(shared.address, where) as stream:
            assert (await stream.message())["type"] == "connected"
    await socket.close()
    assert await counts(shared) == before


# -- HTML ------------------------------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


async def test_markup_in_a_name_is_data_in_json_and_in_no_page(shared: Server) -> None:
    event = await made(shared, EVENTS, name=f"{SCRIPT} {fresh()}")
    reply = await rest(shared, "GET", f"{EVENTS.path}/{event['public_id']}")
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.body["name"] == event["name"]
    page = await call(shared, "GET", "/docs")
    assert b"alert(1)" not in page.body
    for path in (f"/{quote(SCRIPT)}", f"/docs/{quote(SCRIPT)}", f"{EVENTS.path}/{quote(SCRIPT)}"):
        reply = await rest(shared, "GET", path)
        assert reply.status == 404
        assert reply.headers["Content-Type"].startswith("application/json")


# -- spreadsheets ----------------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+24 V", "-5 V", "@supply", '=HYPERLINK("http://evil.example.org")', "\t=1", '",=1']


async def test_a_csv_file_says_what_an_event_is_called_and_nothing_else(shared: Server) -> None:
    """A name may begin like a formula, as `+24 V` does: it is quoted where CSV wants it, and not changed, or it would
    come back as another one (docs/operations.md says how to open such a file).
    """
    event = shared.plant.linked[0]
    await stop_all(shared)
    for name in FORMULAS:
        assert (await rest(shared, "PUT", f"{EVENTS.path}/{event}", {"name": name})).status == 200
        assert (await rest(shared, "POST", EXPERIMENTS.path, {"name": f"{name} {fresh()}"})).status == 201
        await posted(shared, 1.0)
        (running,) = [one for one in await everything(shared, EXPERIMENTS.path) if one["stopped_on"] is None]
        await rest(shared, "PUT", f"{EXPERIMENTS.path}/{running['public_id']}/stop")
        reply = await rest(shared, "GET", f"{EXPERIMENTS.path}/{running['public_id']}/export/csv")
        _, row = csv.reader(io.StringIO(reply.body.decode(), newline=""))
        assert row[1] == name
        assert reply.headers["Content-Type"].startswith("text/csv")  # which no browser shows as a page
        assert reply.headers["Content-Disposition"].startswith("attachment;")
