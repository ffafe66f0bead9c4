"""`/logging`, row by row."""

from __future__ import annotations

import re

import pytest

from tests.handlers.rest import API, LOGS, TIMESTAMP, changed, everything, fresh, made, rest
from tests.plant import Server
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_entry_is_added_shown_and_changed(shared: Server, slash: str) -> None:
    content = fresh("Zeile\nzwei 🌡")
    reply = await rest(shared, "POST", f"{LOGS.path}{slash}", {"content": content}, Role.OPERATOR)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": "entry added"})
    entry = (await rest(shared, "GET", f"{LOGS.path}{slash}?page_size=50", role=Role.VIEWER)).body["data"][0]
    assert re.fullmatch(TIMESTAMP, entry["created_on"])
    assert entry == {
        "public_id": entry["public_id"],
        "content": content,
        "logging_type": "info",
        "status_type": "unread",
        "created_on": entry["created_on"],
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"],
    }
    path = f"{LOGS.path}/{entry['public_id']}{slash}"
    assert (await rest(shared, "GET", path, role=Role.VIEWER)).body == entry
    reply = await rest(shared, "PUT", path, {"status_type": "read"}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "entry changed"})
    assert (await rest(shared, "GET", path)).body == {**entry, "status_type": "read"}


@pytest.mark.parametrize("kind", ["error", "warning", "info"])
async def test_every_type_there_is(shared: Server, kind: str) -> None:
    assert (await made(shared, LOGS, logging_type=kind))["logging_type"] == kind


@pytest.mark.parametrize("change", [{"content": "x" * 500}, {"status_type": "read"}, {"status_type": "unread"}])
async def test_each_field_changes_alone(shared: Server, change: dict[str, object]) -> None:
    entry = await made(shared, LOGS)
    assert await changed(shared, LOGS, entry["public_id"], change) == {**entry, **change}


@pytest.mark.parametrize("status", ['"nothing"', '""', "null", "1"])
async def test_a_status_that_there_is_not_is_422(shared: Server, status: str) -> None:
    entry = await made(shared, LOGS)
    reply = await rest(shared, "PUT", f"{LOGS.path}/{entry['public_id']}", f'{{"status_type": {status}}}')
    assert (reply.status, reply.detail) == (422, "status_type: Input should be 'read' or 'unread'")


async def test_the_newest_entry_comes_first(shared: Server) -> None:
    made_now = [(await made(shared, LOGS))["public_id"] for _ in range(3)]
    assert [entry["public_id"] for entry in await everything(shared, LOGS.path)][:3] == made_now[::-1]


async def test_an_entry_cannot_be_deleted(shared: Server) -> None:
    entry = await made(shared, LOGS)
    reply = await rest(shared, "DELETE", f"{LOGS.path}/{entry['public_id']}")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET,PUT")


async def test_a_login_is_an_entry_of_who_logged_in(shared: Server) -> None:
    await shared.login(Role.VIEWER)
    entry = (await everything(shared, LOGS.path))[0]
    me = (await rest(shared, "GET", f"{API}/auth/me", role=Role.VIEWER)).body
    assert (entry["content"], entry["user_public_id"]) == ("user viewer logged in", me["public_id"])


async def test_what_somebody_wrote_outlasts_the_account(shared: Server) -> None:
    somebody = await shared.newcomer()
    headers = {"Authorization": f"Bearer {somebody.jwt}"}
    async with shared.client.post(shared.address + LOGS.path, json={"content": "mine"}, headers=headers) as response:
        assert response.status == 201
    entry = (await everything(shared, LOGS.path))[0]
    assert entry["user_public_id"] == somebody.public_id
    assert (await rest(shared, "DELETE", f"{API}/users/{somebody.public_id}")).status == 200
    assert (await everything(shared, LOGS.path))[0] == {**entry, "user_public_id": ""}
