"""`/tokens`, row by row, and when they were last used."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API, JSON, TIMESTAMP, alone, briefly, everything
from tests.plant import Newcomer, Server, furnish, now_us, running_server, settings_for
from tests.wire import Reply, call, connect, ending, until
from webmacs.auth import api_token_digest, new_api_token
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Actor, Role, Write
from webmacs.storage import accounts, plugins

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = f"{API}/tokens"


async def by(server: Server, somebody: Newcomer, method: str, path: str, body: object = None) -> Reply:
    """A request in somebody's own session."""
    return await call(server, method, path, somebody.jwt, **({} if body is None else {"json": body}))


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_token_is_made_used_shown_and_removed(shared: Server, slash: str) -> None:
    me = await shared.newcomer(Role.VIEWER)
    reply = await by(shared, me, "POST", TOKENS + slash, {"name": "Gerät 1"})
    assert reply.status == 201
    made = reply.body
    assert re.fullmatch(r"wm_[\w-]{64}", made["token"])
    assert re.fullmatch(TIMESTAMP, made["created_at"])
    assert made == {
        "public_id": made["public_id"],
        "name": "Gerät 1",
        "token": made["token"],
        "expires_at": None,
        "created_at": made["created_at"],
        "scope": "full",
        "plugin_public_id": None,
    }
    listed = (await by(shared, me, "GET", TOKENS + slash)).body
    assert listed["total"] == 2
    assert listed["data"][0] == {
        "public_id": made["public_id"],
        "name": "Gerät 1",
        "last_used_at": None,
        "expires_at": None,
        "created_at": made["created_at"],
        "user_public_id": me.public_id,
        "scope": "full",
        "plugin_public_id": None,
    }
    assert (await call(shared, "GET", f"{API}/auth/me", made["token"])).body["public_id"] == me.public_id
    stream = await connect(shared, "/ws/datapoints/stream", made["token"])
    reply = await by(shared, me, "DELETE", f"{TOKENS}/{made['public_id']}{slash}")
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "token Gerät 1 removed"})
    assert (await call(shared, "GET", f"{API}/auth/me", made["token"])).status == 401
    assert await ending(stream) == (1008, "Token has been revoked")
    reply = await by(shared, me, "DELETE", f"{TOKENS}/{made['public_id']}{slash}")
    assert (reply.status, reply.detail) == (404, f"there is no token {made['public_id']}")


@pytest.mark.promise("S1")
async def test_the_text_of_a_token_is_kept_nowhere(shared: Server) -> None:
    me = await shared.newcomer()
    text = (await by(shared, me, "POST", TOKENS, {"name": "a"})).body["token"]
    assert text not in str(await shared.parts.storage.fetch("SELECT * FROM api_tokens"))
    assert text not in str((await by(shared, me, "GET", TOKENS)).body)
    assert "digest" not in (await by(shared, me, "GET", TOKENS)).body["data"][0]


async def test_one_sees_ones_own_tokens_and_an_administrator_all_the_newest_first(shared: Server) -> None:
    me, other = await shared.newcomer(Role.OPERATOR), await shared.newcomer(Role.VIEWER)
    mine = [(await by(shared, me, "POST", TOKENS, {"name": name})).body["public_id"] for name in ("a", "b")]
    seen = (await by(shared, me, "GET", TOKENS)).body["data"]
    assert [token["public_id"] for token in seen] == [*mine[::-1], me.api_token_id]
    everyones = [token["public_id"] for token in await everything(shared, TOKENS)]
    assert everyones[:4] == [*mine[::-1], other.api_token_id, me.api_token_id]


async def test_one_removes_ones_own_tokens_and_an_administrator_any(shared: Server) -> None:
    me, other, chief = [await shared.newcomer(role) for role in (Role.OPERATOR, Role.OPERATOR, Role.ADMIN)]
    reply = await by(shared, me, "DELETE", f"{TOKENS}/{other.api_token_id}")
    assert (reply.status, reply.detail) == (403, "Insufficient permissions")
    assert (await call(shared, "GET", f"{API}/auth/me", other.api_token)).status == 200
    assert (await by(shared, me, "DELETE", f"{TOKENS}/nobody")).status == 404
    assert (await by(shared, me, "DELETE", f"{TOKENS}/%00")).status == 404
    assert (await by(shared, chief, "DELETE", f"{TOKENS}/{other.api_token_id}")).status == 200
    assert (await call(shared, "GET", f"{API}/auth/me", other.api_token)).status == 401


