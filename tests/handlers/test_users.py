"""`/users`, row by row."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.handlers.rest import (
    API,
    EVENTS,
    RULES,
    TIMESTAMP,
    USERS,
    alone,
    changed,
    everything,
    made,
    posted,
    rest,
    shown,
)
from tests.plant import PASSWORD, Newcomer, Server
from tests.wire import Reply, call, ending
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAST = "this is the last administrator; add another one first"


async def by(server: Server, somebody: Newcomer, method: str, path: str, body: object = None) -> Reply:
    """A request in somebody's own session."""
    return await call(server, method, path, somebody.jwt, **({} if body is None else {"json": body}))


async def login(server: Server, email: str, password: str) -> int:
    return (await call(server, "POST", f"{API}/auth/login", json={"email": email, "password": password})).status


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_user_is_added_shown_changed_and_removed(shared: Server, slash: str) -> None:
    body = USERS.body(shared)
    reply = await rest(shared, "POST", USERS.path + slash, body)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": f"user {body['username']} added"})
    user = (await everything(shared, USERS.path + slash))[-1]
    assert re.fullmatch(TIMESTAMP, user["registered_on"])
    assert user == {
        "public_id": user["public_id"],
        "email": body["email"],
        "username": body["username"],
        "role": "viewer",
        "admin": False,
        "registered_on": user["registered_on"],
        "sso_provider": None,
    }
    assert await login(shared, body["email"], body["password"]) == 200
    path = f"{USERS.path}/{user['public_id']}{slash}"
    assert (await rest(shared, "GET", path, role=Role.VIEWER)).body == user
    reply = await rest(shared, "PUT", path, {"role": "admin"})
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "user changed"})
    assert (await rest(shared, "GET", path)).body == {**user, "role": "admin", "admin": True}
    reply = await rest(shared, "DELETE", path)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": f"user {body['username']} removed"})
    assert await login(shared, body["email"], body["password"]) == 401
    for method, sent in (("GET", None), ("PUT", {}), ("DELETE", None)):
        reply = await rest(shared, method, path, sent)
        assert (reply.status, reply.detail) == (404, f"there is no user {user['public_id']}")


CHANGES: list[dict[str, Any]] = [{"username": "Ünal"}, {"email": "other@localhost"}, {"role": "operator"}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_each_field_changes_alone_and_null_leaves_it(shared: Server, change: dict[str, Any]) -> None:
    user = await made(shared, USERS)
    nothing = dict.fromkeys(("email", "username", "password", "role"))
    after = {**user, **change}
    assert await changed(shared, USERS, user["public_id"], nothing) == user
    assert await changed(shared, USERS, user["public_id"], {**nothing, **change}) == after
    assert (await rest(shared, "DELETE", f"{USERS.path}/{user['public_id']}")).status == 200


async def test_an_address_is_the_same_in_any_case(shared: Server) -> None:
    user = await made(shared, USERS)
    reply = await rest(shared, "POST", USERS.path, {**USERS.body(shared), "email": user["email"].upper()})
    assert (reply.status, reply.detail) == (409, "a user with that e-mail or name exists already")


async def test_a_name_that_is_taken_is_409(shared: Server) -> None:
    user, other = await made(shared, USERS), await made(shared, USERS)
    taken = {"username": user["username"]}
    replies = [
        await rest(shared, "POST", USERS.path, {**USERS.body(shared), **taken}),
        await rest(shared, "PUT", f"{USERS.path}/{other['public_id']}", taken),
    ]
    assert [reply.status for reply in replies] == [409, 409]


@pytest.mark.parametrize("email", ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "a@b\n"])
async def test_what_is_no_address_is_422(shared: Server, email: str) -> None:
    reply = await rest(shared, "POST", USERS.path, {**USERS.body(shared), "email": email})
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "email")


@pytest.mark.parametrize(("field", "text"), [("username", "a"), ("password", "x" * 7), ("password", "x" * 1025)])
async def test_what_is_too_short_or_too_long_is_422(shared: Server, field: str, text: str) -> None:
    reply = await rest(shared, "POST", USERS.path, {**USERS.body(shared), field: text})
    assert (reply.status, reply.detail.partition(":")[0]) == (422, field)


