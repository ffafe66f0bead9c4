"""Connections to PostgreSQL: the one module that knows aiopg and psycopg2."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import select
import socket
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import aiopg
import psycopg2
import psycopg2.errors
import psycopg2.extensions

from webmacs.config import StorageSettings
from webmacs.errors import ConfigError, Conflict, InvalidRows, StorageError, StorageUnavailable

STORED_ALREADY: Final = "WM001"  # raised by webmacs_claim

# Classes of SQLSTATE (PostgreSQL documentation, appendix A) that say the request itself is at fault: feature, data,
# cardinality, integrity, syntax or access rule, program limit, raised by a function.
_AT_FAULT: Final = frozenset({"0A", "21", "22", "23", "42", "54", "P0"})


class StoredAlready(InvalidRows):
    """An earlier attempt at this commit got through."""


class Connection(aiopg.Connection):
    """A connection of aiopg that notices how its socket ends.

    uvloop calls once for a socket that was reset, and lets go of it. When words of the server came right before, as
    those of a PostgreSQL that goes down, aiopg reads them and waits for more, but nobody calls any more: it would be
    found out by the deadline of the statement, and a listener not at all.

    aiopg also forgets that it was writing when psycopg2 has closed the socket, as it is whenever a connection is
    refused. uvloop keeps the dead entry, and the next connection that gets the number of that socket, usually the next
    attempt, cannot be waited for.

    Of a socket that failed it asks `select`, which raises ValueError for a number above 1023: a server with that many
    browsers has such ones. And when it is closed once more, it takes out of the loop whoever has its number by then.
    """

    def _close(self) -> None:
        super()._close()
        self._fileno = None

    @staticmethod
    def _ready(weak_self: weakref.ref[Connection]) -> None:
        connection = weak_self()
        if connection is None:
            return
        descriptor = connection._fileno
        try:
            aiopg.Connection._ready(weak_self)
        except ValueError:
            connection.close()
        if descriptor is None:
            return
        if connection._fileno is None:
            with suppress(OSError):
                connection._loop.remove_writer(descriptor)
        elif (
            not connection.closed
            and connection.raw.status == psycopg2.extensions.STATUS_READY
            and _was_reset(descriptor)
        ):
            connection.close()  # one that is refused at connecting says so by itself


def _was_reset(descriptor: int) -> bool:
    ready = select.poll()
    ready.register(descriptor, 0)  # errors are told unasked
    return any(event & select.POLLERR for _, event in ready.poll(0))


class Address:
    """Where a database is, and how to connect to it."""

    def __init__(self, url: str, settings: StorageSettings) -> None:
        self._settings = settings
        self._last: dict[str, str] = {}
        self._encryption: tuple[str, ...] = ()
        # The server gives up a little after we have, for a statement whose connection we have closed.
        timeout_ms = int((settings.statement_timeout_s + 1) * 1000)
        try:
            given = psycopg2.extensions.parse_dsn(url)
            # What is acknowledged is on the disk, whatever the database's default is; and a chart has one processor,
            # not all of them. Only who says otherwise in the address itself has it otherwise.
            usual = "-c synchronous_commit=on -c max_parallel_workers_per_gather=0"
            options = f"{usual} {given.get('options', '')}"
            self._dsn = psycopg2.extensions.make_dsn(
                url,
                application_name=given.get("application_name", "webmacs"),
                client_encoding="UTF8",
                options=f"{options} -c statement_timeout={timeout_ms} -c timezone=UTC",
                connect_timeout=max(2, int(settings.connect_timeout_s)),  # libpq's own, for blocking connections
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=int(settings.statement_timeout_s * 2000),
            )
        except psycopg2.Error as error:
            raise ConfigError("storage.url is not a PostgreSQL connection string") from error

    async def connect(self) -> aiopg.Connection:
        """A connection, within `connect_timeout_s`.

        One way after the other by ourselves: aiopg does not follow libpq from a socket to the next, and libpq would
        look names up while the loop stands. The way that worked last is tried first.
        """
        loop = asyncio.get_running_loop()
        failures: list[str] = []
        async with asyncio.timeout(self._settings.connect_timeout_s) as whole:
            ways = sorted(await self._ways(), key=lambda way: way != self._last)
            for left in range(len(ways), 0, -1):
                way = ways[-left]
                try:
                    async with asyncio.timeout(((whole.when() or 0.0) - loop.time()) / left):
                        connection = await self._connect(**way)
                except TimeoutError:
                    failures.append("the database did not answer in time")
                except psycopg2.OperationalError as error:
                    failures.append(str(error).strip())
                else:
                    self._last = way
                    return connection
        raise StorageUnavailable("; ".join(dict.fromkeys(failures)) or "the host of storage.url has no address")

    def connect_blocking(self, limit_s: float) -> psycopg2.extensions.connection:
        """A connection for a thread of its own, whose statements may take as long as that."""
        options = f"{psycopg2.extensions.parse_dsn(self._dsn)['options']} -c statement_timeout={int(limit_s * 1000)}"
        return psycopg2.connect(self._dsn, options=options)

    async def _connect(self, **place: str) -> aiopg.Connection:
        return await Connection(
            psycopg2.extensions.make_dsn(self._dsn, **place),
            timeout=self._settings.statement_timeout_s,
            enable_hstore=False,
            enable_json=False,
            enable_uuid=False,
        )

    async def _ways(self) -> list[dict[str, str]]:
        """What libpq would try: each of its hosts and ports, each address of a host, with encryption and without."""
        places = await _places(psycopg2.extensions.parse_dsn(self._dsn))
        if not self._encryption:
            for place in places:
                with suppress(psycopg2.OperationalError):
                    self._encryption = self._encryption_at(place)
                    break
        modes = [{"sslmode": mode} for mode in self._encryption] or [{}]
        return [{**place, **mode} for place in places for mode in modes]

    def _encryption_at(self, place: dict[str, str]) -> tuple[str, ...]:
        """The modes to try. URL, environment or service file may say: a connection knows, even one just begun."""
        begun = psycopg2.connect(psycopg2.extensions.make_dsn(self._dsn, **place), async_=True)
        mode = begun.info.dsn_parameters["sslmode"]
        begun.close()
        return {"prefer": ("require", "disable"), "allow": ("disable", "require")}.get(mode, (mode,))


class Connections:
    """A few connections, lent one at a time.

    Not aiopg's pool: that one connects while it holds the lock that giving a connection back needs, so a connection
    attempt that hangs stops those that are done. Here a slot is all that is waited for.
    """

    def __init__(self, address: Address, size: int, settings: StorageSettings) -> None:
        self._address = address
        self._size = size
        self._timeout_s = settings.statement_timeout_s
        self._slots = asyncio.Semaphore(size)
        self._idle: list[aiopg.Connection] = []
        self._closed = False

    @asynccontextmanager
    async def cursor(self) -> AsyncIterator[aiopg.Cursor]:
        """A cursor on a connection of one's own. Everything the driver raises inside becomes ours.

        A cancellation comes out, even one that the driver has lost: `wait_for` of Python 3.11, by which aiopg waits
        for each answer, forgets one that arrives in the same turn of the loop as the answer (python/cpython#86296).
        """
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        try:
            with our_errors():
                async with asyncio.timeout(self._timeout_s):
                    await self._slots.acquire()
                try:
                    connection = await self._take()
                    try:
                        async with connection.cursor(timeout=self._timeout_s) as cursor:
                            try:
                                yield cursor
                            finally:
                                # It and the cursor hold each other: with the text of the statement and all its rows,
                                # they would stay until garbage is collected, which takes the longer for it.
                                del cursor._transaction
                    finally:
                        self._give_back(connection)
                finally:
                    self._slots.release()
        finally:
            if task and task.cancelling() > cancelled:
                raise asyncio.CancelledError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiopg.Cursor]:
        """A cursor in a transaction, undone when the body raises.

        Not aiopg's own, which warns when it is interrupted; here a connection that comes back in the middle of a
        transaction is closed, which undoes it.
        """
        async with self.cursor() as cursor:
            await cursor.execute("BEGIN")
            try:
                yield cursor
            except psycopg2.Error:
                if not cursor.connection.closed:
                    await cursor.execute("ROLLBACK")
                raise
            await cursor.execute("COMMIT")

    async def close(self) -> None:
        """Lend nothing any more, wait for what is lent to come back, for as long as a statement may take; close all."""
        self._closed = True
        taken = 0
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    while taken < self._size:
                        await self._slots.acquire()
                        taken += 1
        finally:
            for _ in range(taken):
                self._slots.release()
            while self._idle:
                self._idle.pop().close()

    async def _take(self) -> aiopg.Connection:
        if self._closed:
            raise StorageUnavailable("the storage is closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await self._address.connect()

    def _give_back(self, connection: aiopg.Connection) -> None:
        idle = psycopg2.extensions.TRANSACTION_STATUS_IDLE
        if self._closed or connection.closed or connection.raw.get_transaction_status() != idle:
            connection.close()
        else:
            self._idle.append(connection)


@contextmanager
def our_errors() -> Iterator[None]:
    """The boundary: what the driver raises becomes ours."""
    try:
        yield
    except psycopg2.Error as error:
        raise _ours(error) from error
    except TimeoutError as error:  # aiopg has closed the connection; it is an OSError, so it comes first
        raise StorageUnavailable("the database did not answer in time") from error
    except OSError as error:
        raise StorageUnavailable(str(error)) from error
    except (ValueError, KeyError) as error:  # U+0000 or a lone surrogate in a text, a placeholder without a value
        raise InvalidRows(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        # aiopg turns a statement cancelled by the server into this (aiopg#537); a real one has been asked for.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise StorageUnavailable("the database cancelled the statement") from error


def _ours(error: psycopg2.Error) -> StorageError:
    code, text = error.pgcode or "", str(error).strip() or type(error).__name__
    if isinstance(error, psycopg2.errors.UniqueViolation):
        return Conflict(text)
    if code == STORED_ALREADY:
        return StoredAlready(text)
    if code[:2] in _AT_FAULT or (not code and type(error) is psycopg2.ProgrammingError):  # "can't adapt"
        return InvalidRows(text)
    return StorageUnavailable(text)


def cut(connection: psycopg2.extensions.connection) -> None:
    """End what a blocking connection waits for, from another thread."""
    with suppress(psycopg2.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


async def _places(given: dict[str, str]) -> list[dict[str, str]]:
    if "hostaddr" in given or "host" not in given:
        return [{}]
    hosts, ports = given["host"].split(","), given.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    return [
        {"host": host, "port": port, "hostaddr": address}
        for host, port in zip(hosts, ports, strict=False)
        for address in await _addresses(host)
    ]


async def _addresses(host: str) -> list[str]:
    """The addresses of a host, none if it has none; "" for what libpq finds by itself: an address, a directory."""
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    if not host or host.startswith(("/", "@")):
        return [""]
    with suppress(socket.gaierror):
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return []
