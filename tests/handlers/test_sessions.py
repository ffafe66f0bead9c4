"""Logging in and out over HTTP, and who one is.

HTTP contract, "Authentication" and "auth".
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

import pytest

from tests.plant import PASSWORD, Server, now_us
from tests.wire import Reply, call
from webmacs.auth import MAX_PASSWORD_LENGTH
from webmacs.errors import Overloaded
from webmacs.model import Role, Write
from webmacs.storage import accounts

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN, LOGOUT, ME = "/api/v1/auth/login", "/api/v1/auth/logout", "/api/v1/auth/me"
BATCH = "/api/v1/datapoints/batch"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


# -- logging in ------------------------------------------------------------------------------------------------


async def login(server: Server, email: object, password: object = PASSWORD, **more: object) -> Reply:
    return await call(server, "POST", LOGIN, json={"email": email, "password": password, **more})


async def test_a_login_is_answered_with_a_token_and_who_it_is(shared: Server) -> None:
    owner = await shared.newcomer(Role.VIEWER)
    reply = await login(shared, owner.email)
    assert reply.status == 200
    assert reply.body == {
        "status": "success",
        "message": reply.body["message"],
        "access_token": reply.body["access_token"],
        "public_id": owner.public_id,
        "username": owner.email,
    }
    assert (await call(shared, "GET", ME, reply.body["access_token"])).body["public_id"] == owner.public_id


async def test_a_login_is_written_down(shared: Server) -> None:
    owner = await shared.newcomer()
    await login(shared, owner.email)
    rows = await shared.parts.storage.fetch("SELECT content FROM logs WHERE user_id = :id", id=owner.id)
    assert rows == [(f"user {owner.email} logged in",)]


async def test_two_logins_are_two_sessions(shared: Server) -> None:
    owner = await shared.newcomer()
    first, second = [(await login(shared, owner.email)).body["access_token"] for _ in range(2)]
    assert first != second
    assert (await call(shared, "POST", LOGOUT, first)).status == 200
    assert (await call(shared, "GET", ME, first)).status == 401
    assert (await call(shared, "GET", ME, second)).status == 200


async def test_addresses_are_compared_without_case(shared: Server) -> None:
    assert (await login(shared, f" {shared.plant.emails[Role.ADMIN].upper()} ")).status == 200


async def test_more_fields_are_ignored(shared: Server) -> None:
    assert (await login(shared, shared.plant.emails[Role.ADMIN], remember=True)).status == 200


@pytest.mark.promise("S5")
@pytest.mark.parametrize("password", ["wrong", PASSWORD.upper(), f"{PASSWORD} ", "\x00", "ü" * 100, "x" * 1024])
async def test_a_wrong_pair_is_401(shared: Server, password: str) -> None:
    for email in (shared.plant.emails[Role.ADMIN], "nobody@example.org"):
        reply = await login(shared, email, password)
        assert (reply.status, reply.detail) == (401, "Incorrect email or password")
        assert "WWW-Authenticate" not in reply.headers


@pytest.mark.promise("S5")
async def test_an_unknown_user_costs_a_hash_as_a_known_one_does(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    verify = shared.parts.passwords._verify

    def counting(password_hash: str, password: str) -> bool:
        computed.append(password_hash.rsplit("$", 2)[0])
        return verify(password_hash, password)

    monkeypatch.setattr(shared.parts.passwords, "_verify", counting)
    await login(shared, shared.plant.emails[Role.ADMIN], "wrong")
    await login(shared, "nobody@example.org", "wrong")
    known, unknown = computed
    assert known == unknown  # algorithm and cost


BAD_LOGINS: list[dict[str, Any]] = [
    {},
    {"email": "a@b.org"},
    {"password": "x"},
    {"email": None, "password": "x"},
    {"email": "a@b.org", "password": None},
    {"email": "", "password": "x"},
    {"email": "a@b.org", "password": ""},
    {"email": 1, "password": "x"},
    {"email": "a@b.org", "password": 1},
    {"email": ["a@b.org"], "password": "x"},
    {"email": "a\x00b@b.org", "password": "x"},
    {"email": "\ud800@b.org", "password": "x"},
    {"email": "a@b.org", "password": "\ud800"},
    {"email": "a" * 255, "password": "x"},
    {"email": "a@b.org", "password": "x" * (MAX_PASSWORD_LENGTH + 1)},
]


@pytest.mark.parametrize("body", BAD_LOGINS)
async def test_what_is_no_login_is_422_and_repeats_nothing(shared: Server, body: dict[str, Any]) -> None:
    reply = await call(shared, "POST", LOGIN, json=body)
    assert reply.status == 422
    assert re.match(r"(email|password): ", reply.detail)
    assert "b.org" not in reply.detail


async def test_too_many_logins_at_once_are_503(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_hash: str | None, _password: str) -> bool:
        raise Overloaded("Too many logins at once, try again in a moment")

    monkeypatch.setattr(shared.parts.passwords, "verify", full)
    reply = await login(shared, shared.plant.emails[Role.ADMIN])
    assert (reply.status, reply.detail) == (503, "Too many logins at once, try again in a moment")
    assert reply.headers["Retry-After"].isdigit()


async def test_a_flood_of_logins_is_bounded_and_holds_up_nobody(shared: Server) -> None:
    loop = asyncio.get_running_loop()
    lags = []

    async def watch() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            lags.append(loop.time() - before - 0.005)

    watching = asyncio.create_task(watch())
    replies = await asyncio.gather(*(login(shared, "nobody@example.org", "wrong") for _ in range(40)))
    watching.cancel()
    bound = shared.settings.auth.max_pending_logins
    assert [reply.status for reply in replies].count(401) >= bound
    assert {reply.status for reply in replies} == {401, 503}
    assert sorted(lags)[len(lags) // 2] < 0.02


async def test_a_user_made_by_another_process_can_log_in_at_once(shared: Server) -> None:
    email = f"{uuid.uuid4()}@example.org"
    _, password_hash = await accounts.user_by_email(shared.parts.storage, shared.plant.emails[Role.ADMIN])
    await accounts.add_user(
        shared.parts.storage,
        email=email,
        username=email,
        password_hash=password_hash,
        role=Role.VIEWER,
        now_us=now_us(),
    )
    token = (await login(shared, email)).body["access_token"]
    assert (await call(shared, "GET", ME, token)).body["email"] == email


# -- logging out, and who one is -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [LOGOUT, f"{LOGOUT}/"])
async def test_logging_out_ends_the_session_at_once(shared: Server, path: str) -> None:
    owner = await shared.newcomer()
    reply = await call(shared, "POST", path, owner.jwt)
    assert (reply.status, reply.body["status"]) == (200, "success")
    again = await call(shared, "GET", ME, owner.jwt)
    assert (again.status, again.detail) == (401, "Token has been revoked")


async def test_the_token_itself_is_not_kept(shared: Server) -> None:
    owner = await shared.newcomer()
    await call(shared, "POST", LOGOUT, owner.jwt)
    kept = await shared.parts.storage.fetch("SELECT * FROM revoked_tokens")
    assert owner.jwt.split(".")[2] not in repr(kept)


async def test_logging_out_with_an_api_token_changes_nothing(shared: Server) -> None:
    owner = await shared.newcomer()
    assert (await call(shared, "POST", LOGOUT, owner.api_token)).status == 200
    assert (await call(shared, "GET", ME, owner.api_token)).status == 200


async def test_a_removed_user_is_401(shared: Server) -> None:
    owner = await shared.newcomer()
    await accounts.remove_user(shared.parts.storage, owner.id)
    await shared.parts.catalog.reload()
    reply = await call(shared, "GET", ME, owner.jwt)
    assert (reply.status, reply.detail) == (401, "User not found")


@pytest.mark.parametrize("role", Role)
async def test_me_is_a_user_with_all_fields(shared: Server, role: Role) -> None:
    owner = await shared.newcomer(role)
    for token in (owner.jwt, owner.api_token):
        reply = await call(shared, "GET", ME, token)
        assert re.fullmatch(TIMESTAMP, reply.body["registered_on"])
        assert reply.body == {
            "public_id": owner.public_id,
            "email": owner.email,
            "username": owner.email,
            "role": role.value,
            "admin": role is Role.ADMIN,
            "registered_on": reply.body["registered_on"],
            "sso_provider": None,
        }


async def test_the_role_is_that_of_now_not_of_the_login(shared: Server) -> None:
    owner = await shared.newcomer(Role.VIEWER)
    assert (await call(shared, "POST", BATCH, owner.jwt, json={"datapoints": []})).status == 403
    promote = Write("UPDATE users SET role = 'operator' WHERE id = :id", ({"id": owner.id},))
    await shared.parts.storage.write(promote)
    await shared.parts.catalog.reload()
    assert (await call(shared, "POST", BATCH, owner.jwt, json={"datapoints": []})).status == 201