@pytest.mark.parametrize("password", ["x" * 1024, "ü" * 100, "a\0bcdefgh", "🌡" * 8])
async def test_any_password_of_that_length_lets_in(shared: Server, password: str) -> None:
    user = await made(shared, USERS, password=password)
    assert await login(shared, user["email"], password) == 200
    assert await login(shared, user["email"], password[:-1]) == 401


# -- oneself and others ----------------------------------------------------------------------------------------------


@pytest.mark.promise("S3")
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_one_changes_oneself_and_nobody_else(shared: Server, role: Role) -> None:
    me, other = await shared.newcomer(role), await shared.newcomer(Role.VIEWER)
    assert (await by(shared, me, "PUT", f"{USERS.path}/{me.public_id}", {"username": me.public_id})).status == 200
    assert (await shown(shared, USERS, me.public_id))["username"] == me.public_id
    for path in (f"{USERS.path}/{other.public_id}", f"{USERS.path}/nobody"):
        for body in ({"username": "me now"}, {"username": 1}, {}):
            reply = await by(shared, me, "PUT", path, body)
            assert (reply.status, reply.detail) == (403, "Insufficient permissions")
    assert (await shown(shared, USERS, other.public_id))["username"] == other.email


@pytest.mark.promise("S3")
async def test_nobody_gives_oneself_a_role(shared: Server) -> None:
    me = await shared.newcomer(Role.OPERATOR)
    for role in ("admin", "operator", "viewer"):
        reply = await by(shared, me, "PUT", f"{USERS.path}/{me.public_id}", {"role": role})
        assert (reply.status, reply.detail) == (403, "Insufficient permissions")
    assert (await by(shared, me, "PUT", f"{USERS.path}/{me.public_id}", {"role": None})).status == 200


async def test_ones_own_password_needs_the_old_one_and_ends_all_sessions(shared: Server) -> None:
    me = await shared.newcomer(Role.VIEWER)
    path, new = f"{USERS.path}/{me.public_id}", "a new password"
    for body, detail in (
        ({"password": new}, "old_password: is needed to change one's own password"),
        ({"password": new, "old_password": "wrong"}, "old_password: is not the password"),
    ):
        reply = await by(shared, me, "PUT", path, body)
        assert (reply.status, reply.detail) == (422, detail)
    assert (await by(shared, me, "GET", f"{API}/auth/me")).status == 200
    stream = await shared.client.ws_connect(f"{shared.address}/ws/datapoints/stream", params={"token": me.jwt})
    assert (await by(shared, me, "PUT", path, {"password": new, "old_password": PASSWORD})).status == 200
    reply = await by(shared, me, "GET", f"{API}/auth/me")
    assert (reply.status, reply.detail) == (401, "Token has been revoked")
    assert await ending(stream) == (1008, "Token has been revoked")
    assert (await call(shared, "GET", f"{API}/auth/me", me.api_token)).status == 200
    assert [await login(shared, me.email, password) for password in (PASSWORD, new)] == [401, 200]


async def test_an_administrator_gives_somebody_a_new_password_without_the_old_one(shared: Server) -> None:
    somebody = await shared.newcomer()
    reply = await rest(shared, "PUT", f"{USERS.path}/{somebody.public_id}", {"password": "a new password"})
    assert reply.status == 200
    assert (await by(shared, somebody, "GET", f"{API}/auth/me")).status == 401
    assert [await login(shared, somebody.email, password) for password in (PASSWORD, "a new password")] == [401, 200]


async def test_other_changes_leave_sessions_alone(shared: Server) -> None:
    somebody = await shared.newcomer()
    assert (await rest(shared, "PUT", f"{USERS.path}/{somebody.public_id}", {"role": "viewer"})).status == 200
    assert (await by(shared, somebody, "GET", f"{API}/auth/me")).body["role"] == "viewer"
    assert (await by(shared, somebody, "POST", EVENTS.path, EVENTS.body(shared))).status == 403


