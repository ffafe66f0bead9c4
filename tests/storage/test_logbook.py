"""Entries of the log: what is kept of them, and when they are written; on every storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plant import settings_for
from tests.storage.rows import T0, commit, logged, new_event, reading
from webmacs.errors import InvalidRows, NotFound
from webmacs.extensions import load_storage
from webmacs.model import Role, Write
from webmacs.storage import accounts, migrate
from webmacs.storage.base import Row, Storage
from webmacs.storage.logbook import (
    CONTENT_LENGTH,
    LogEntry,
    change_entry,
    entry,
    log_entries,
    log_entry,
    log_if,
    page,
)

COLUMNS = "content, logging_type, status_type, user_id, created_us"


async def entries(storage: Storage) -> list[Row]:
    return await storage.fetch(f"SELECT {COLUMNS} FROM logs ORDER BY id")


async def new_user(storage: Storage) -> int:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    return user.id


async def test_an_entry_comes_back_as_it_was_written_and_is_unread(storage: Storage) -> None:
    user_id = await new_user(storage)
    await storage.write(
        log_entries([LogEntry("«first»", T0, user_id, "warning"), LogEntry("second", T0 + 1, None)]),
        log_entry("third", now_us=T0 + 2, user_id=user_id, logging_type="error"),
    )
    assert await entries(storage) == [
        ("«first»", "warning", "unread", user_id, T0),
        ("second", "info", "unread", None, T0 + 1),
        ("third", "error", "unread", user_id, T0 + 2),
    ]
    assert len(await storage.fetch("SELECT DISTINCT public_id FROM logs")) == 3


async def test_of_a_content_that_is_too_long_the_beginning_is_kept(storage: Storage) -> None:
    kept = "ü" * CONTENT_LENGTH
    await storage.write(log_entry(kept, now_us=T0, user_id=None), log_entry(f"{kept}x", now_us=T0, user_id=None))
    assert await logged(storage) == [kept, kept]


async def test_an_entry_may_depend_on_what_is_there_when_it_is_written(storage: Storage) -> None:
    event = await new_event(storage)
    there = "EXISTS (SELECT 1 FROM events WHERE id = :event_id AND name = :name)"
    await storage.write(
        log_if(there, LogEntry("there", T0, None, "warning"), event_id=event.id, name="Sensor"),
        log_if(there, LogEntry("of another name", T0, None), event_id=event.id, name="it's"),
        Write("DELETE FROM events"),
        log_if(there, LogEntry("gone", T0, None), event_id=event.id, name="Sensor"),
        log_if(f"NOT {there}", LogEntry("not there", T0, None), event_id=event.id, name="Sensor"),
    )
    assert [(content, kind) for content, kind, *_ in await entries(storage)] == [
        ("there", "warning"),
        ("not there", "info"),
    ]


async def test_an_entry_outlives_its_user(storage: Storage) -> None:
    user_id = await new_user(storage)
    await storage.write(log_entry("said", now_us=T0, user_id=user_id))
    await storage.write(Write("DELETE FROM users"))
    assert await logged(storage) == ["said"]


async def test_that_a_user_has_just_been_removed_fails_no_commit_with_entries_of_theirs(storage: Storage) -> None:
    user_id, event = await new_user(storage), await new_event(storage)
    said = log_entries([LogEntry("said", T0, user_id, "warning")])
    alarm = await commit(storage, 1, [reading(1.0, event)], writes=[said])
    await storage.write(Write("DELETE FROM users"))
    await storage.append(alarm)
    assert await logged(storage) == ["said"]
    assert await storage.count() == 1


async def test_an_entry_that_cannot_be_stored_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidRows):
        await storage.write(log_entry("a\0b", now_us=T0, user_id=None))
    assert await logged(storage) == []


async def test_entries_are_told_the_newest_first_page_by_page(storage: Storage) -> None:
    await storage.write(log_entries(LogEntry(f"{n}", T0 + n, None) for n in range(5)))
    pages = [await page(storage, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[one.content for one in found] for found, _ in pages] == [["4", "3"], ["2", "1"], ["0"], []]
    assert {total for _, total in pages} == {5}


async def test_an_entry_can_be_read_and_changed_alone(storage: Storage) -> None:
    await storage.write(log_entries(LogEntry(f"{n}", T0 + n, None) for n in range(2)))
    (second, first), _ = await page(storage, limit=10, offset=0)
    await change_entry(storage, first.public_id, status_type="read", content="it's 100% :read")
    changed = await entry(storage, first.public_id)
    assert (changed.content, changed.status_type, changed.created_us) == ("it's 100% :read", "read", T0)
    assert await entry(storage, second.public_id) == second


async def test_an_entry_that_is_not_there_is_not_found(storage: Storage) -> None:
    for attempt in (entry(storage, "abc"), change_entry(storage, "abc", status_type="read")):
        with pytest.raises(NotFound, match="there is no log entry abc"):
            await attempt


async def test_entries_from_before_there_were_rules_are_kept(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second step of the schema makes the table anew."""
    first = tmp_path / "first"
    shutil.copytree(migrate.MIGRATIONS, first, ignore=shutil.ignore_patterns("__pycache__", "000[2-9]*"))
    with monkeypatch.context() as then:
        then.setattr(migrate, "MIGRATIONS", first)
        before = load_storage(settings_for(storage_url, tmp_path))
        await before.open()
        assert await before.revision() == "0001"
        user_id = await new_user(before)
        await before.write(log_entry("one", now_us=T0, user_id=user_id, logging_type="error"))
        await before.write(Write("UPDATE logs SET status_type = 'read'"))
        await before.write(log_entry("two", now_us=T0 + 1, user_id=None))
        found = await before.fetch("SELECT * FROM logs ORDER BY id")
        await before.close()
    after = load_storage(settings_for(storage_url, tmp_path))
    await after.open()
    assert await after.fetch("SELECT * FROM logs ORDER BY id") == found
    await after.write(log_entry("three", now_us=T0 + 2, user_id=None))
    ids = [row_id for (row_id,) in await after.fetch("SELECT id FROM logs ORDER BY id")]
    assert ids == [found[0][0], found[1][0], ids[2]]
    assert ids[2] > ids[1]
    await after.close()
