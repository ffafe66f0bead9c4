"""What every storage promises of opening, closing and its schema (`webmacs.storage.base`)."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plant import settings_for
from tests.storage.conftest import Opener
from tests.storage.rows import commit, log_entry, reading, record, snapshot
from webmacs.errors import InvalidRows, StorageError, StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Write
from webmacs.storage import migrate
from webmacs.storage.base import Storage


def unopened(url: str, directory: Path, **storage: object) -> Storage:
    return load_storage(settings_for(url, directory, storage=dict(storage)))


async def there_is(storage: Storage, table: str) -> bool:
    try:
        await storage.fetch(f"SELECT count(*) FROM {table}")
    except InvalidRows:
        return False
    return True


LAST = int(migrate.head())


@pytest.fixture
def add_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds steps to the migrations: each a list of statements, for either dialect."""
    copy = tmp_path / "100% of the migrations"
    shutil.copytree(migrate.MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def add(*steps: str) -> None:
        monkeypatch.setattr(migrate, "MIGRATIONS", copy)
        for number, statements in enumerate(steps, LAST + 1):
            step = copy / "versions" / f"{number:04}_added.py"
            step.write_text(
                "from webmacs.storage.migrate import run_script\n"
                f"revision, down_revision = '{number:04}', '{number - 1:04}'\n"
                "def upgrade(): run_script(__file__)\n"
            )
            for dialect in ("sqlite", "postgresql"):
                step.with_suffix(f".{dialect}.sql").write_text(statements)

    return add


async def test_opening_brings_an_empty_storage_up_to_date(storage_url: str, tmp_path: Path) -> None:
    storage = unopened(storage_url, tmp_path)
    assert await storage.revision() is None
    await storage.open()
    assert await storage.revision() == migrate.head()
    await storage.ping()
    await storage.close()


async def test_opening_again_keeps_everything(storage: Storage, another: Opener) -> None:
    await storage.append(await commit(storage, 1, [reading()], [record("a")], [log_entry()]))
    await storage.close()
    again = await another()
    assert await again.count() == 1
    assert await again.recall([record("a").key])


async def test_an_empty_storage_is_refused_when_we_must_not_migrate(storage_url: str, tmp_path: Path) -> None:
    storage = unopened(storage_url, tmp_path, migrate=False)
    with pytest.raises(StorageError, match=r"schema is at nothing, this program needs .*: run `webmacs migrate`"):
        await storage.open()
    assert await storage.revision() is None
    await storage.close()


async def test_an_older_schema_is_refused_when_we_must_not_migrate(
    storage: Storage, storage_url: str, tmp_path: Path, add_steps: Callable[..., None]
) -> None:
    found = migrate.head()
    add_steps("CREATE TABLE later (id integer);")
    late = unopened(storage_url, tmp_path, migrate=False)
    with pytest.raises(
        StorageError, match=f"schema is at {found}, this program needs {LAST + 1:04}: run `webmacs migrate`"
    ):
        await late.open()
    await late.close()
    assert not await there_is(storage, "later")


@pytest.mark.parametrize("may_migrate", [True, False])
async def test_a_newer_schema_is_refused(
    storage: Storage, storage_url: str, tmp_path: Path, *, may_migrate: bool
) -> None:
    await storage.write(Write("UPDATE alembic_version SET version_num = '9999'"))
    early = unopened(storage_url, tmp_path, migrate=may_migrate)
    with pytest.raises(StorageError, match=r"schema is at 9999, newer than this program knows .*: upgrade webmacs"):
        await early.open()
    with pytest.raises(StorageError, match="newer"):
        await early.migrate()
    await early.close()


async def test_a_schema_of_a_revision_nobody_knows_is_a_storage_error(
    storage: Storage, storage_url: str, tmp_path: Path
) -> None:
    await storage.write(Write("UPDATE alembic_version SET version_num = '0000'"))
    lost = unopened(storage_url, tmp_path)
    with pytest.raises(StorageError, match="cannot be brought up to date"):
        await lost.open()
    await lost.close()


async def test_migrations_that_run_side_by_side_are_done_once(storage_url: str, tmp_path: Path) -> None:
    several = [unopened(storage_url, tmp_path) for _ in range(3)]
    await asyncio.gather(*(one.migrate() for one in several), *(one.open() for one in several))
    assert {await one.revision() for one in several} == {migrate.head()}
    for seq, one in enumerate(several, 1):
        await one.append(await commit(one, seq, [reading()]))
    assert await several[0].count() == 3
    for one in several:
        await one.close()


async def test_migrations_of_several_processes_are_done_once(storage_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "WEBMACS_STORAGE__URL": storage_url}
    command = (sys.executable, "-m", "webmacs", "migrate")
    pipe = asyncio.subprocess.PIPE
    running = [
        await asyncio.create_subprocess_exec(*command, env=environment, cwd=tmp_path, stdout=pipe, stderr=pipe)
        for _ in range(3)
    ]
    said = [await process.communicate() for process in running]
    assert said == [(f"the schema is at {migrate.head()}\n".encode(), b"")] * 3
    assert [process.returncode for process in running] == [0, 0, 0]


async def test_storages_in_several_places_are_migrated_side_by_side(tmp_path: Path) -> None:
    several = [unopened(f"sqlite:///{tmp_path / f'{n}.db'}", tmp_path) for n in range(5)]
    await asyncio.gather(*(one.open() for one in several))
    assert [await one.revision() for one in several] == [migrate.head()] * 5
    for one in several:
        await one.close()


async def test_steps_are_done_in_order_and_only_once(
    storage: Storage, storage_url: str, tmp_path: Path, add_steps: Callable[..., None]
) -> None:
    add_steps("CREATE TABLE later (id integer); -- 100%\nINSERT INTO later VALUES (1);", "UPDATE later SET id = id + 1")
    for _ in range(2):
        late = unopened(storage_url, tmp_path)
        await late.open()
        assert await late.revision() == f"{LAST + 2:04}"
        await late.close()
    assert await storage.fetch("SELECT id FROM later") == [(2,)]


async def test_a_migration_that_fails_leaves_an_empty_storage_empty(
    storage_url: str, tmp_path: Path, add_steps: Callable[..., None]
) -> None:
    add_steps("CREATE TABLE later (id integer); INSERT INTO nowhere VALUES (1);")
    storage = unopened(storage_url, tmp_path)
    with pytest.raises(InvalidRows):
        await storage.open()
    for table in ("later", "users", "datapoints", "alembic_version"):
        assert not await there_is(storage, table)
    assert await storage.revision() is None
    await storage.close()


async def test_a_migration_that_fails_leaves_the_schema_as_it_was_and_can_be_repeated(
    storage: Storage, storage_url: str, tmp_path: Path, add_steps: Callable[..., None]
) -> None:
    found = migrate.head()
    add_steps(
        "CREATE TABLE second (id integer); INSERT INTO logs (public_id, content, created_us) VALUES ('a', 'b', 1);",
        "CREATE TABLE third (id integer); DROP TABLE experiments_that_are_not_there;",
    )
    late = unopened(storage_url, tmp_path)
    for _ in range(2):
        with pytest.raises(InvalidRows):
            await late.migrate()
        assert await late.revision() == found
        assert not await there_is(storage, "second")
        assert not await there_is(storage, "third")
        assert await storage.fetch("SELECT content FROM logs") == []
    add_steps("CREATE TABLE second (id integer);", "CREATE TABLE third (id integer);")
    await late.open()
    assert await there_is(storage, "second")
    assert await there_is(storage, "third")
    await late.close()


async def test_a_storage_that_runs_on_sees_what_was_migrated_beside_it(
    storage: Storage, storage_url: str, tmp_path: Path, add_steps: Callable[..., None]
) -> None:
    add_steps("ALTER TABLE events ADD COLUMN note text;")
    late = unopened(storage_url, tmp_path)
    await late.open()
    await late.close()
    assert await storage.fetch("SELECT note FROM events") == []
    await storage.append(await commit(storage, 1, [reading()]))
    await snapshot(storage)


def test_the_revision_we_need_is_the_one_alembic_takes_for_the_last() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(migrate.MIGRATIONS)
    assert script.get_heads() == [migrate.head()]


async def test_closing_again_is_harmless(storage: Storage) -> None:
    storage.watch(lambda: None)
    await storage.close()
    await storage.close()


async def test_closing_what_was_never_opened_is_harmless(storage_url: str, tmp_path: Path) -> None:
    await unopened(storage_url, tmp_path).close()


async def test_closing_finishes_what_runs(storage: Storage) -> None:
    started = asyncio.create_task(storage.append(await commit(storage, 1, [reading()] * 5_000)))
    reads = [asyncio.create_task(storage.count()) for _ in range(3)]
    await asyncio.sleep(0.01)
    await storage.close()
    await asyncio.gather(started, *reads)


async def test_what_is_closed_is_unavailable(storage: Storage) -> None:
    one = await commit(storage, 1, [reading()])
    await storage.close()
    for attempt in (storage.append(one), storage.ping(), storage.write(log_entry()), storage.fetch("SELECT 1")):
        with pytest.raises(StorageUnavailable):
            await attempt