async def test_no_hash_is_ever_shown(shared: Server) -> None:
    assert "argon2" not in str(await everything(shared, USERS.path))


# -- what stays ------------------------------------------------------------------------------------------------------


@alone
async def test_with_a_user_go_credentials_and_nothing_else(server: Server) -> None:
    somebody = await server.newcomer()
    assert (await by(server, somebody, "POST", EVENTS.path, EVENTS.body(server))).status == 201
    assert (await by(server, somebody, "POST", RULES.path, RULES.body(server))).status == 201
    running = (await everything(server, f"{API}/experiments"))[0]
    assert (await by(server, somebody, "PUT", f"{API}/experiments/{running['public_id']}/stop")).status == 200
    assert (await by(server, somebody, "POST", f"{API}/experiments", {"name": "mine"})).status == 201
    await posted(server, 4.0)
    paths = [EVENTS.path, RULES.path, f"{API}/experiments"]
    before = [await everything(server, path) for path in paths]
    assert {items[-1]["user_public_id"] for items in before} == {somebody.public_id}
    stream = await server.client.ws_connect(
        f"{server.address}/ws/datapoints/stream", params={"token": somebody.api_token}
    )
    assert (await rest(server, "DELETE", f"{USERS.path}/{somebody.public_id}")).status == 200
    for items, path in zip(before, paths, strict=True):
        nobody = "" if path == RULES.path else None  # clients that exist want a text there
        assert await everything(server, path) == [*items[:-1], {**items[-1], "user_public_id": nobody}]
    (point,) = (await rest(server, "GET", f"{API}/datapoints/latest")).body
    assert (point["value"], point["experiment_public_id"]) == (4.0, before[2][-1]["public_id"])
    assert await server.parts.storage.count() == 1
    for token, reason in ((somebody.jwt, "User not found"), (somebody.api_token, "Invalid or expired token")):
        reply = await call(server, "GET", f"{API}/auth/me", token)
        assert (reply.status, reply.detail) == (401, reason)
    assert (await ending(stream))[0] == 1008


@alone
async def test_the_last_administrator_stays_one(server: Server) -> None:
    (last,) = [user for user in await everything(server, USERS.path) if user["admin"]]
    path = f"{USERS.path}/{last['public_id']}"
    replies = [
        await rest(server, "DELETE", path),
        await rest(server, "PUT", path, {"role": "viewer"}),
        await rest(server, "PUT", path, {"role": "operator", "username": "else"}),
    ]
    assert [(reply.status, reply.detail) for reply in replies] == [(409, LAST)] * 3
    assert await shown(server, USERS, last["public_id"]) == last
    assert (await changed(server, USERS, last["public_id"], {"role": "admin", "username": "chief"}))["admin"] is True


@alone
@pytest.mark.parametrize("deeds", [("DELETE", "DELETE"), ("PUT", "PUT"), ("DELETE", "PUT")], ids=str)
async def test_of_two_administrators_who_remove_each_other_one_stays(server: Server, deeds: tuple[str, str]) -> None:
    (first,) = [user["public_id"] for user in await everything(server, USERS.path) if user["admin"]]
    second = (await server.newcomer(Role.ADMIN)).public_id
    replies = await asyncio.gather(
        *(
            rest(server, method, f"{USERS.path}/{public_id}", {"role": "viewer"} if method == "PUT" else None)
            for method, public_id in zip(deeds, (first, second), strict=True)
        )
    )
    assert sorted(reply.status for reply in replies) in ([200, 409], [200, 403], [200, 401])
    left = [user for user in server.parts.catalog.current.users.values() if user.role is Role.ADMIN]
    assert len(left) == 1


@alone
async def test_the_same_user_removed_twice_at_once_is_gone_once(server: Server) -> None:
    somebody = await server.newcomer()
    path = f"{USERS.path}/{somebody.public_id}"
    replies = await asyncio.gather(*(rest(server, "DELETE", path) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [200, 404, 404, 404, 404]
