"""What every storage promises of statements, and of telling about changes (`webmacs.storage.base`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.storage.conftest import Opener
from tests.storage.rows import (
    T0,
    commit,
    log_entry,
    logged,
    new_delivery,
    new_event,
    new_rule,
    new_webhook,
    reading,
)
from webmacs import experiments
from webmacs.errors import Conflict, InvalidRows
from webmacs.model import Role, Scalar, Write
from webmacs.storage import accounts, plugins, records
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import deliver
from webmacs.storage.rules import enable_rule, fired, remove_rule
from webmacs.storage.webhooks import change_secret, enable_webhook, remove_webhook

ADD = "INSERT INTO revoked_tokens (jti, expires_us) VALUES (:jti, :us)"


def add(*jtis: str) -> Write:
    return Write(ADD, tuple({"jti": jti, "us": 1} for jti in jtis))


async def tokens(storage: Storage) -> list[str]:
    return [jti for (jti,) in await storage.fetch("SELECT jti FROM revoked_tokens ORDER BY jti")]


async def test_a_write_is_visible_at_once_everywhere(storage: Storage, another: Opener) -> None:
    other = await another()
    await storage.write(add("a"))
    assert await tokens(storage) == await tokens(other) == ["a"]


async def test_write_says_how_many_rows_its_last_statement_changed(storage: Storage) -> None:
    assert await storage.write(add("a", "b", "c")) == 3
    assert await storage.write(Write("UPDATE revoked_tokens SET expires_us = 2 WHERE jti <> 'a'")) == 2
    assert await storage.write(add("d"), Write("UPDATE revoked_tokens SET expires_us = 3 WHERE jti = 'x'")) == 0
    one_by_one: tuple[dict[str, Scalar], ...] = ({"jti": "a"}, {"jti": "x"}, {"jti": "b"})
    assert await storage.write(add("e"), Write("DELETE FROM revoked_tokens WHERE jti = :jti", one_by_one)) == 2
    assert await storage.write(Write(f"{ADD} ON CONFLICT (jti) DO NOTHING", ({"jti": "c", "us": 1},))) == 0
    assert await storage.write(Write("CREATE TABLE scribbles (note text)")) == 0
    assert await storage.write() == 0


async def test_many_rows_in_one_statement_are_counted_as_if_they_were_written_one_by_one(storage: Storage) -> None:
    many = Write(ADD, tuple({"jti": f"{n:06}", "us": n} for n in range(140_000)), bulk=True)
    assert await storage.write(many) == 140_000
    assert await storage.fetch("SELECT count(*), min(jti), max(expires_us) FROM revoked_tokens") == [
        (140_000, "000000", 139_999)
    ]
    assert await storage.write(Write(ADD, (), bulk=True)) == 0
    assert await storage.write(add("a"), Write(ADD, ({"jti": "b", "us": 1},), bulk=True)) == 1


async def test_many_rows_of_which_one_is_taken_are_a_conflict_and_nothing_is_changed(storage: Storage) -> None:
    await storage.write(add("taken"))
    rows: tuple[dict[str, Scalar], ...] = ({"jti": "new", "us": 1}, {"jti": "taken", "us": 1})
    with pytest.raises(Conflict):
        await storage.write(log_entry(), Write(ADD, rows, bulk=True))
    assert (await tokens(storage), await logged(storage)) == (["taken"], [])


async def test_a_unique_key_that_is_taken_is_a_conflict_and_nothing_is_changed(storage: Storage) -> None:
    await storage.write(add("taken"))
    with pytest.raises(Conflict):
        await storage.write(add("new"), log_entry(), add("newer", "taken"))
    assert await tokens(storage) == ["taken"]
    assert await logged(storage) == []
    await storage.write(add("new"))
    assert await tokens(storage) == ["new", "taken"]


async def test_a_statement_that_changes_as_many_rows_as_it_has_to_is_one_like_any_other(storage: Storage) -> None:
    await storage.write(add("a", "b"), replace(add("c", "d"), changes=2))
    gone = Write("DELETE FROM revoked_tokens WHERE jti = :jti", ({"jti": "a"}, {"jti": "b"}, {"jti": "x"}), changes=2)
    assert await storage.write(gone) == 2
    assert await tokens(storage) == ["c", "d"]


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_a_statement_that_changes_more_or_fewer_rows_than_it_has_to_is_a_conflict_and_nothing_is_changed(
    storage: Storage, number: int
) -> None:
    await storage.write(add("a", "b"))
    with pytest.raises(Conflict):
        await storage.write(add("c"), Write("UPDATE revoked_tokens SET expires_us = 2 WHERE jti < 'c'", changes=number))
    assert await storage.fetch("SELECT jti, expires_us FROM revoked_tokens ORDER BY jti") == [("a", 1), ("b", 1)]
    await storage.write(add("c"))
    assert await tokens(storage) == ["a", "b", "c"]


IMPOSSIBLE = {
    "U+0000": add("a\0b"),
    "a lone surrogate": add("a\ud800b"),
    "NULL": Write(ADD, ({"jti": "a", "us": None},)),
    "an integer that is too large": Write(ADD, ({"jti": "a", "us": 2**70},)),
    "a text for a number": Write(ADD, ({"jti": "a", "us": "many"},)),
    "an unknown table": Write("DELETE FROM nowhere"),
    "no value for a placeholder": Write(ADD, ({"jti": "a"},)),
    "no value in one of many rows": Write(ADD, ({"jti": "a", "us": 1}, {"jti": "b"}), bulk=True),
    "many rows for another statement": Write("UPDATE revoked_tokens SET expires_us = 1", bulk=True),
    "a value that a check forbids": Write(
        "INSERT INTO users (public_id, email, username, password_hash, role, created_us)"
        " VALUES ('a', 'a', 'a', 'a', 'king', 0)"
    ),
    "a reference to nothing": Write(
        "INSERT INTO api_tokens (public_id, name, digest, user_id, created_us) VALUES ('a', 'b', 'c', 99, 0)"
    ),
}


@pytest.mark.parametrize("write", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_an_impossible_value_is_invalid_rows_and_nothing_is_changed(storage: Storage, write: Write) -> None:
    with pytest.raises(InvalidRows):
        await storage.write(add("first"), write)
    assert await tokens(storage) == []
    await storage.write(add("first"))
    assert await tokens(storage) == ["first"]


@pytest.mark.parametrize(
    "text", ["", "it's", '"quoted"', "100%", "%s %(a)s", "a::b :c", "\\", "\\'", "--", ";", "äöü 😀 \x7f\x01", "\r\n"]
)
async def test_a_text_comes_back_as_it_was(storage: Storage, text: str) -> None:
    assert await storage.fetch("SELECT CAST(:text AS text)", text=text) == [(text,)]
    await storage.append(await commit(storage, 1, writes=[log_entry(text)]))
    await storage.write(log_entry(text))
    assert await logged(storage) == [text, text]


async def test_scalars_come_back_as_they_were(storage: Storage) -> None:
    for value in (0, -1, 2**53 + 1, 2**63 - 1, -(2**63)):
        assert await storage.fetch("SELECT CAST(:value AS bigint)", value=value) == [(value,)]
    assert await storage.fetch("SELECT CAST(:value AS text)", value=None) == [(None,)]


async def test_only_what_is_written_as_a_placeholder_is_one(storage: Storage) -> None:
    rows = await storage.fetch(
        "SELECT '100%', 'a :b ::c', 'it''s :d', CAST(:a1 AS text) AS \"odd :name %\" -- and :this is none\n"
        " WHERE 'x' LIKE '%' AND CAST(:a_b AS text) = 'y' AND CAST(:a_b AS text) <> 'z'",
        a1="v",
        a_b="y",
    )
    assert rows == [("100%", "a :b ::c", "it's :d", "v")]


async def test_parameters_that_are_at_fault_are_invalid_rows(storage: Storage) -> None:
    for text in ("a\0b", "a\ud800b"):
        with pytest.raises(InvalidRows):
            await storage.fetch("SELECT jti FROM revoked_tokens WHERE jti = :jti", jti=text)
    for statement in ("SELECT nonsense", "SELECT jti FROM nowhere", "SELECT CAST(:jti AS text)"):
        with pytest.raises(InvalidRows):
            await storage.fetch(statement)
    assert await tokens(storage) == []


async def test_many_may_read_and_write_at_the_same_time(storage: Storage) -> None:
    await asyncio.gather(*(storage.write(add(f"{n:03}")) for n in range(50)), *(tokens(storage) for _ in range(50)))
    assert await tokens(storage) == [f"{n:03}" for n in range(50)]


class Listener:
    """Counts what `watch` calls; waits for the next call."""

    def __init__(self, storage: Storage) -> None:
        self.calls = 0
        self._called = asyncio.Event()
        storage.watch(self._changed)

    async def heard(self, within_s: float = 1.0) -> None:
        await asyncio.wait_for(self._called.wait(), within_s)
        self._called.clear()

    def _changed(self) -> None:
        self.calls += 1
        self._called.set()


async def test_watchers_are_called_once_at_first_as_nobody_watched_before(storage: Storage, another: Opener) -> None:
    await (await another()).write(add("a"))
    await Listener(storage).heard()


async def some_user(storage: Storage) -> int:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    return user.id


async def changes(storage: Storage) -> dict[str, Callable[[], Awaitable[object]]]:
    """One change of every kind that the catalog holds."""
    user = await some_user(storage)
    token = await accounts.add_token(storage, user_id=user, name="t", digest="d", expires_us=None, now_us=T0)
    event = await new_event(storage)
    plugin = await plugins.add_plugin(storage, plugin_id="p", instance_name="P", now_us=T0)
    experiment = await experiments.start(storage, name="X", now_us=T0)
    rule, webhook = await new_rule(storage, event), await new_webhook(storage)
    return {
        "a password": lambda: accounts.set_password(storage, user, "y"),
        "a new token": lambda: accounts.add_token(
            storage, user_id=user, name="u", digest="e", expires_us=None, now_us=T0
        ),
        "a removed token": lambda: accounts.remove_token(storage, token),
        "a log-out": lambda: accounts.revoke(storage, "jti", T0 + 1, T0),
        "a plugin switched off": lambda: plugins.enable_plugin(storage, plugin, enabled=False),
        "a new channel": lambda: plugins.add_channel(
            storage, plugin=plugin, channel_id="c", channel_name="C", unit="V", event=event.public_id, now_us=T0
        ),
        "a stopped experiment": lambda: experiments.stop(storage, experiment, now_us=T0 + 1),
        "a new rule": lambda: new_rule(storage, event, "Another"),
        "a rule switched off": lambda: enable_rule(storage, rule.public_id, enabled=False),
        "a removed rule": lambda: remove_rule(storage, rule.public_id),
        "a new webhook": lambda: new_webhook(storage, "https://another.example"),
        "a webhook switched off": lambda: enable_webhook(storage, webhook.public_id, enabled=False),
        "a new secret": lambda: change_secret(storage, webhook.public_id, "s", old_until_us=T0),
        "a removed webhook": lambda: remove_webhook(storage, webhook.public_id),
        "a new event": lambda: new_event(storage, "Another"),
        "a removed event": lambda: records.remove_event(storage, event.public_id),
        "a removed user": lambda: storage.write(Write("DELETE FROM users")),
    }


async def test_every_change_of_configuration_made_elsewhere_is_heard_within_a_second(
    storage: Storage, another: Opener
) -> None:
    made = await changes(await another())
    listener = Listener(storage)
    await listener.heard()
    for name, change in made.items():
        await change()
        try:
            await listener.heard()
        except TimeoutError:
            pytest.fail(f"{name} was not heard")


async def test_what_alarms_leave_behind_is_no_change(storage: Storage, another: Opener) -> None:
    """Else the configuration would be read again for each of them. (Of other processes SQLite tells only that there
    was something.)
    """
    other = await another()
    rule, webhook = await new_rule(storage, await new_event(storage)), await new_webhook(storage)
    listener = Listener(storage)
    await listener.heard()
    for writer in (storage, other) if storage.scheme == "postgresql" else (storage,):
        for seq in range(1, 4):
            alarm = [fired({rule.id: seq}), deliver([new_delivery(webhook)]), log_entry()]
            await writer.append(await commit(writer, seq, [reading()], writes=alarm))
        await writer.write(fired({rule.id: 4}), deliver([new_delivery(webhook)]), log_entry())
        await writer.write(Write("UPDATE deliveries SET attempts = attempts + 1"))
        await writer.write(Write("DELETE FROM deliveries"), Write("DELETE FROM rule_states"))
    await other.write(add("a"))
    await listener.heard()
    assert listener.calls == 2


async def test_our_own_readings_are_no_change(storage: Storage, another: Opener) -> None:
    other = await another()
    listener = Listener(storage)
    await listener.heard()
    for seq in range(1, 6):
        await storage.append(await commit(storage, seq, [reading()]))
    await other.write(add("a"))
    await listener.heard()
    assert listener.calls == 2
