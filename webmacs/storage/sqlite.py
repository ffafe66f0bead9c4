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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.config import StorageSettings
from webmacs.errors import ConfigError, Conflict, InvalidRows, StorageError, StorageUnavailable
from webmacs.lock import FileLock
from webmacs.model import Actor, BatchKey, BatchRecord, Datapoint, Scalar, Write
from webmacs.storage import migrate, triggers
from webmacs.storage.base import Commit, Row, Storage, check_changes
from webmacs.storage.bulk import plain
from webmacs.storage.dialect import SQLITE
from webmacs.storage.folding import Folding
from webmacs.storage.rollups import late
from webmacs.storage.workers import BUSY_SLICE_S, Workers, is_busy, our_errors, transaction
from webmacs.tasks import end

BLOCK: Final = 2**20  # ids a process takes at a time
COLUMNS: Final = 5
PROGRESS_STEPS: Final = 50_000  # virtual machine instructions between two looks at a query's deadline

_CLAIM: Final = (
    "INSERT INTO commits (run, seq, committed_us) VALUES (?, ?, ?) ON CONFLICT (run) DO UPDATE"
    " SET seq = excluded.seq, committed_us = excluded.committed_us WHERE commits.seq < excluded.seq"
)
_REMEMBER: Final = "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteStorage(Storage):
    """Readings in an SQLite file: `sqlite:///relative/path` or `sqlite:////absolute/path`."""

    scheme = "sqlite"
    dialect = SQLITE

    def __init__(self, settings: StorageSettings, url: str) -> None:
        super().__init__(settings, url)
        self.path = Path(url.removeprefix("sqlite:///"))
        if not url.startswith("sqlite:///") or not self.path.name:
            raise ConfigError(f"storage.url: {url!r} is not like sqlite:///file.db")
        limit_s = 2 * settings.statement_timeout_s  # to wait for a thread, and for its work
        times = (limit_s, settings.statement_timeout_s)
        self._writer = Workers(self.path, 1, self._connect_to_write, *times)
        self._readers = Workers(self.path, settings.pool_size, self._connect_to_read, *times)
        self._folding = Folding(self.path, settings.wal_limit_mb, limit_s)
        self._reading = threading.local()  # the deadline of each reader's query
        self._connected = 0  # how many times the writer has connected
        self._lock = FileLock(self.path.with_name(f"{self.path.name}.lock"))
        self._ids: tuple[int, int] = (0, 0)  # the next id, and the end of the block it is from
        self._watcher: asyncio.Task[None] | None = None
        self._folder: asyncio.Task[None] | None = None

    # -- life --------------------------------------------------------------------------------------------------

    async def open(self, *, serving: bool = False) -> None:
        """See `Storage`. Makes the file, but not the directory it is in."""
        if not await asyncio.to_thread(self.path.parent.is_dir):  # a lock would make it
            raise StorageUnavailable(f"{self.path}: there is no directory {self.path.parent}")
        if serving:
            try:
                ours = self._lock.acquire()
            except OSError as error:
                raise StorageUnavailable(f"cannot lock {self.path}.lock: {error.strerror}") from error
            if not ours:
                raise Conflict(f"another server uses {self.path}; stop it first, or give this one its own file")
        if self.settings.migrate:
            await self.migrate()
        await self._check_revision()
        await self._writer.run(lambda _db: None)
        if serving:
            self._folder = asyncio.create_task(self._folding.run(lambda: self._writer.run(_fold)), name="sqlite log")

    async def close(self) -> None:
        """See `Storage`."""
        await end(*(task for task in (self._watcher, self._folder) if task is not None))
        await self._readers.close()
        await self._writer.close()  # the last one: that folds the log into the file
        self._lock.release()

    async def ping(self) -> None:
        """See `Storage`."""
        await self._readers.run(lambda db: self._fetch(db, "SELECT 1", {}))  # also while the door is closed

    async def revision(self) -> str | None:
        """See `Storage`."""
        if not await asyncio.to_thread(self.path.exists):
            return None
        if not await self.fetch("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"):
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    async def migrate(self) -> None:
        """See `Storage`."""
        if await self._out_of_date():
            await asyncio.to_thread(self._migrate)

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Storage`. Asks the writer's connection for `data_version`, which moves with commits of others only."""
        self._watcher = asyncio.create_task(self._poll(changed), name="sqlite watcher")

    # -- the hot path ------------------------------------------------------------------------------------------

    async def reserve(self, count: int) -> int:
        """See `Storage`. Ids come in blocks, so that a command that imports beside the server never meets it."""
        first_id, end = self._ids
        if first_id + count > end:
            size = -(-count // BLOCK) * BLOCK
            first_id = await self._writer.run(lambda db: _take_ids(db, size))
            end = first_id + size
        self._ids = (first_id + count, end)
        return first_id

    async def recall(self, keys: Collection[BatchKey]) -> Mapping[BatchKey, BatchRecord]:
        """See `Storage`."""
        return await self._writer.run(lambda db: _recall(db, list(keys)))

    async def append(self, commit: Commit) -> None:
        """See `Storage`."""
        try:
            await self._writer.run(lambda db: self._append(db, commit))
        except Conflict as error:
            raise InvalidRows(str(error)) from error

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

    async def write(self, *writes: Write, actor: Actor | None = None) -> int:
        """See `Storage`."""
        signature = triggers.signature(actor or self.actor)
        return await self._writer.run(lambda db: _write(db, writes, signature))

    async def derive(
        self,
        table: str,
        columns: str,
        query: str,
        parameters: Mapping[str, Scalar],
        *,
        before: Sequence[Write] = (),
        after: Sequence[Write] = (),
    ) -> None:
        """See `Storage`. Read beside the writer, which has nothing to do then but to store what was found."""
        names = columns.split(", ")
        found = await self.fetch(query, **parameters)
        rows = tuple(dict(zip(names, row, strict=True)) for row in found)
        insert = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{name}' for name in names)})"
        await self.write(*before, Write(insert, rows, bulk=True), *after)

    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        """See `Storage`."""
        async with self._folding.door.together():
            return await self._readers.run(lambda db: self._fetch(db, statement, parameters))

    # -- in the threads ----------------------------------------------------------------------------------------

    def _connect(self, mode: str, busy_s: float | None = None) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self.settings.statement_timeout_s if busy_s is None else busy_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=8,  # a statement for a whole commit is large
        )

    def _connect_to_write(self) -> sqlite3.Connection:
        # A file that has gone is not made again, empty: that would swallow what is stored.
        db = self._connect("rw", BUSY_SLICE_S)
        try:
            db.execute("PRAGMA journal_mode = WAL")  # it is already, unless the file comes from a backup
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            # Each event has a page of the index that it adds to. At SQLite's own 2 MB those of 500 displace each other.
            db.execute(f"PRAGMA cache_size = {-1024 * self.settings.cache_mb}")
        except BaseException:
            db.close()
            raise
        self._connected += 1
        return db

    def _connect_to_read(self) -> sqlite3.Connection:
        db = self._connect("ro")
        db.set_progress_handler(lambda: time.monotonic() > self._reading.deadline, PROGRESS_STEPS)
        return db

    def _migrate(self) -> None:
        """What stands in the way is mostly another migration, which may take longer than a statement. SQLite refuses
        the change to a log at once when several ask for it, so waiting is for us to do.
        """
        give_up = time.monotonic() + max(self.settings.startup_timeout_s, self.settings.statement_timeout_s)
        with our_errors(self.path):
            while True:
                try:
                    self._upgrade()
                except sqlite3.OperationalError as error:
                    if not is_busy(error) or time.monotonic() >= give_up:
                        raise
                    time.sleep(BUSY_SLICE_S)
                else:
                    return

    def _upgrade(self) -> None:
        with closing(self._connect("rwc", BUSY_SLICE_S)) as db:
            db.execute("PRAGMA journal_mode = WAL")
        migrate.upgrade("sqlite", lambda: self._connect("rw", BUSY_SLICE_S))

    def _append(self, db: sqlite3.Connection, commit: Commit) -> None:
        _check_texts(record.key.batch_id for record in commit.batches)
        for write in commit.writes:
            _check(write)
        now_us = time.time_ns() // 1000
        with transaction(db):
            claim = db.execute(_CLAIM, (self.run, commit.seq, now_us))
            if claim.rowcount == 0:
                return  # an earlier attempt got through
            for write in late(self, commit.readings, now_us):
                _run(db, write)
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
                _run(db, write)

    def _fetch(self, db: sqlite3.Connection, statement: str, parameters: Mapping[str, Scalar]) -> list[Row]:
        _check_texts(parameters.values())
        self._reading.deadline = time.monotonic() + self.settings.statement_timeout_s
        return db.execute(statement, parameters).fetchall()

    # -- changes made elsewhere --------------------------------------------------------------------------------

    async def _poll(self, changed: Callable[[], None]) -> None:
        seen: object = None
        while True:
            try:
                version = await self._writer.run(self._version)
            except StorageError:
                version = None  # whatever happened meanwhile, look again
            if version is not None and version != seen:
                changed()  # at first, too: nobody looked since the configuration was read
            seen = version
            await asyncio.sleep(self.settings.poll_interval_s)

    def _version(self, db: sqlite3.Connection) -> tuple[int, int]:
        """Moves with each commit of others; of no meaning beside that of another connection."""
        return self._connected, db.execute("PRAGMA data_version").fetchone()[0]


def _take_ids(db: sqlite3.Connection, count: int) -> int:
    with transaction(db):
        db.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'datapoints', 0"
            " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'datapoints')"
        )
        taken = db.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'datapoints' RETURNING seq", (count,)
        ).fetchall()
    return int(taken[0][0]) - count + 1


def _recall(db: sqlite3.Connection, keys: list[BatchKey]) -> dict[BatchKey, BatchRecord]:
    records = {}
    most = db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // 2
    for start in range(0, len(keys), most):
        asked = keys[start : start + most]
        rows = db.execute(
            # Not `(user_id, batch_id) IN (VALUES …)`, for which SQLite reads the whole table.
            f"WITH asked (user_id, batch_id) AS (VALUES {','.join(['(?, ?)'] * len(asked))})"
            " SELECT user_id, batch_id, digest, accepted, invalid, unlinked, skewed, time_us"
            " FROM asked CROSS JOIN batches USING (user_id, batch_id)",
            [part for key in asked for part in key],
        )
        for user_id, batch_id, *answer in rows.fetchall():
            key = BatchKey(user_id, batch_id)
            records[key] = BatchRecord(key, *answer)
    return records


def _write(db: sqlite3.Connection, writes: Collection[Write], signature: Write | None) -> int:
    for write in writes:
        _check(write)
    changed = 0
    with transaction(db):
        if signature is not None:  # the triggers of the audit log read it; nobody else ever sees it
            _run(db, signature)
        for write in writes:
            changed = _run(db, write)
            check_changes(write, changed)
        if signature is not None:
            db.execute("DELETE FROM acting")
    return changed


def _run(db: sqlite3.Connection, write: Write) -> int:
    """The number of rows changed."""
    if not write.bulk:
        return sum(max(0, db.execute(write.statement, row).rowcount) for row in write.rows)
    insert = plain(write.statement)
    row = f"({','.join('?' * len(insert.names))})"
    most = db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(insert.names)
    for start in range(0, len(write.rows), most):
        rows = write.rows[start : start + most]
        db.execute(insert.head + ",".join([row] * len(rows)), insert.values(rows))
    return len(write.rows)


def _check(write: Write) -> None:
    for row in write.rows:
        _check_texts(row.values())


def _check_texts(values: Iterable[Scalar]) -> None:
    """SQLite would store a U+0000, and then show a text only up to there."""
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise InvalidRows("a text must not hold U+0000")


def _fold(db: sqlite3.Connection) -> bool:
    """Whether the whole log is in the file now, and empty."""
    ((busy, _frames, _folded),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not busy
