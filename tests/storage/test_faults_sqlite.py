"""SQLite when its file is locked, full, broken or gone, or its threads are busy: what comes out, and recovery."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.parts import require, require_root
from tests.plant import settings_for
from tests.storage.rows import commit, log_entry, logged, reading, record, values
from tests.storage.test_conformance_configuration import Listener, add, tokens
from webmacs.errors import StorageError, StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Write
from webmacs.storage.base import Commit
from webmacs.storage.sqlite import SqliteStorage

STATEMENT_S = 0.3
BOUND_S = 2 * STATEMENT_S + 0.5  # a thread, its work, and a busy machine
ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
ENDLESS_WRITE = Write(f"INSERT INTO revoked_tokens (jti, expires_us) {ENDLESS.replace('count(*)', 'x, x')}")
Call = Callable[[], Coroutine[Any, Any, object]]


async def opened(path: Path, **storage: Any) -> SqliteStorage:
    limits = {"statement_timeout_s": STATEMENT_S, "poll_interval_s": 0.05, **storage}
    made = load_storage(settings_for(f"sqlite:///{path}", path.parent, storage=limits))
    assert isinstance(made, SqliteStorage)
    try:
        await made.open()
    except StorageError:
        await made.close()
        raise
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    made = await opened(path)
    yield made
    await made.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Someone else has the right to write, and does not let go of it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """No file of this process may grow beyond that: a write then is an I/O error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def open_files(path: Path) -> list[str]:
    """Which of our descriptors are of that database."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which the directory was read
            targets.append(str(link.readlink()))
    return [target for target in targets if target.startswith(str(path))]


def move(path: Path, to: str) -> Path:
    return path.rename(path.with_name(to))


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


async def unavailable(call: Call, match: str = r"\S", within_s: float = BOUND_S) -> None:
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match=match):
        await call()
    assert time.monotonic() - began < within_s


async def test_while_another_process_has_it_locked_writing_is_unavailable_in_time_and_reading_goes_on(
    storage: SqliteStorage, path: Path
) -> None:
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    same = await commit(storage, 2, [reading(2.0)], [record("a")], [log_entry()])
    with locked(path):
        await unavailable(lambda: storage.append(same), "locked")
        await unavailable(lambda: storage.write(add("a")), "locked")
        await unavailable(lambda: storage.reserve(2**21), "locked")
        assert await values(storage) == [1.0]
        assert await storage.recall([record("a").key]) == {}
    await storage.append(same)
    await storage.write(add("a"))
    assert await values(storage) == [1.0, 2.0]


async def test_many_who_wait_for_a_lock_are_told_in_time_and_what_they_gave_up_is_never_done(
    storage: SqliteStorage, path: Path
) -> None:
    with locked(path):
        began = time.monotonic()
        results = await asyncio.gather(*(storage.write(add(f"{n}")) for n in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {StorageUnavailable}
        assert time.monotonic() - began < BOUND_S
        await asyncio.sleep(1.5 * STATEMENT_S)  # the one that has begun gives up, too
    await storage.write(add("later"))
    assert await tokens(storage) == ["later"]


async def test_opening_what_is_locked_is_unavailable_in_time(path: Path) -> None:
    with locked(path):
        await unavailable(lambda: opened(path), "locked")
    await (await opened(path)).close()


async def test_closing_what_is_locked_does_not_take_long(storage: SqliteStorage, path: Path) -> None:
    storage.watch(lambda: None)
    with locked(path):
        waiting = [asyncio.create_task(storage.write(add(f"{n}"))) for n in range(5)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await storage.close()
        assert time.monotonic() - began < BOUND_S + STATEMENT_S
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} == {StorageUnavailable}


async def test_a_query_that_takes_too_long_is_interrupted(path: Path) -> None:
    storage = await opened(path, pool_size=1)
    await unavailable(lambda: storage.fetch(ENDLESS), "interrupted", STATEMENT_S + 0.3)
    began = time.monotonic()
    await storage.ping()
    assert time.monotonic() - began < STATEMENT_S  # its thread is free again
    await storage.close()


async def test_a_query_has_its_time_from_when_it_begins(path: Path) -> None:
    storage = await opened(path, pool_size=1)
    first, second = (asyncio.create_task(storage.fetch(ENDLESS)) for _ in range(2))
    await unavailable(lambda: asyncio.wait_for(first, 5), "interrupted")
    await unavailable(lambda: asyncio.wait_for(second, 5))
    await storage.ping()
    await storage.close()


async def test_a_write_that_takes_too_long_is_interrupted_and_undone(storage: SqliteStorage) -> None:
    await unavailable(lambda: storage.write(log_entry(), ENDLESS_WRITE))
    began = time.monotonic()
    await storage.write(add("next"))
    assert time.monotonic() - began < STATEMENT_S
    assert await tokens(storage) == ["next"]
    assert await logged(storage) == []


async def test_a_commit_that_takes_too_long_is_interrupted_and_undone(storage: SqliteStorage) -> None:
    await unavailable(lambda: storage.append(Commit(1, 1, [reading()], [record("a")], [ENDLESS_WRITE])))
    await storage.append(Commit(1, 1, [reading()], [record("a")]))
    assert await storage.count() == 1


async def test_what_its_caller_cancels_is_cancelled_and_frees_its_thread(path: Path) -> None:
    storage = await opened(path, pool_size=1, statement_timeout_s=30.0)
    calls: list[Call] = [lambda: storage.fetch(ENDLESS), lambda: storage.write(ENDLESS_WRITE)]
    for call in calls:
        running = asyncio.create_task(call())
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(5):
            await storage.ping()
            await storage.write(log_entry())
    assert await logged(storage) == ["said"] * 2
    await storage.close()


async def test_no_thread_and_no_file_is_left_open_after_closing(path: Path) -> None:
    before = threading.active_count()
    made = await opened(path)
    assert open_files(path)
    await asyncio.gather(*(made.ping() for _ in range(10)), made.append(await commit(made, 1, [reading()])))
    await unavailable(lambda: made.fetch(ENDLESS))
    await made.close()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert threading.active_count() <= before
    assert open_files(path) == []


async def test_a_database_that_may_not_grow_is_unavailable_until_it_may(storage: SqliteStorage) -> None:
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    await storage._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1"))  # no smaller than it is
    same = await commit(storage, 2, [reading(2.0)] * 20_000, [record("a")])
    for _ in range(3):
        await unavailable(lambda: storage.append(same), "full", within_s=5)
    assert await values(storage) == [1.0]
    await storage._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
    await storage.append(same)
    assert await values(storage) == [1.0] + [2.0] * 20_000


async def test_an_io_error_is_unavailable_and_the_connection_is_made_anew(storage: SqliteStorage, path: Path) -> None:
    listener = Listener(storage)
    await listener.heard()
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    same = await commit(storage, 2, [reading(2.0)] * 20_000, [record("a")])
    with files_no_larger_than(log_size(path) + 8192):
        for _ in range(3):
            await unavailable(lambda: storage.append(same), "I/O error", within_s=5)
        assert await values(storage) == [1.0]
    assert storage._connected > 1
    await storage.append(same)
    assert await values(storage) == [1.0] + [2.0] * 20_000
    await listener.heard()  # it cannot know what others changed meanwhile
    other = sqlite3.connect(path)
    with other:
        other.execute("INSERT INTO revoked_tokens VALUES ('a', 1)")
    other.close()
    await listener.heard()


async def test_a_watcher_that_could_not_look_for_a_while_says_that_something_may_have_changed(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(storage)
    await listener.heard()
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def busy(_: sqlite3.Connection) -> tuple[int, int]:
        loop.call_soon_threadsafe(looked.set)
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    with monkeypatch.context() as while_busy:
        while_busy.setattr(storage, "_version", busy)
        await asyncio.wait_for(looked.wait(), 1)
    await listener.heard()
    assert listener.calls == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    require_root("run it as root, as CI does")
    mount, umount = require("mount", "apt-get install mount"), require("umount", "apt-get install mount")
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run([umount, "--lazy", directory], check=True)


async def test_a_full_disk_is_unavailable_until_there_is_room(small_disk: Path) -> None:
    storage = await opened(small_disk / "a.db")
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    filler = small_disk / "filler"
    fill(filler)
    same = await commit(storage, 2, [reading(2.0)] * 2_000, [record("a")], [log_entry()])
    for _ in range(3):
        await unavailable(lambda: storage.append(same), within_s=5)
        await unavailable(lambda: storage.write(*(log_entry("x" * 500) for _ in range(50))), within_s=5)
    assert await values(storage) == [1.0]
    filler.unlink()
    await storage.append(same)
    await storage.write(log_entry("again"))
    assert await values(storage) == [1.0] + [2.0] * 2_000
    assert await logged(storage) == ["said", "again"]
    await storage.close()
    again = await opened(small_disk / "a.db")
    assert await again.fetch("PRAGMA integrity_check") == [("ok",)]
    assert await again.count() == 2_001
    await again.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


async def test_a_file_that_has_gone_is_unavailable_and_not_made_anew(path: Path) -> None:
    storage = await opened(path)
    await storage.append(await commit(storage, 1, [reading(1.0)]))
    await storage.close()
    elsewhere = move(path, "elsewhere")
    late = load_storage(settings_for(f"sqlite:///{path}", path.parent, storage={"migrate": False}))
    with pytest.raises(StorageError, match="run `webmacs migrate`"):
        await late.open()
    await unavailable(lambda: late.append(Commit(1, 1, [reading()])), "unable to open")
    await unavailable(late.ping, "unable to open")
    move(elsewhere, path.name)  # nothing lies there in its way
    await late.open()
    await late.append(await commit(late, 1, [reading(2.0)]))
    assert await values(late) == [1.0, 2.0]
    await late.close()
