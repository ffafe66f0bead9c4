"""Guessing passwords over HTTP: at the login, and where the old password is asked for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API
from tests.handlers.test_http import LOGIN, ME
from tests.plant import PASSWORD, Newcomer, Server
from tests.wire import Reply, acknowledged, call, points, until
from webmacs.errors import StorageUnavailable
from webmacs.model import Role
from webmacs.storage import accounts
from webmacs.testing import ManualClock

FREE = 3
MANY = 40  # passwords that are really looked at, some 30 ms each
AUTH = {"free_failures": FREE, "failure_pause_s": 10.0, "max_failure_pause_s": 3600.0}
BEHIND = {"trusted_proxies": ["127.0.0.0/8"]}
HELD_UP = "Too many failed logins for this account, or from this address; try again later"


async def login(server: Server, email: str, password: str = "wrong password", address: str = "192.0.2.1") -> Reply:
    headers = {"X-Forwarded-For": address}
    return await call(server, "POST", LOGIN, json={"email": email, "password": password}, headers=headers)


async def until_held_up(server: Server, email: str, **more: str) -> list[tuple[int, str]]:
    """What every wrong password is answered with, the last of them 429."""
    answers: list[tuple[int, str]] = []
    while not answers or answers[-1][0] != 429:
        reply = await login(server, email, **more)
        answers.append((reply.status, reply.detail))
        assert len(answers) < 50
    return answers


@pytest.mark.promise("S5")
async def test_after_some_wrong_passwords_there_are_pauses_whether_the_account_exists_or_not(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, auth=AUTH, server=BEHIND)
    owner = await server.newcomer(Role.VIEWER)
    pauses = []
    for email, address in ((owner.email, "192.0.2.1"), ("nobody@example.org", "192.0.2.2")):
        told = await until_held_up(server, email, address=address)
        assert told == [(401, "Incorrect email or password")] * (FREE + 1) + [(429, HELD_UP)]
        for _ in range(4):
            refused = await login(server, email, address=address)
            assert refused.status == 429
            pauses.append(int(refused.headers["Retry-After"]))
            clock.advance(pauses[-1])
            assert (await login(server, email, address=address)).status == 401
    assert pauses[:4] == pauses[4:]
    assert pauses[:4] == pytest.approx([10, 20, 40, 80], rel=0.01)


async def test_the_right_password_waits_and_then_ends_the_pauses(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, auth=AUTH, server=BEHIND)
    owner = await server.newcomer(Role.VIEWER)
    await until_held_up(server, owner.email)
    refused = await login(server, owner.email.upper(), PASSWORD)
    assert (refused.status, refused.detail) == (429, HELD_UP)
    clock.advance(int(refused.headers["Retry-After"]))
    assert (await login(server, owner.email, PASSWORD)).status == 200
    assert len(await until_held_up(server, owner.email)) == FREE + 2


@pytest.mark.promise("S5")
async def test_while_a_stranger_guesses_the_owner_is_let_in(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, auth=AUTH, server=BEHIND)
    owner = await server.newcomer(Role.VIEWER)
    for stranger in range(8):
        await until_held_up(server, owner.email, address=f"198.51.100.{stranger}")
        if stranger == 0:
            assert (await login(server, owner.email, PASSWORD, "192.0.2.1")).status == 200
    assert (await login(server, owner.email, PASSWORD, "192.0.2.2")).status == 429  # where nobody knows the owner
    assert (await login(server, owner.email, PASSWORD, "192.0.2.1")).status == 200
    assert (await call(server, "GET", ME, owner.api_token)).status == 200


@pytest.mark.promise("S9")
async def test_what_the_client_says_of_its_address_changes_nothing(serve: Serve) -> None:
    server = await serve(clock=ManualClock(), auth=AUTH)
    owner = await server.newcomer(Role.VIEWER)
    statuses = [(await login(server, owner.email, address=f"192.0.2.{number}")).status for number in range(FREE + 2)]
    assert statuses == [401] * (FREE + 1) + [429]


async def test_no_password_is_looked_at_during_a_pause(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(clock=ManualClock(), auth=AUTH)
    await until_held_up(server, server.plant.emails[Role.ADMIN])

    def looked_at(*_: object) -> bool:
        raise AssertionError("a password was looked at")

    monkeypatch.setattr(server.parts.passwords, "_verify", looked_at)
    assert (await login(server, server.plant.emails[Role.ADMIN], PASSWORD)).status == 429


async def test_a_storage_that_is_away_is_nobodys_failure(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(clock=ManualClock(), auth=AUTH)

    async def away(*_: object) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "user_by_email", away)
        statuses = {(await login(server, server.plant.emails[Role.ADMIN], PASSWORD)).status for _ in range(3 * FREE)}
    assert statuses == {503}
    assert (await login(server, server.plant.emails[Role.ADMIN], PASSWORD)).status == 200


# -- the old password ------------------------------------------------------------------------------------------------


async def change(server: Server, somebody: Newcomer, old_password: str) -> Reply:
    body = {"password": "another password", "old_password": old_password}
    headers = {"X-Forwarded-For": "192.0.2.1"}
    return await call(server, "PUT", f"{API}/users/{somebody.public_id}", somebody.jwt, json=body, headers=headers)


@pytest.mark.promise("S5")
async def test_a_wrong_old_password_is_a_failed_login(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, auth=AUTH, server=BEHIND)
    thief = await server.newcomer(Role.VIEWER)  # has got hold of a session, and wants the password
    replies = [await change(server, thief, "wrong password") for _ in range(FREE + 1)]
    assert [(reply.status, reply.detail) for reply in replies] == [(422, "old_password: is not the password")] * 4
    refused = await change(server, thief, PASSWORD)
    assert (refused.status, refused.detail, refused.headers["Retry-After"]) == (429, HELD_UP, "10")
    assert (await login(server, thief.email, PASSWORD)).status == 429
    clock.advance(10.0)
    assert (await change(server, thief, PASSWORD)).status == 200
    assert (await login(server, thief.email, "another password")).status == 200


# -- a flood -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S5")
async def test_two_hundred_logins_at_once_hold_up_nothing_else(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(server=BEHIND)
    controller, browser = await server.telemetry(), await server.stream()
    may_end = threading.Event()
    verify = server.parts.passwords._verify

    def as_slow_as_can_be(password_hash: str, password: str) -> bool:
        assert may_end.wait(60)
        return verify(password_hash, password)

    monkeypatch.setattr(server.parts.passwords, "_verify", as_slow_as_can_be)
    try:
        flood = [
            asyncio.create_task(login(server, f"{number}@example.org", address=f"198.51.100.{number}"))
            for number in range(200)
        ]
        pending = server.settings.auth.max_pending_logins
        await until(lambda: sum(not each.done() for each in flood) == pending)
        assert {each.result().status for each in flood if each.done()} == {503}

        # None of them has been decided, and everything else goes on.
        assert (await call(server, "GET", "/health")).body["status"] == "ok"
        assert (await call(server, "GET", ME, server.plant.tokens[Role.VIEWER])).status == 200
        acknowledged_at_once = await acknowledged(controller, {"datapoints": [server.reading(7.5)], "batch_id": "one"})
        assert acknowledged_at_once["accepted"] == 1
        assert [point["value"] for point in await points(browser)] == [7.5]
        assert sum(not each.done() for each in flood) == pending
    finally:
        may_end.set()
    assert [(await each).status for each in flood].count(401) == pending


async def test_while_real_passwords_are_looked_at_others_are_answered(serve: Serve) -> None:
    """Hashing lets go of the interpreter: requests are answered between two of them, not after the last."""
    server = await serve(auth={"max_pending_logins": MANY})
    flood = [asyncio.create_task(login(server, f"{number}@example.org")) for number in range(MANY)]
    answered_meanwhile = 0
    while not all(each.done() for each in flood):
        assert (await call(server, "GET", "/health")).status == 200
        answered_meanwhile += not all(each.done() for each in flood)
    assert [each.result().status for each in flood] == [401] * MANY
    assert answered_meanwhile > 10
