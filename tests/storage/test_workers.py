"""The threads that work on an SQLite file: work that nobody waits for, connections that break."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from webmacs.errors import StorageUnavailable
from webmacs.storage.workers import Workers, transaction


class Place:
    """Makes connections to a file, and lets them wait on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[sqlite3.Connection] = []
        self.may_connect = threading.Event()
        self.may_connect.set()

    def connect(self) -> sqlite3.Connection:
        assert self.may_connect.wait(10)
        self.made.append(sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False))
        return self.made[-1]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "a.db")


@pytest.fixture
async def worker(place: Place) -> AsyncIterator[Workers]:
    made = Workers(place.path, 1, place.connect, limit_s=5.0, patience_s=5.0)
    yield made
    place.may_connect.set()
    await made.close()


async def test_work_that_waits_for_a_thread_is_never_begun_once_nobody_waits_for_it(
    worker: Workers, place: Place
) -> None:
    done: list[str] = []
    place.may_connect.clear()
    first, second = (asyncio.create_task(worker.run(lambda _, n=n: done.append(n))) for n in ("1", "2"))  # type: ignore[misc]
    await asyncio.sleep(0.05)  # the first has the thread, which connects; the second waits for it
    for task in (first, second):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    place.may_connect.set()
    await worker.run(lambda _: done.append("3"))
    assert done == ["3"]


async def test_a_thread_keeps_its_connection_after_errors_that_do_not_break_it(worker: Workers, place: Place) -> None:
    for statement in ("SELECT nonsense", "SELECT * FROM nowhere", "SELECT :missing"):
        with pytest.raises(Exception, match=r"no such|bindings"):
            await worker.run(lambda db, statement=statement: db.execute(statement))  # type: ignore[misc]
    await worker.run(lambda db: db.execute("SELECT 1"))
    assert len(place.made) == 1


@pytest.mark.parametrize("code", ["SQLITE_IOERR_WRITE", "SQLITE_CORRUPT", "SQLITE_READONLY_DBMOVED"])
async def test_a_broken_connection_is_closed_and_made_anew(worker: Workers, place: Place, code: str) -> None:
    def breaks(_: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("broken")
        error.sqlite_errorcode = getattr(sqlite3, code)
        raise error

    with pytest.raises(StorageUnavailable, match=r"a\.db: broken"):
        await worker.run(breaks)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        place.made[0].execute("SELECT 1")
    assert await worker.run(lambda db: db.execute("SELECT 1").fetchall()) == [(1,)]
    assert len(place.made) == 2


async def test_a_connection_that_stays_in_a_transaction_is_not_used_again(worker: Workers, place: Place) -> None:
    def forgets(db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await worker.run(forgets)
    await worker.run(lambda db: db.execute("BEGIN IMMEDIATE"))
    assert len(place.made) == 2


async def test_a_connection_that_cannot_be_made_is_tried_again_the_next_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "nowhere" / "a.db")
    worker = Workers(place.path, 1, place.connect, limit_s=5.0, patience_s=5.0)
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="unable to open"):
            await worker.run(lambda db: db.execute("SELECT 1"))
    place.path = tmp_path / "a.db"
    await worker.run(lambda db: db.execute("SELECT 1"))
    await worker.close()


def test_a_transaction_has_the_right_to_write_from_its_beginning(place: Place) -> None:
    one, other = place.connect(), place.connect()
    with transaction(one), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    one.close()
    other.close()


def test_a_transaction_whose_body_raises_is_undone(place: Place) -> None:
    db = place.connect()
    with suppress(ZeroDivisionError), transaction(db):
        db.execute("CREATE TABLE notes (note)")
        raise ZeroDivisionError
    assert not db.in_transaction
    assert db.execute("SELECT * FROM sqlite_master").fetchall() == []
    db.close()


async def test_waiting_for_the_right_to_write_ends_when_nobody_waits_for_it_any_more(
    worker: Workers, place: Place
) -> None:
    other = place.connect()
    with transaction(other):
        task = asyncio.create_task(worker.run(lambda db: transaction(db).__enter__()))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await worker.run(lambda db: db.execute("SELECT 1"))  # the thread is free, long before its 5 s are over
        assert time.monotonic() - began < 2.5
    other.close()


async def test_waiting_for_the_right_to_write_has_a_bound(place: Place) -> None:
    worker, other = Workers(place.path, 1, place.connect, limit_s=5.0, patience_s=0.1), place.connect()
    with transaction(other), pytest.raises(StorageUnavailable, match="locked"):
        await worker.run(lambda db: transaction(db).__enter__())
    other.close()
    await worker.close()
