"""Users, API tokens and logged-out sessions, on every storage."""

from __future__ import annotations

import asyncio

import pytest

from tests.storage.rows import T0, new_event, new_experiment, snapshot
from webmacs.errors import Conflict, NotFound
from webmacs.model import ApiToken, Role, User, Write
from webmacs.storage import accounts
from webmacs.storage.base import Storage


async def add_user(storage: Storage, name: str = "ada", role: Role = Role.ADMIN) -> User:
    await accounts.add_user(
        storage, email=f"{name}@example.org", username=name, password_hash=f"hash of {name}", role=role, now_us=T0
    )
    user, _ = await accounts.user_by_email(storage, f"{name}@example.org")
    return user


async def add_token(storage: Storage, user: User, digest: str = "d", expires_us: int | None = None) -> str:
    return await accounts.add_token(
        storage, user_id=user.id, name="lathe", digest=digest, expires_us=expires_us, now_us=T0
    )


async def test_a_user_is_found_by_address_whatever_its_case(storage: Storage) -> None:
    public_id = await accounts.add_user(
        storage, email=" Ada@Example.org ", username="Ada", password_hash="hash", role=Role.OPERATOR, now_us=T0
    )
    user, password_hash = await accounts.user_by_email(storage, "ADA@example.ORG")
    assert user == User(user.id, public_id, "ada@example.org", "Ada", Role.OPERATOR, 1, T0)
    assert password_hash == "hash"
    assert (await snapshot(storage)).users == {public_id: user}


async def test_nobody_is_not_found(storage: Storage) -> None:
    await add_user(storage)
    for email in ("bob@example.org", "", "ada@example.org' OR '1'='1"):
        with pytest.raises(NotFound, match="there is no user"):
            await accounts.user_by_email(storage, email)


@pytest.mark.parametrize(("email", "username"), [("ADA@example.org", "bob"), ("bob@example.org", "ada")])
async def test_an_address_or_name_that_is_taken_is_a_conflict(storage: Storage, email: str, username: str) -> None:
    await add_user(storage, "ada")
    with pytest.raises(Conflict):
        await accounts.add_user(storage, email=email, username=username, password_hash="x", role=Role.VIEWER, now_us=T0)
    assert len(await accounts.users(storage)) == 1


async def test_users_are_listed_the_oldest_first(storage: Storage) -> None:
    added = [await add_user(storage, name, role) for name, role in zip(("c", "a", "b"), Role, strict=True)]
    assert await accounts.users(storage) == added


async def test_a_new_password_ends_the_sessions_of_that_user_alone(storage: Storage) -> None:
    ada, bob = await add_user(storage, "ada"), await add_user(storage, "bob")
    await accounts.set_password(storage, ada.id, "new")
    user, password_hash = await accounts.user_by_email(storage, ada.email)
    assert (user.session_version, password_hash) == (ada.session_version + 1, "new")
    assert await accounts.user_by_email(storage, bob.email) == (bob, "hash of bob")


async def test_a_password_of_nobody_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound, match="there is no user 99"):
        await accounts.set_password(storage, 99, "new")


async def test_the_last_administrator_stays(storage: Storage) -> None:
    first, second = await add_user(storage, "first"), await add_user(storage, "second")
    viewer = await add_user(storage, "viewer", Role.VIEWER)
    assert await accounts.remove_user(storage, first.id)
    assert not await accounts.remove_user(storage, second.id)
    assert await accounts.remove_user(storage, viewer.id)
    assert await accounts.users(storage) == [second]


async def test_of_administrators_who_remove_each_other_at_once_one_stays(storage: Storage) -> None:
    for round_ in range(10):
        admins = [await add_user(storage, f"{round_}-{n}") for n in range(3)]
        everyone = await accounts.users(storage)
        await asyncio.gather(*(accounts.remove_user(storage, user.id) for user in everyone))
        assert len(await accounts.users(storage)) == 1, admins


async def test_what_a_removed_user_made_stays_but_the_tokens_go(storage: Storage) -> None:
    await add_user(storage, "other")
    user = await add_user(storage, "ada")
    await add_token(storage, user)
    event, experiment = await new_event(storage), await new_experiment(storage)
    await storage.write(
        *(Write(f"UPDATE {table} SET user_id = :id", ({"id": user.id},)) for table in ("events", "experiments"))
    )
    assert (await snapshot(storage)).events[event.public_id].user_public_id == user.public_id
    assert await accounts.remove_user(storage, user.id)
    now = await snapshot(storage)
    assert now.events == {event.public_id: event}
    assert now.experiments == (experiment,)
    assert now.tokens == {}


async def test_a_token_comes_back_as_it_was_added(storage: Storage) -> None:
    user = await add_user(storage)
    first, second = await add_token(storage, user, "d1"), await add_token(storage, user, "d2", T0 + 1)
    found = await accounts.tokens(storage)
    assert found == [
        ApiToken(found[0].id, first, "lathe", "d1", user.id, None, T0),
        ApiToken(found[1].id, second, "lathe", "d2", user.id, T0 + 1, T0),
    ]
    assert (await snapshot(storage)).tokens == {"d1": found[0], "d2": found[1]}


async def test_a_removed_token_is_gone_and_not_found_again(storage: Storage) -> None:
    user = await add_user(storage)
    kept, removed = await add_token(storage, user, "d1"), await add_token(storage, user, "d2")
    await accounts.remove_token(storage, removed)
    assert [token.public_id for token in await accounts.tokens(storage)] == [kept]
    with pytest.raises(NotFound, match=f"there is no API token {removed}"):
        await accounts.remove_token(storage, removed)


async def test_ids_of_removed_users_and_tokens_are_never_given_again(storage: Storage) -> None:
    admin = await add_user(storage, "admin")
    seen: set[int] = set()
    for n in range(3):
        user = await add_user(storage, f"user{n}")
        await add_token(storage, user, f"d{n}")
        [token] = await accounts.tokens(storage)
        assert {user.id, -token.id}.isdisjoint(seen | {admin.id})
        seen |= {user.id, -token.id}
        await accounts.remove_user(storage, user.id)


async def test_a_logged_out_session_is_remembered_until_it_expires(storage: Storage) -> None:
    await accounts.revoke(storage, "short", T0 + 10, T0)
    await accounts.revoke(storage, "long", T0 + 100, T0)
    await accounts.revoke(storage, "long", T0 + 100, T0)
    assert await accounts.revoked(storage, T0 + 9) == {"short", "long"}
    assert await accounts.revoked(storage, T0 + 10) == {"long"}
    await accounts.revoke(storage, "other", T0 + 100, T0 + 10)
    assert await storage.fetch("SELECT jti FROM revoked_tokens ORDER BY jti") == [("long",), ("other",)]
