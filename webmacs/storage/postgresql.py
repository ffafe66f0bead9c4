"""The production storage: PostgreSQL.

A commit is one message of the simple query protocol, so one round trip and one implicit transaction; readings travel as
array literals (`webmacs.storage.arrays`), which psycopg2 neither adapts nor quotes one by one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from webmacs.catalog import Snapshot
from webmacs.config import StorageSettings
from webmacs.errors import Conflict, InvalidRows, StorageUnavailable
from webmacs.model import (
    Actor,
    BatchKey,
    BatchRecord,
    Datapoint,
    Reading,
    Scalar,
    Write,
    to_datetime,
    to_us,
)
from webmacs.storage import arrays, migrate, partitions, triggers
from webmacs.storage.base import Commit, Row, Storage, check_changes
from webmacs.storage.bulk import plain
from webmacs.storage.connections import Address, Connections, StoredAlready, cut, our_errors
from webmacs.storage.dialect import POSTGRESQL
from webmacs.storage.rollups import late
from webmacs.tasks import end

_log = logging.getLogger(__name__)

BLOCK: Final = 2**20  # ids a process takes at a time
CHANNEL: Final = "webmacs_catalog"
LONG_STATEMENT: Final = 4_096
FIRST_DELAY_S: Final = 0.05
MAX_DELAY_S: Final = 2.0
_TIME_US: Final = "(extract(epoch FROM time) * 1000000)::bigint"
_NEWEST: Final = (
    f"SELECT d.id, e.id, {_TIME_US}, d.value, d.experiment_id FROM events AS e CROSS JOIN LATERAL"
    " (SELECT id, time, value, experiment_id FROM datapoints WHERE event_id = e.id {since}"
    " ORDER BY time DESC, id DESC LIMIT 1) AS d {of}"
)

_RECORD: Final = "(%s, %s, %s, %s, %s, %s, %s, %s)"
# What is skipped before a placeholder is looked for: strings, quoted names, comments and casts.
_PLACEHOLDER: Final = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|::|:([a-z_][a-z0-9_]*)""")
_FIRST_US: Final = to_us(datetime.min.replace(tzinfo=UTC))
_LAST_US: Final = to_us(datetime.max.replace(tzinfo=UTC))


