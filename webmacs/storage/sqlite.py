"""The embedded storage: one file, one writer thread, a few readers beside it (WAL).

Measured, and the reason for two odd-looking choices here: Python's driver gives up the interpreter lock for each row
of an `executemany`, and beside a busy event loop waits milliseconds to get it back, for each row: 600 rows/s instead
of 300,000. So all rows of a commit are bound to one statement, which gives the lock up once. And values are bound, not
sent as JSON: SQLite's own parser of decimals is not exact.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock, Timeout

from webmacs.catalog import Snapshot
from webmacs.config import StorageSettings
from webmacs.errors import ConfigError, Conflict, InvalidRows, StorageError, StorageUnavailable
from webmacs.model import BatchKey, BatchRecord, Datapoint, Scalar, Write
from webmacs.storage import migrate
from webmacs.storage.base import Commit, Row, Storage

T = TypeVar("T")

COLUMNS: Final = 5
PROGRESS_STEPS: Final = 50_000  # virtual machine instructions between two looks at a query's deadline

# The primary result codes (https://sqlite.org/rescode.html) that a later attempt may not meet again.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)

_CLAIM: Final = (
    "INSERT INTO commits (run, seq, started_us) VALUES (?, ?, ?)"
    " ON CONFLICT (run) DO UPDATE SET seq = excluded.seq WHERE commits.seq < excluded.seq"
)
_REMEMBER: Final = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteStorage(Storage):
    """Readings in an SQLite file: `sqlite:///relative/path` or `sqlite:////absolute/path`."""

    scheme = "sqlite"

    def __init__(self, settings: StorageSettings, url: str) -> None:
        super().__init__(settings, url)
        self.path = Path(url.removeprefix("sqlite:///"))
        if not url.startswith("sqlite:///") or not self.path.name:
            raise ConfigError(f"storage.url: {url!r} is not like sqlite:///file.db")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(settings.pool_size, thread_name_prefix="sqlite-reader")
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._db: sqlite3.Connection | None = None
        self._lock = FileLock(f"{self.path}.lock")
        self._next_id = 1
        self._watcher: asyncio.Task[None] | None = None

    # -- life --------------------------------------------------------------------------------------------------

    async def open(self, *, serving: bool = False) -> None:
        """See `Storage`."""
        if serving:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise Conflict(
                    f"another server uses {self.path}; stop it first, or give this one its own file"
                ) from None
            except OSError as error:
                raise StorageUnavailable(f"cannot lock {self.path}.lock: {error.strerror}") from error
        if self.settings.migrate:
            await self.migrate()
        await self._check_revision()
        await self._write(self._connect)

    async def close(self) -> None:
        """See `Storage`."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        await asyncio.to_thread(self._readers.shutdown)
        for reader in self._reading:
            reader.close()
        self._reading.clear()
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._db.close)
            self._db = None
        await asyncio.to_thread(self._writer.shutdown)
        self._lock.release()

    async def ping(self) -> None:
        """See `Storage`."""
        await self.fetch("SELECT 1")

    async def revision(self) -> str | None:
        """See `Storage`."""
        if not await self.fetch("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"):
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    async def migrate(self) -> None:
        """See `Storage`."""
        await self._write(self._migrate)

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Storage`. Asks the writer's connection for `data_version`, which moves with commits of others only."""
        self._watcher = asyncio.create_task(self._poll(changed), name="sqlite watcher")

    # -- the hot path ------------------------------------------------------------------------------------------

    async def reserve(self, count: int) -> int:
        """See `Storage`. This process is the only one that stores readings, so it counts by itself."""
        first_id = self._next_id
        self._next_id += count
        return first_id

    async def recall(self, keys: Collection[BatchKey]) -> Mapping[BatchKey, BatchRecord]:
        """See `Storage`."""
        statement = (
            "SELECT user_id, batch_id, digest, accepted, invalid, unlinked, skewed, time_us FROM batches"
            f" WHERE (user_id, batch_id) IN (VALUES {','.join(['(?, ?)'] * len(keys))})"
        )
        parameters = [part for key in keys for part in key]
        rows = await self._write(lambda: self._connection.execute(statement, parameters).fetchall())
        return {BatchKey(row[0], row[1]): BatchRecord(BatchKey(row[0], row[1]), *row[2:]) for row in rows}

    async def append(self, commit: Commit) -> None:
        """See `Storage`."""
        await self._write(lambda: self._append(commit))

    # -- readings ----------------------------------------------------------------------------------------------

    async def latest(self, snapshot: Snapshot) -> list[Datapoint]:
        """See `Storage`. One step down the index per event."""
        rows = await self.fetch(
            "SELECT d.id, d.event_id, d.time, d.value, d.experiment_id FROM events AS e JOIN datapoints AS d ON d.id ="
            " (SELECT id FROM datapoints WHERE event_id = e.id ORDER BY time DESC, id DESC LIMIT 1)"
        )
        return snapshot.datapoints(rows)

    async def history(
        self, snapshot: Snapshot, event_id: int, *, after: tuple[int, int] = (-(2**62), 0), limit: int
    ) -> list[Datapoint]:
        """See `Storage`."""
        rows = await self.fetch(
            "SELECT id, event_id, time, value, experiment_id FROM datapoints"
            " WHERE event_id = :event_id AND (time, id) > (:time, :id) ORDER BY time, id LIMIT :limit",
            event_id=event_id,
            time=after[0],
            id=after[1],
            limit=limit,
        )
        return snapshot.datapoints(rows)

    async def count(self) -> int:
        """See `Storage`."""
        return int((await self.fetch("SELECT count(*) FROM datapoints"))[0][0])

    async def forget_event(self, event_id: int, limit: int) -> int:
        """See `Storage`."""
        return await self.write(
            Write(
                "DELETE FROM datapoints WHERE id IN"
                " (SELECT id FROM datapoints WHERE event_id = :event_id LIMIT :limit)",
                ({"event_id": event_id, "limit": limit},),
            )
        )

    async def make_room(self, now_us: int) -> None:
        """See `Storage`. A file grows by itself."""

    async def expire(self, before_us: int, limit: int) -> int:
        """See `Storage`."""
        return await self.write(
            Write(
                "DELETE FROM datapoints WHERE id IN (SELECT d.id FROM events AS e JOIN datapoints AS d"
                " ON d.event_id = e.id AND d.time < :before_us LIMIT :limit)",
                ({"before_us": before_us, "limit": limit},),
            )
        )

    # -- configuration -----------------------------------------------------------------------------------------

    async def write(self, *writes: Write) -> int:
        """See `Storage`."""
        return await self._write(lambda: self._transaction(writes))

    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        """See `Storage`."""
        return await self._bounded(self._readers, lambda: self._fetch(statement, parameters))

    # -- in the threads ----------------------------------------------------------------------------------------

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._connect()
        assert self._db is not None
        return self._db

    def _connect(self) -> None:
        db = sqlite3.connect(
            self.path,
            timeout=self.settings.statement_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=8,  # a statement for a whole commit is large
        )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        rows = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'datapoints'").fetchall()
        self._next_id = max(self._next_id, rows[0][0] + 1 if rows else 1)
        self._db = db

    def _migrate(self) -> None:
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(
                self.path, timeout=self.settings.statement_timeout_s, isolation_level=None, check_same_thread=False
            )

        db = connect()
        try:
            tables = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
            if tables and db.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.head(),)]:
                return
            db.execute("PRAGMA journal_mode = WAL")
        finally:
            db.close()
        migrate.upgrade("sqlite", connect)

    def _append(self, commit: Commit) -> None:
        db = self._connection
        with _transaction(db):
            claim = db.execute(_CLAIM, (self.run, commit.seq, time.time_ns() // 1000))
            if claim.rowcount == 0:
                return  # an earlier attempt got through
            most = db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // COLUMNS
            for start in range(0, len(commit.readings), most):
                readings = commit.readings[start : start + most]
                values = [
                    column
                    for row_id, (event, time_us, value, experiment) in enumerate(readings, commit.first_id + start)
                    for column in (row_id, event.id, time_us, value, experiment and experiment.id)
                ]
                db.execute(f"INSERT INTO datapoints VALUES {','.join(['(?,?,?,?,?)'] * len(readings))}", values)
            for record in commit.batches:
                numbers = (record.accepted, record.invalid, record.unlinked, record.skewed, record.time_us)
                db.execute(_REMEMBER, (*record.key, record.digest, *numbers))
            for write in commit.writes:
                db.executemany(write.statement, write.rows)

    def _transaction(self, writes: Collection[Write]) -> int:
        db = self._connection
        changed = 0
        try:
            with _transaction(db):
                for write in writes:
                    changed = sum(db.execute(write.statement, row).rowcount for row in write.rows)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}:
                raise Conflict(str(error)) from error
            raise
        return changed

    def _fetch(self, statement: str, parameters: Mapping[str, Scalar]) -> list[Row]:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=ro",
                uri=True,
                timeout=self.settings.statement_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            db.set_progress_handler(lambda: time.monotonic() > self._local.deadline, PROGRESS_STEPS)
            self._local.db = db
            self._reading.append(db)
        self._local.deadline = time.monotonic() + self.settings.statement_timeout_s
        return db.execute(statement, parameters).fetchall()

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        """The boundary: what the driver raises becomes ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in _PASSING:
                raise StorageUnavailable(f"{self.path}: {error}") from error
            raise InvalidRows(str(error)) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise InvalidRows(str(error)) from error

    # -- between loop and threads ------------------------------------------------------------------------------

    async def _write(self, work: Callable[[], T]) -> T:
        return await self._bounded(self._writer, work)

    async def _bounded(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """Run in a thread for at most twice the statement's timeout; what runs longer ends later, by itself."""

        def guarded() -> T:
            with self._our_errors():
                return work()

        try:
            future = asyncio.get_running_loop().run_in_executor(executor, guarded)
        except RuntimeError as error:
            raise StorageUnavailable("the storage is closed") from error
        try:
            async with asyncio.timeout(2 * self.settings.statement_timeout_s):
                return await asyncio.shield(future)
        except TimeoutError as error:
            future.add_done_callback(_retrieve)
            raise StorageUnavailable(f"{self.path} did not answer in time") from error
        except asyncio.CancelledError:
            future.add_done_callback(_retrieve)
            raise

    async def _poll(self, changed: Callable[[], None]) -> None:
        seen: object = None
        while True:
            try:
                version = await self._write(lambda: self._connection.execute("PRAGMA data_version").fetchone())
            except StorageError:
                version = None  # whatever happened meanwhile, look again
            if version is not None and version != seen:
                changed()  # at first, too: nobody looked since the configuration was read
            seen = version
            await asyncio.sleep(self.settings.poll_interval_s)


def _retrieve(future: asyncio.Future[T]) -> None:
    """Nobody waits any more; take the exception so that it is not reported as never retrieved."""
    if not future.cancelled():
        future.exception()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