@pytest.mark.promise("S3")
@pytest.mark.parametrize("role", Role)
async def test_a_token_makes_and_removes_no_tokens_whoever_it_belongs_to(shared: Server, role: Role) -> None:
    token = shared.plant.tokens[role]
    before = await everything(shared, TOKENS)
    for method, path, body in (
        ("POST", TOKENS, b'{"name": "a"}'),
        ("POST", TOKENS, b"{"),  # nothing of it is looked at
        ("DELETE", f"{TOKENS}/{before[0]['public_id']}", None),
        ("DELETE", f"{TOKENS}/nobody", None),
    ):
        reply = await call(shared, method, path, token, data=body, headers=JSON)
        assert (reply.status, reply.detail) == (403, "Insufficient permissions")
    assert len(await everything(shared, TOKENS)) == len(before)


TIMES = [
    ("2999-01-02T03:04:05.678Z", "2999-01-02T03:04:05.678000Z"),
    ("2999-01-02T03:04:05", "2999-01-02T03:04:05Z"),
    ("2999-01-02T03:04:05+02:00", "2999-01-02T01:04:05Z"),
    ("2999-01-02", "2999-01-02T00:00:00Z"),
    (4_102_444_800, "2100-01-01T00:00:00Z"),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    (None, None),
]


@pytest.mark.parametrize(("sent", "shown"), TIMES, ids=str)
async def test_a_token_may_expire(shared: Server, sent: object, shown: str | None) -> None:
    me = await shared.newcomer()
    made = (await by(shared, me, "POST", TOKENS, {"name": "a", "expires_at": sent})).body
    assert made["expires_at"] == shown
    assert (await by(shared, me, "GET", TOKENS)).body["data"][0]["expires_at"] == shown


NO_TIMES = ['"tomorrow"', '""', "[]", "{}", "NaN", "1e400", "1" + "0" * 400, '"2999-13-01"', "true", '"\\ud800"']
BEYOND = ['"2020-01-01T00:00:00Z"', "0", '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-12:00"']


@pytest.mark.parametrize("raw", [*NO_TIMES, *BEYOND], ids=lambda raw: raw[:30])
async def test_a_time_that_cannot_be_is_422_and_breaks_nothing(shared: Server, raw: str) -> None:
    me = await shared.newcomer(Role.VIEWER)
    body = f'{{"name": "a", "expires_at": {raw}}}'.encode()
    reply = await call(shared, "POST", TOKENS, me.jwt, data=body, headers=JSON)
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "expires_at")
    assert (await by(shared, me, "GET", TOKENS)).body["total"] == 1


NO_NAMES = ['""', "null", "1", "[]", '"a\\u0000"', '"\\ud800"', f'"{"x" * 256}"']


@pytest.mark.parametrize("raw", NO_NAMES, ids=briefly)
async def test_a_name_that_cannot_be_is_422(shared: Server, raw: str) -> None:
    me = await shared.newcomer(Role.VIEWER)
    reply = await call(shared, "POST", TOKENS, me.jwt, data=f'{{"name": {raw}}}'.encode(), headers=JSON)
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "name")


async def test_an_expired_token_is_refused(shared: Server) -> None:
    me, text, past_us = await shared.newcomer(), new_api_token(), now_us() - 1
    digest = api_token_digest(text)
    storage = shared.parts.storage
    await accounts.add_token(storage, user_id=me.id, name="a", digest=digest, expires_us=past_us, now_us=past_us)
    await shared.parts.catalog.reload()
    reply = await call(shared, "GET", f"{API}/auth/me", text)
    assert (reply.status, reply.detail) == (401, "Invalid or expired token")
    assert (await by(shared, me, "GET", TOKENS)).body["data"][0]["last_used_at"] is None


