"""Threads that work on an SQLite file, each with a connection of its own. Waiting for one of them has a bound."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

from webmacs.errors import Conflict, InvalidRows, StorageUnavailable

T = TypeVar("T")

# Primary result codes (https://sqlite.org/rescode.html) after which a connection is not to be trusted any more.
_BROKEN: Final = frozenset(
    {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
# Those that a later attempt may not meet again.
_PASSING: Final = _BROKEN | {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
}
_TAKEN: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


AGAIN_S: Final = 0.005
BUSY_SLICE_S: Final = 0.1  # SQLite's own wait for a lock cannot be interrupted, so it is given this for a connection

_here = threading.local()  # the job that this thread does


class Workers:
    """`count` threads. Each connects when it is first needed, and again after an error that broke its connection."""

    def __init__(
        self, path: Path, count: int, connect: Callable[[], sqlite3.Connection], limit_s: float, patience_s: float
    ) -> None:
        """No call of `run` takes longer than `limit_s`, of which a transaction waits for the right to write for
        `patience_s` at most. `connect` is called in the threads; `path` is for messages.
        """
        self._path = path
        self._connect = connect
        self._limit_s, self._patience_s = limit_s, patience_s
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sqlite")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, called in one of the threads with its connection.

        Work that nobody waits for any more, because it took too long or the caller was cancelled, is not begun; what
        is under way by then is interrupted, so it may or may not have been done.

        Raises:
            StorageUnavailable, InvalidRows, Conflict: for what the driver raised.

        """
        job = _Job(work, self._patience_s)
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._do, job)
        except RuntimeError as error:
            raise StorageUnavailable("the storage is closed") from error
        try:
            async with asyncio.timeout(self._limit_s):
                return await future
        except TimeoutError as error:
            raise StorageUnavailable(f"{self._path} did not answer in time") from error
        finally:
            job.abandon()

    async def close(self) -> None:
        """Finish what runs or waits, then close the connections. Harmless when repeated."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        while self._connections:
            self._connections.pop().close()

    def _do(self, job: _Job[T]) -> T:
        with our_errors(self._path):
            db: sqlite3.Connection | None = getattr(self._local, "db", None)
            if db is None:
                db = self._local.db = self._connect()
                self._connections.append(db)
            try:
                return job.run(db)
            except BaseException as error:
                if db.in_transaction or _primary(error) in _BROKEN:
                    self._local.db = None
                    self._connections.remove(db)
                    db.close()
                raise


class _Job(Generic[T]):
    """Work, and the connection it is being done with."""

    def __init__(self, work: Callable[[sqlite3.Connection], T], patience_s: float) -> None:
        self._work, self.patience_s = work, patience_s
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self.abandoned = False

    def run(self, db: sqlite3.Connection) -> T:
        with self._lock:
            if self.abandoned:
                raise StorageUnavailable("nobody waits any more")
            self._db = db
        _here.job = self
        try:
            return self._work(db)
        finally:
            _here.job = None
            with self._lock:
                self._db = None

    def abandon(self) -> None:
        """Do not begin it; if it has begun, interrupt it, under the lock so that it is not the next job that is met."""
        with self._lock:
            self.abandoned = True
            if self._db is not None:
                self._db.interrupt()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that has the right to write from its beginning; undone when the body raises.

    Somebody else who has it is waited for as long as the job may take, and while it is waited for.
    """
    job: _Job[object] | None = getattr(_here, "job", None)
    give_up = time.monotonic() + (job.patience_s if job else 0)
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= give_up or (job and job.abandoned):
                raise
            time.sleep(AGAIN_S)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):  # the connection is then closed, which undoes it, too
                db.execute("ROLLBACK")
        raise


@contextmanager
def our_errors(path: Path) -> Iterator[None]:
    """The boundary: what the driver raises becomes ours."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in _TAKEN:
            raise Conflict(str(error)) from error
        if _primary(error) in _PASSING:
            raise StorageUnavailable(f"{path}: {error}") from error
        raise InvalidRows(str(error)) from error
    except (OverflowError, UnicodeEncodeError) as error:  # an integer of more than 64 bits, a lone surrogate
        raise InvalidRows(str(error)) from error


def is_busy(error: BaseException) -> bool:
    """Whether somebody else has locked the file."""
    return _primary(error) == sqlite3.SQLITE_BUSY


def _primary(error: BaseException) -> int | None:
    """The primary result code; None for what SQLite itself knows nothing of."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
