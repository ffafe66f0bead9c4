"""The production storage: PostgreSQL through aiopg. The one module that knows aiopg and psycopg2.

A commit is one message of the simple query protocol, so one round trip and one implicit transaction; numbers travel as
array literals built by hand, which psycopg2 neither adapts nor quotes one by one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Final

import aiopg
import psycopg2
import psycopg2.errors
import psycopg2.extensions

from webmacs.catalog import Snapshot
from webmacs.config import StorageSettings
from webmacs.errors import ConfigError, Conflict, InvalidRows, StorageUnavailable
from webmacs.model import BatchKey, BatchRecord, Datapoint, Reading, Scalar, Write, to_datetime
from webmacs.storage import migrate, partitions
from webmacs.storage.base import Commit, Row, Storage

_log = logging.getLogger(__name__)

BLOCK: Final = 2**20  # ids a process takes at a time
CHANNEL: Final = "webmacs_catalog"
STORED_ALREADY: Final = "WM001"  # raised by webmacs_claim
_TIME_US: Final = "(extract(epoch FROM time) * 1000000)::bigint"

_REMEMBER: Final = "INSERT INTO batches VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"

# Classes of SQLSTATE (PostgreSQL documentation, appendix A) that say the request itself is at fault: feature, data,
# cardinality, integrity, syntax or access rule, program limit, raised by a function.
_AT_FAULT: Final = frozenset({"0A", "21", "22", "23", "42", "54", "P0"})


class PostgresStorage(Storage):
    """Readings in PostgreSQL: `postgresql://user:password@host:5432/name`, as libpq takes it."""

    scheme = "postgresql"

    def __init__(self, settings: StorageSettings, url: str) -> None:
        super().__init__(settings, url)
        try:
            self._dsn = psycopg2.extensions.make_dsn(
                url,
                application_name="webmacs",
                # The server gives up a little after we have, for a statement whose connection we have closed.
                options=f"-c statement_timeout={int((settings.statement_timeout_s + 1) * 1000)} -c timezone=UTC",
                connect_timeout=max(2, int(settings.connect_timeout_s)),  # libpq's own, for blocking connections
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=int(settings.statement_timeout_s * 2000),
            )
        except psycopg2.Error as error:
            raise ConfigError("storage.url is not a PostgreSQL connection string") from error
        self._ingest = Connections(self._connect, 1, settings)
        self._rest = Connections(self._connect, settings.pool_size, settings)
        self._ids: tuple[int, int] = (0, 0)  # the next id, and the end of the block it is from
        self._listener: asyncio.Task[None] | None = None
        self._named = lru_cache(maxsize=256)(_named)

    # -- life --------------------------------------------------------------------------------------------------

    async def open(self, *, serving: bool = False) -> None:  # noqa: ARG002 - servers share a PostgreSQL
        """See `Storage`."""
        if self.settings.migrate:
            await self.migrate()
        await self._check_revision()

    async def close(self) -> None:
        """See `Storage`."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        self._ingest.close()
        self._rest.close()

    async def ping(self) -> None:
        """See `Storage`."""
        await self.fetch("SELECT 1")

    async def revision(self) -> str | None:
        """See `Storage`."""
        if (await self.fetch("SELECT to_regclass('alembic_version')::text"))[0][0] is None:
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    async def migrate(self) -> None:
        """See `Storage`."""
        if await self.revision() == migrate.head():
            return
        with _our_errors():
            await asyncio.to_thread(migrate.upgrade, "postgresql+psycopg2", lambda: psycopg2.connect(self._dsn))

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Storage`. LISTENs on a connection of its own; triggers NOTIFY whoever made the change."""
        self._listener = asyncio.create_task(self._listen(changed), name="postgresql listener")

    # -- the hot path ------------------------------------------------------------------------------------------

    async def reserve(self, count: int) -> int:
        """See `Storage`. Ids come in blocks of a sequence, so that several servers never meet and no insert asks."""
        first_id, end = self._ids
        if first_id + count > end:
            blocks = -(-count // BLOCK)
            async with self._ingest.cursor() as cursor:
                # One statement takes blocks that lie side by side, unless another server comes between: then again.
                taken = [0, 2 * blocks]
                while taken[-1] - taken[0] != blocks - 1:
                    await cursor.execute(f"SELECT nextval('datapoint_blocks') FROM generate_series(1, {blocks})")
                    taken = [row[0] for row in await cursor.fetchall()]
            first_id, end = taken[0] * BLOCK, (taken[-1] + 1) * BLOCK
        self._ids = (first_id + count, end)
        return first_id

    async def recall(self, keys: Collection[BatchKey]) -> Mapping[BatchKey, BatchRecord]:
        """See `Storage`."""
        async with self._ingest.cursor() as cursor:
            await cursor.execute(
                "SELECT user_id, batch_id, digest, accepted, invalid, unlinked, skewed, time_us FROM batches"
                " JOIN unnest(%s::integer[], %s::text[]) AS key (user_id, batch_id) USING (user_id, batch_id)",
                ([key.user_id for key in keys], [key.batch_id for key in keys]),
            )
            rows = await cursor.fetchall()
        return {BatchKey(row[0], row[1]): BatchRecord(BatchKey(row[0], row[1]), *row[2:]) for row in rows}

    async def append(self, commit: Commit) -> None:
        """See `Storage`."""
        try:
            async with self._ingest.cursor() as cursor:
                statements = [f"SELECT webmacs_claim('{self.run}', {commit.seq})"]
                if commit.readings:
                    statements.append(_insert(commit.first_id, commit.readings))
                for record in commit.batches:
                    numbers = (record.accepted, record.invalid, record.unlinked, record.skewed, record.time_us)
                    statements.append(cursor.mogrify(_REMEMBER, (*record.key, record.digest, *numbers)).decode())
                for write in commit.writes:
                    statement = self._named(write.statement)
                    statements += [cursor.mogrify(statement, row).decode() for row in write.rows]
                await cursor.execute(";".join(statements))
        except _StoredAlready:
            _log.info("commit %d had been stored by an attempt whose answer was lost", commit.seq)
        except Conflict as error:
            raise InvalidRows(str(error)) from error

    # -- readings ----------------------------------------------------------------------------------------------

    async def latest(self, snapshot: Snapshot) -> list[Datapoint]:
        """See `Storage`. One step down the index per event and partition."""
        rows = await self.fetch(
            f"SELECT d.id, e.id, {_TIME_US}, d.value, d.experiment_id FROM events AS e CROSS JOIN LATERAL"
            " (SELECT id, time, value, experiment_id FROM datapoints WHERE event_id = e.id"
            " ORDER BY time DESC, id DESC LIMIT 1) AS d"
        )
        return snapshot.datapoints(rows)

    async def history(
        self, snapshot: Snapshot, event_id: int, *, after: tuple[int, int] = (-(2**62), 0), limit: int
    ) -> list[Datapoint]:
        """See `Storage`."""
        beginning = after[0] < -(2**61)
        rows = await self.fetch(
            f"SELECT id, event_id, {_TIME_US}, value, experiment_id FROM datapoints"
            " WHERE event_id = :event_id AND (time, id) > (:time::timestamptz, :id) ORDER BY time, id LIMIT :limit",
            event_id=event_id,
            time="-infinity" if beginning else to_datetime(after[0]).isoformat(),
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
                "DELETE FROM datapoints USING (SELECT tableoid AS part, ctid AS place FROM datapoints"
                " WHERE event_id = :event_id LIMIT :limit) AS old"
                " WHERE datapoints.tableoid = old.part AND datapoints.ctid = old.place AND event_id = :event_id",
                ({"event_id": event_id, "limit": limit},),
            )
        )

    async def make_room(self, now_us: int) -> None:
        """See `Storage`. Makes the partitions of the time to come."""
        await partitions.make(self, self.settings.partition_days, self.settings.partitions_ahead, now_us)

    async def expire(self, before_us: int, limit: int) -> int:
        """See `Storage`. Whole partitions are dropped; from the default one, rows go."""
        return await partitions.expire(self, before_us, limit)

    # -- configuration -----------------------------------------------------------------------------------------

    async def write(self, *writes: Write) -> int:
        """See `Storage`.

        Not in aiopg's own `Transaction`, which warns when it is interrupted; here a connection that comes back in the
        middle of a transaction is closed, which undoes it.
        """
        changed = 0
        async with self._rest.cursor() as cursor:
            await cursor.execute("BEGIN")
            try:
                for write in writes:
                    changed = 0
                    for row in write.rows:
                        await cursor.execute(self._named(write.statement), row)
                        changed += cursor.rowcount
            except psycopg2.Error:
                if not cursor.connection.closed:
                    await cursor.execute("ROLLBACK")
                raise
            await cursor.execute("COMMIT")
        return changed

    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        """See `Storage`."""
        async with self._rest.cursor() as cursor:
            await cursor.execute(self._named(statement), parameters)
            return list(await cursor.fetchall())

    # -- connections -------------------------------------------------------------------------------------------

    async def _connect(self) -> aiopg.Connection:
        return await aiopg.connect(
            self._dsn,
            timeout=self.settings.statement_timeout_s,
            enable_hstore=False,
            enable_json=False,
            enable_uuid=False,
        )

    async def _listen(self, changed: Callable[[], None]) -> None:
        delay = 0.05
        while True:
            try:
                with _our_errors():
                    async with asyncio.timeout(self.settings.connect_timeout_s):
                        connection = await self._connect()
                    try:
                        async with connection.cursor() as cursor:
                            await cursor.execute(f"LISTEN {CHANNEL}")
                        delay = 0.05
                        changed()  # what happened while nobody listened
                        while True:
                            await connection.notifies.get()
                            changed()
                    finally:
                        connection.close()
            except (StorageUnavailable, InvalidRows) as error:
                _log.debug("not listening for changes: %s", error)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay = min(delay * 2, 2.0)


class Connections:
    """A few connections, lent one at a time.

    Not aiopg's pool: that one connects while it holds the lock that giving a connection back needs, so a connection
    attempt that hangs stops those that are done. Here a slot is all that is waited for.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[aiopg.Connection]], size: int, settings: StorageSettings
    ) -> None:
        self._connect = connect
        self._settings = settings
        self._slots = asyncio.Semaphore(size)
        self._idle: list[aiopg.Connection] = []
        self._closed = False

    @asynccontextmanager
    async def cursor(self) -> AsyncIterator[aiopg.Cursor]:
        """A cursor on a connection of one's own. Everything the driver raises inside becomes ours."""
        with _our_errors():
            async with asyncio.timeout(self._settings.statement_timeout_s):
                await self._slots.acquire()
            try:
                connection = await self._take()
                try:
                    async with connection.cursor(timeout=self._settings.statement_timeout_s) as cursor:
                        yield cursor
                finally:
                    self._give_back(connection)
            finally:
                self._slots.release()

    def close(self) -> None:
        """Close what is idle, and what is lent when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _take(self) -> aiopg.Connection:
        if self._closed:
            raise StorageUnavailable("the storage is closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        async with asyncio.timeout(self._settings.connect_timeout_s):
            return await self._connect()

    def _give_back(self, connection: aiopg.Connection) -> None:
        idle = psycopg2.extensions.TRANSACTION_STATUS_IDLE
        if self._closed or connection.closed or connection.raw.get_transaction_status() != idle:
            connection.close()
        else:
            self._idle.append(connection)


class _StoredAlready(InvalidRows):
    """An earlier attempt at this commit got through."""


@contextmanager
def _our_errors() -> Iterator[None]:
    """The boundary: what the driver raises becomes ours."""
    try:
        yield
    except psycopg2.errors.UniqueViolation as error:
        raise Conflict(str(error).strip()) from error
    except psycopg2.Error as error:
        code = error.pgcode or ""
        if code == STORED_ALREADY:
            raise _StoredAlready(str(error).strip()) from error
        if code[:2] in _AT_FAULT or (not code and type(error) is psycopg2.ProgrammingError):  # "can't adapt"
            raise InvalidRows(str(error).strip()) from error
        raise StorageUnavailable(str(error).strip() or type(error).__name__) from error
    except TimeoutError as error:  # aiopg has closed the connection; it is an OSError, so it comes first
        raise StorageUnavailable("the database did not answer in time") from error
    except OSError as error:
        raise StorageUnavailable(str(error)) from error
    except (ValueError, OverflowError) as error:  # U+0000 and lone surrogates in a text
        raise InvalidRows(str(error)) from error
    except asyncio.CancelledError as error:
        # aiopg turns a statement cancelled by the server into this (aiopg#537); a real one has been asked for.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise StorageUnavailable("the database cancelled the statement") from error


def _insert(first_id: int, readings: Sequence[Reading]) -> str:
    """One INSERT for all readings of a commit. Only numbers get into the text, each through its own `repr`."""
    events = ",".join([str(reading.event.id) for reading in readings])
    times = ",".join([str(reading.time_us) for reading in readings])
    values = ",".join([repr(float(reading.value)) for reading in readings])
    experiments = ",".join([str(r.experiment.id) if r.experiment else "NULL" for r in readings])
    return (
        "INSERT INTO datapoints (id, event_id, time, value, experiment_id)"
        f" SELECT {first_id - 1} + n, e, 'epoch'::timestamptz + t * interval '1 microsecond', v, x"
        f" FROM unnest('{{{events}}}'::integer[], '{{{times}}}'::bigint[], '{{{values}}}'::float8[],"
        f" '{{{experiments}}}'::integer[]) WITH ORDINALITY AS r (e, t, v, x, n)"
    )


def _named(statement: str) -> str:
    """`:name` placeholders as psycopg2 writes them; `::type` and literal percent signs stay what they are."""
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", statement.replace("%", "%%"))
