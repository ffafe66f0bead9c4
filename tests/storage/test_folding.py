"""The log of an SQLite file stays small, however many read."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.plant import settings_for
from tests.storage.rows import commit, new_event, reading, snapshot
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.storage import folding
from webmacs.storage.base import Storage
from webmacs.storage.folding import MB, Door, Folding
from webmacs.tasks import end

COMMITS, ROWS = 40, 1000
SLOW = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
    " SELECT count(*) FROM n WHERE i > (SELECT count(*) FROM datapoints WHERE id < 0)"
)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "EVERY_S", 0.01)
    monkeypatch.setattr(folding, "MAX_DELAY_S", 0.04)


async def read_without_a_pause(storage: Storage) -> None:
    while True:
        await storage.fetch(SLOW)


async def largest_log(tmp_path: Path, limit_mb: int) -> float:
    """In MB, while two that overlap read and somebody writes."""
    path = tmp_path / f"{limit_mb}.db"
    storage = load_storage(settings_for(f"sqlite:///{path}", tmp_path, storage={"wal_limit_mb": limit_mb}))
    await storage.open(serving=True)
    await new_event(storage)
    (event,) = (await snapshot(storage)).events.values()
    readers = [asyncio.create_task(read_without_a_pause(storage)) for _ in range(2)]
    sizes = []
    for seq in range(1, COMMITS + 1):
        await storage.append(await commit(storage, seq, [reading(float(n), event) for n in range(ROWS)]))
        sizes.append(path.with_name(f"{path.name}-wal").stat().st_size)
        await asyncio.sleep(0.01)
    await end(*readers)
    assert await storage.count() == COMMITS * ROWS
    await storage.close()
    return max(sizes) / MB


async def test_the_log_is_begun_anew_although_somebody_always_reads(tmp_path: Path) -> None:
    bounded, free = await largest_log(tmp_path, 1), await largest_log(tmp_path, 1000)
    assert bounded < free / 2, (bounded, free)


async def test_who_comes_waits_outside_while_somebody_wants_to_be_alone() -> None:
    door, seen = Door(), list[str]()
    leave = asyncio.Event()

    async def stay() -> None:
        async with door.together():
            await leave.wait()
            seen.append("left")

    async def alone() -> None:
        async with door.alone(10):
            seen.append("alone")

    async def come() -> None:
        async with door.together():
            seen.append("came")

    async with asyncio.TaskGroup() as group:
        for visit in (stay, alone, come):
            group.create_task(visit())
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert seen == []
        leave.set()
    assert seen == ["left", "alone", "came"]


async def test_who_does_not_leave_in_time_keeps_nobody_outside() -> None:
    door = Door()
    async with door.together():
        with pytest.raises(TimeoutError):
            async with door.alone(0.01):
                raise AssertionError
        async with asyncio.timeout(1), door.together():
            pass
    async with door.alone(0.01):
        pass


async def folded_with(tmp_path: Path, answers: list[bool | Exception], size: int = 2 * MB) -> int:
    """How often it is tried until the answers are used up."""
    (tmp_path / "a.db-wal").write_bytes(b"\0" * size)
    tried, done = 0, asyncio.Event()

    async def fold() -> bool:
        nonlocal tried
        tried += 1
        if tried >= len(answers):
            done.set()
        answer = answers[min(tried, len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = asyncio.create_task(Folding(tmp_path / "a.db", 1, 1.0).run(fold))
    async with asyncio.timeout(10):
        await done.wait()
        await asyncio.sleep(0.01)
    await end(task)
    return tried


async def test_another_process_that_never_stops_reading_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await folded_with(tmp_path, [False, StorageUnavailable("locked"), TimeoutError(), *[False] * 5]) >= 8
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [f"{tmp_path / 'a.db-wal'} has 2 MB and cannot be begun anew: another process reads without a pause"]


async def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await folded_with(tmp_path, [True], size=MB - 1)


async def test_a_reader_of_another_process_does_not_stop_commits(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    storage = load_storage(settings_for(f"sqlite:///{path}", tmp_path, storage={"wal_limit_mb": 1}))
    await storage.open(serving=True)
    await new_event(storage)
    (event,) = (await snapshot(storage)).events.values()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM events").fetchall()
        for seq in range(1, COMMITS + 1):
            await storage.append(await commit(storage, seq, [reading(float(n), event) for n in range(ROWS)]))
            await storage.ping()
    assert await storage.count() == COMMITS * ROWS
    await storage.close()