class PostgresStorage(Storage):
    """Readings in PostgreSQL: `postgresql://user:password@host:5432/name`, as libpq takes it."""

    scheme = "postgresql"
    dialect = POSTGRESQL

    def __init__(self, settings: StorageSettings, url: str) -> None:
        super().__init__(settings, url)
        self._address = Address(url, settings)
        self._ingest = Connections(self._address, 1, settings)
        self._rest = Connections(self._address, settings.pool_size, settings)
        self._ids: tuple[int, int] = (0, 0)  # the next id, and the end of the block it is from
        self._listener: asyncio.Task[None] | None = None
        self._remembered = lru_cache(maxsize=256)(_named)

    # -- life --------------------------------------------------------------------------------------------------

    async def open(self, *, serving: bool = False) -> None:  # noqa: ARG002 - servers share a PostgreSQL
        """See `Storage`."""
        if self.settings.migrate:
            await self.migrate()
        await self._check_revision()

    async def close(self) -> None:
        """See `Storage`."""
        if self._listener is not None:
            await end(self._listener)
        await asyncio.gather(self._ingest.close(), self._rest.close())

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
        if not await self._out_of_date():
            return
        opened: list[Any] = []

        def connect() -> Any:
            opened.append(self._address.connect_blocking(migrate.LIMIT_S))
            return opened[-1]

        try:
            with our_errors():
                async with asyncio.timeout(migrate.LIMIT_S):
                    await asyncio.to_thread(migrate.upgrade, "postgresql+psycopg2", connect)
        finally:
            for connection in opened:  # closed, unless nobody waits any more: then the thread must not either
                cut(connection)

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

    def prepare(self, readings: Sequence[Reading]) -> object | None:
        """See `Storage`."""
        return arrays.prepared(readings)

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
                    statements.append(await arrays.insert(commit.first_id, commit.parts))
                    statements += [write.statement for write in late(self, commit.readings, time.time_ns() // 1000)]
                if commit.batches:
                    places = ",".join([_RECORD] * len(commit.batches))
                    values = [value for record in commit.batches for value in _row(record)]
                    statements.append(cursor.mogrify(f"INSERT INTO batches VALUES {places}", values).decode())
                for write in commit.writes:
                    statements += self._filled(cursor, write)
                await cursor.execute("\n;".join(statements))  # a statement may end in a comment
        except StoredAlready:
            _log.info("commit %d had been stored by an attempt whose answer was lost", commit.seq)
        except Conflict as error:
            raise InvalidRows(str(error)) from error

    # -- readings ----------------------------------------------------------------------------------------------

    async def latest(self, snapshot: Snapshot) -> list[Datapoint]:
        """See `Storage`. One step down the index per event and partition; of old partitions only for those events that
        the new ones do not know, as there may be a hundred of them.
        """
        recent = f"AND time >= now() - interval '{self.settings.partition_days} days'"
        rows = await self.fetch(_NEWEST.format(since=recent, of=""))
        silent = snapshot.events_by_id.keys() - {row[1] for row in rows}
        if silent:
            rows += await self.fetch(_NEWEST.format(since="", of=f"WHERE e.id IN ({','.join(map(str, silent))})"))
        return snapshot.datapoints(rows)

    async def history(
        self, snapshot: Snapshot, event_id: int, *, after: tuple[int, int] = (-(2**62), 0), limit: int
    ) -> list[Datapoint]:
        """See `Storage`."""
        rows = await self.fetch(
            f"SELECT id, event_id, {_TIME_US}, value, experiment_id FROM datapoints"
            " WHERE event_id = :event_id AND (time, id) > (:time::timestamptz, :id) ORDER BY time, id LIMIT :limit",
            event_id=event_id,
            time=_moment(after[0]),
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
                "DELETE FROM datapoints WHERE event_id = :event_id AND time <= (SELECT max(time) FROM"
                " (SELECT time FROM datapoints WHERE event_id = :event_id ORDER BY time LIMIT :limit) AS oldest)",
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

    async def write(self, *writes: Write, actor: Actor | None = None) -> int:
        """See `Storage`."""
        changed = 0
        actor = actor or self.actor
        async with self._rest.transaction() as cursor:
            if actor is not None:  # until the end of the transaction; the triggers of the audit log read it
                await cursor.execute("SELECT set_config('webmacs.actor', %s, true)", (triggers.spelled(actor),))
            for write in writes:
                changed = 0
                for statement in self._filled(cursor, write):
                    await cursor.execute(statement)
                    changed += max(0, cursor.rowcount)
                check_changes(write, changed)
        return changed

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
        """See `Storage`. Nothing of it comes here."""
        insert = Write(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({query}) AS found", (parameters,))
        await self.write(*before, insert, *after)

    async def fetch(self, statement: str, **parameters: Scalar) -> list[Row]:
        """See `Storage`."""
        async with self._rest.cursor() as cursor:
            await cursor.execute(self._named(statement), parameters)
            return list(await cursor.fetchall())

    def _named(self, statement: str) -> str:
        """The statement with psycopg2's placeholders; one that is so long comes once, with values in its text."""
        return self._remembered(statement) if len(statement) < LONG_STATEMENT else _named(statement)

    def _filled(self, cursor: Any, write: Write) -> list[str]:
        """The statements of a write, with their values in them."""
        if not write.bulk:
            statement = self._named(write.statement)
            return [cursor.mogrify(statement, row).decode() for row in write.rows]
        if not write.rows:
            return []
        insert = plain(write.statement)
        values = f"({','.join(f'%({name})s' for name in insert.names)})"
        return [insert.head + ",".join([cursor.mogrify(values, row).decode() for row in write.rows])]

    async def _listen(self, changed: Callable[[], None]) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            try:
                with our_errors():
                    connection = await self._address.connect()
                    try:
                        async with connection.cursor() as cursor:
                            await cursor.execute(f"LISTEN {CHANNEL}")
                        delay_s = FIRST_DELAY_S
                        changed()  # what happened while nobody listened
                        while True:
                            await connection.notifies.get()
                            changed()
                    finally:
                        connection.close()
            except (StorageUnavailable, InvalidRows) as error:
                _log.debug("not listening for changes: %s", error)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_s = min(delay_s * 2, MAX_DELAY_S)


def _row(record: BatchRecord) -> Row:
    numbers = (record.accepted, record.invalid, record.unlinked, record.skewed, record.time_us)
    return (*record.key, record.digest, *numbers)


def _moment(time_us: int) -> str:
    """A time as PostgreSQL reads it; beyond what it can tell, one of its infinities."""
    if time_us < _FIRST_US:
        return "-infinity"
    return "infinity" if time_us > _LAST_US else to_datetime(time_us).isoformat()


def _named(statement: str) -> str:
    """`:name` placeholders as psycopg2 writes them; whatever else has a colon or a percent sign stays what it is."""

    def written(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0]

    return _PLACEHOLDER.sub(written, statement.replace("%", "%%"))