# -- the last use ----------------------------------------------------------------------------------------------------


async def last_use(server: Server, token: str) -> str | None:
    found: str | None = next(
        entry["last_used_at"] for entry in await everything(server, TOKENS) if entry["public_id"] == token
    )
    return found


@alone
async def test_a_use_is_shown_at_once_over_http_and_on_a_socket(server: Server) -> None:
    somebody = await server.newcomer(Role.VIEWER)
    assert await last_use(server, somebody.api_token_id) is None
    assert (await call(server, "GET", f"{API}/auth/me", somebody.api_token)).status == 200
    first = await last_use(server, somebody.api_token_id)
    assert first is not None
    assert re.fullmatch(TIMESTAMP, first)
    await connect(server, "/ws/datapoints/stream", somebody.api_token)
    second = await last_use(server, somebody.api_token_id)
    assert second is not None
    assert second > first
    await by(server, somebody, "GET", f"{API}/auth/me")  # the session is no use of the token
    assert await last_use(server, somebody.api_token_id) == second


@alone
async def test_uses_are_stored_together(server: Server) -> None:
    for role in Role:
        await call(server, "GET", f"{API}/auth/me", server.plant.tokens[role])
    written: list[int] = []
    write = server.parts.storage.write

    async def counted(*writes: Write, actor: Actor | None = None) -> int:
        written.extend(len(write.rows) for write in writes if "last_used_us" in write.statement)
        return await write(*writes, actor=actor)

    server.parts.storage.write = counted  # type: ignore[method-assign]
    await server.parts.uses.store()
    await server.parts.uses.store()
    assert written == [len(Role)]  # one statement, once
    assert len(await accounts.last_used(server.parts.storage)) == len(Role)
    assert server.parts.uses.waiting == {}


@alone
async def test_to_store_them_is_no_change_of_configuration(postgres_url: str, tmp_path: Path) -> None:
    """An SQLite storage does not hear of its own changes; PostgreSQL says them to all servers, in order."""
    storage = load_storage(settings_for(postgres_url, tmp_path))
    await storage.open()
    plant = await furnish(storage)
    heard: list[None] = []
    storage.watch(lambda: heard.append(None))
    await until(lambda: len(heard) == 1)  # what happened while nobody listened
    await plugins.enable_plugin(storage, plant.plugin, enabled=False)
    await until(lambda: len(heard) == 2)
    await storage.write(accounts.used({1: 100, 2: 100}))
    await plugins.enable_plugin(storage, plant.plugin, enabled=True)
    await until(lambda: len(heard) >= 3)
    await asyncio.sleep(0.2)
    await storage.close()
    assert len(heard) == 3


@alone
async def test_the_last_use_outlives_a_restart(serve: Serve) -> None:
    server = await serve()
    somebody = await server.newcomer(Role.VIEWER)
    await call(server, "GET", f"{API}/auth/me", somebody.api_token)
    used = await last_use(server, somebody.api_token_id)
    assert used is not None
    await server.stop()
    async with running_server(server.settings, server.plant) as again:
        assert await last_use(again, somebody.api_token_id) == used


@alone
async def test_a_use_that_cannot_be_stored_waits_and_later_uses_are_not_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses, storage = server.parts.uses, server.parts.storage
    await uses.store()

    async def away(*_writes: Write) -> int:
        raise StorageUnavailable("away")

    uses.used(1, 100)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", away)
        await uses.store()
    assert uses.waiting == {1: 100}
    write = storage.write

    async def used_meanwhile(*writes: Write, actor: Actor | None = None) -> int:
        uses.used(1, 200)
        return await write(*writes, actor=actor)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", used_meanwhile)
        await uses.store()
    assert (uses.waiting, (await accounts.last_used(storage))[1]) == ({1: 200}, 100)
    await uses.store()
    assert (uses.waiting, (await accounts.last_used(storage))[1]) == ({}, 200)
    await storage.write(accounts.used({1: 150}))  # of another server, which was slow
    assert (await accounts.last_used(storage))[1] == 200
