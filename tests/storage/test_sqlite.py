"""What only the embedded storage has: one server a file, commands beside it, a file that may be looked at."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.plant import settings_for
from tests.storage.rows import DAY, SECOND, T0, commit, log_entry, logged, new_event, reading, record, snapshot
from webmacs.config import StorageSettings
from webmacs.errors import ConfigError, Conflict, StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Scalar, Write
from webmacs.storage import history
from webmacs.storage.base import Commit, Row, Storage
from webmacs.storage.rollups import Rollups
from webmacs.storage.sqlite import SqliteStorage
from webmacs.storage.upkeep import keep_house


def storage_on(path: Path, **storage: object) -> Storage:
    return load_storage(settings_for(f"sqlite:///{path}", path.parent, storage=dict(storage)))


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_a_second_server_on_the_same_file_is_refused(tmp_path: Path) -> None:
    first, second = storage_on(tmp_path / "a.db"), storage_on(tmp_path / "a.db")
    await first.open(serving=True)
    with pytest.raises(Conflict, match=r"another server uses .*a\.db; stop it first"):
        await second.open(serving=True)
    await first.close()
    await second.open(serving=True)
    await second.close()


async def test_a_server_that_could_not_open_at_first_lets_go_of_the_file_when_it_is_closed(tmp_path: Path) -> None:
    first = storage_on(tmp_path / "a.db", migrate=False)
    for _ in range(3):
        with pytest.raises(Exception, match="run `webmacs migrate`"):
            await first.open(serving=True)
    await first.close()
    second = storage_on(tmp_path / "a.db")
    await second.open(serving=True)
    await second.close()


async def test_a_lock_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.db.lock").mkdir()
    storage = storage_on(tmp_path / "a.db")
    with pytest.raises(StorageUnavailable, match=r"cannot lock .*a\.db\.lock: Is a directory"):
        await storage.open(serving=True)
    await storage.close()


async def test_no_statement_of_the_way_of_a_reading_reads_a_whole_table(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db")
    assert isinstance(storage, SqliteStorage)
    await storage.open()
    statements: list[str] = []
    await storage._writer.run(lambda db: db.set_trace_callback(statements.append))
    identities = [record(f"number {n}") for n in range(3)]
    await storage.append(await commit(storage, 1, [reading()], identities))
    assert len(await storage.recall([identity.key for identity in identities])) == 3
    await keep_house(storage, StorageSettings(), T0, 0)
    await storage.close()

    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        plans = {
            statement: [str(step[-1]) for step in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
            if statement.startswith(("WITH", "SELECT", "DELETE")) and "batches" in statement
        }
    assert len(plans) >= 2
    for statement, plan in plans.items():
        assert not any(step.startswith("SCAN batches") for step in plan), (statement, plan)
        assert not any(step.endswith("PRIMARY KEY (user_id=?)") for step in plan), (statement, plan)


async def test_looking_back_reads_no_table_of_readings_whole(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db")
    assert isinstance(storage, SqliteStorage)
    await storage.open()
    event = await new_event(storage)
    await storage.append(await commit(storage, 1, [reading(1.0, event, T0 + n * 10 * SECOND) for n in range(2000)]))
    statements: list[str] = []
    fetch = storage._fetch

    def traced(db: sqlite3.Connection, statement: str, parameters: Mapping[str, Scalar]) -> list[Row]:
        db.set_trace_callback(statements.append)
        return fetch(db, statement, parameters)

    storage._fetch = traced  # type: ignore[method-assign]
    rollups = Rollups(storage)
    while await rollups.advance(T0 + DAY):
        continue
    known = await snapshot(storage)
    for minutes in (60, 14_400):
        await history.series(storage, known, event.id, from_us=T0, until_us=T0 + minutes * 60 * SECOND, max_points=10)
    assert len(await history.page(storage, known, T0 + DAY, offset=100, limit=10)) == 10
    await storage.close()

    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        plans = {
            statement: [str(step[-1]) for step in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
            if "datapoints" in statement or "rollups" in statement
        }
    assert len(plans) > 5
    for statement, plan in plans.items():
        whole = {"SCAN d", "SCAN datapoints", "SCAN r", "SCAN rollups"}
        assert not whole & {" ".join(step.split()[:2]) for step in plan}, (statement, plan)


async def test_a_command_works_beside_a_server(tmp_path: Path) -> None:
    server, command = storage_on(tmp_path / "a.db"), storage_on(tmp_path / "a.db")
    await server.open(serving=True)
    await command.open()
    await command.write(log_entry("from the command"))
    await server.append(await commit(server, 1, [reading()], writes=[log_entry("from the server")]))
    assert await command.count() == 1
    assert await logged(command) == ["from the command", "from the server"]
    await command.close()
    assert await server.count() == 1
    await server.close()


async def test_a_commit_is_flushed_to_disk_before_it_is_said_to_be_stored(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db")
    await storage.open()
    assert isinstance(storage, SqliteStorage)
    pragmas = [f"PRAGMA {name}" for name in ("synchronous", "journal_mode", "foreign_keys")]
    found = await storage._writer.run(lambda db: [db.execute(pragma).fetchone()[0] for pragma in pragmas])
    assert found == [2, "wal", 1]
    await storage.close()


@pytest.mark.parametrize("cache_mb", [1, 8, 32])
async def test_the_writer_keeps_as_much_of_the_file_in_memory_as_is_set(tmp_path: Path, cache_mb: int) -> None:
    storage = storage_on(tmp_path / "a.db", cache_mb=cache_mb)
    assert isinstance(storage, SqliteStorage)
    await storage.open()
    try:
        found = await storage._writer.run(lambda db: db.execute("PRAGMA cache_size").fetchone()[0])
    finally:
        await storage.close()
    assert found == -1024 * cache_mb  # in KiB


async def test_a_closed_storage_is_one_file(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db")
    await storage.open()
    await storage.append(await commit(storage, 1, [reading()]))
    await storage.close()
    assert names_in(tmp_path) - {"a.db.lock"} == {"a.db"}


async def test_a_restored_copy_is_written_in_wal_mode_again(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db")
    await storage.open()
    await storage.write(Write("CREATE TABLE scribbles (note text)"))
    await storage.close()
    original = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    original.execute("VACUUM INTO ?", (str(tmp_path / "b.db"),))
    original.close()
    copy = storage_on(tmp_path / "b.db")
    await copy.open()
    look = sqlite3.connect(tmp_path / "b.db")
    assert look.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    look.close()
    await copy.close()


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what?.db", "#1.db", "ü.db", "file:x.db", "no-suffix"])
async def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    storage = storage_on(tmp_path / name)
    await storage.open(serving=True)
    await storage.append(await commit(storage, 1, [reading()]))
    assert await storage.count() == 1
    await storage.close()
    assert (tmp_path / name).stat().st_size > 0


async def test_a_relative_path_is_relative_to_the_configuration(tmp_path: Path) -> None:
    storage = load_storage(settings_for("sqlite:///data.db", tmp_path))
    await storage.open()
    await storage.close()
    assert (tmp_path / "data.db").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite://host/a.db", "sqlite:///"])
def test_an_url_without_a_file_is_a_configuration_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url: .* is not like sqlite:///file\.db"):
        load_storage(settings_for(url, tmp_path))


@pytest.mark.parametrize("serving", [True, False])
async def test_a_directory_that_is_not_there_is_unavailable(tmp_path: Path, *, serving: bool) -> None:
    storage = storage_on(tmp_path / "nowhere" / "else" / "a.db")
    with pytest.raises(StorageUnavailable, match=r"there is no directory .*/nowhere/else"):
        await storage.open(serving=serving)
    await storage.close()


async def test_a_file_that_is_no_database_is_unavailable_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("Dear diary, " * 1_000)
    storage = storage_on(path)
    with pytest.raises(StorageUnavailable, match="not a database"):
        await storage.open()
    with pytest.raises(StorageUnavailable, match="not a database"):
        await storage.append(Commit(1, 1, [reading()]))
    await storage.close()
    assert path.read_text() == "Dear diary, " * 1_000


async def test_the_number_of_readers_is_bounded_by_the_pool_size(tmp_path: Path) -> None:
    storage = storage_on(tmp_path / "a.db", pool_size=2)
    await storage.open()
    await asyncio.gather(*(storage.ping() for _ in range(20)))
    assert isinstance(storage, SqliteStorage)
    assert len(storage._readers._connections) <= 2
    await storage.close()
