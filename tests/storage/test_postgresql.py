"""What only PostgreSQL has: notifications, connections that are lent, addresses that are looked up."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiopg
import psycopg2
import pytest

from tests.parts import require
from tests.plant import settings_for
from tests.storage.rows import T0, commit, log_entry, logged, reading
from tests.storage.test_conformance_configuration import Listener, add, some_user
from webmacs.errors import ConfigError, Conflict, InvalidRows, StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Write
from webmacs.storage import accounts
from webmacs.storage.postgresql import PostgresStorage


def storage_at(url: str, **storage: Any) -> PostgresStorage:
    made = load_storage(settings_for(url, Path(), storage=storage))
    assert isinstance(made, PostgresStorage)
    return made


@pytest.fixture
def at_a_name(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A storage whose host is a name that has the given addresses."""

    def make(*addresses: str, **storage: Any) -> PostgresStorage:
        async def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
            assert host == "db.example"
            return [(2, 1, 6, "", (address, 0)) for address in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        parts = urlsplit(postgres_url)
        return storage_at(parts._replace(netloc=parts.netloc.replace("127.0.0.1", "db.example")).geturl(), **storage)

    return make


@pytest.mark.parametrize("url", ["postgresql://[::1/name", "postgresql://host/name?nonsense=1"])
def test_an_url_that_libpq_does_not_understand_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url is not a PostgreSQL connection string"):
        storage_at(url)


def test_a_password_is_in_no_message_about_the_url() -> None:
    with pytest.raises(ConfigError) as refused:
        storage_at("postgresql://user:canary@host/name?nonsense=1")
    assert "canary" not in str(refused.value)


async def test_options_of_the_url_are_kept_beside_ours(postgres_url: str) -> None:
    storage = storage_at(f"{postgres_url}?options=-c%20search_path%3Delsewhere&application_name=tank", pool_size=1)
    assert await storage.fetch("SELECT current_setting('search_path'), current_setting('application_name')") == [
        ("elsewhere", "tank")
    ]
    assert await storage.fetch("SELECT current_setting('statement_timeout'), current_setting('timezone')") == [
        ("6s", "UTC")
    ]
    await storage.close()


async def test_commits_are_flushed_whatever_the_database_would_do_unless_the_url_says_otherwise(
    postgres_url: str,
) -> None:
    asked = "SELECT current_setting('synchronous_commit')"
    for url, found in ((postgres_url, "on"), (f"{postgres_url}?options=-c%20synchronous_commit%3Doff", "off")):
        storage = storage_at(url, pool_size=1)
        name = (await storage.fetch("SELECT current_database()"))[0][0]
        await storage.write(Write(f"ALTER DATABASE {name} SET synchronous_commit = local"))
        await storage.close()
        storage = storage_at(url, pool_size=1)
        assert await storage.fetch(asked) == [(found,)]
        await storage.write(Write(f"ALTER DATABASE {name} RESET synchronous_commit"))
        await storage.close()


async def test_a_statement_leaves_no_garbage(postgres_url: str) -> None:
    def closed() -> int:
        return sum(isinstance(one, aiopg.Cursor) and one.closed for one in gc.get_objects())

    storage = storage_at(postgres_url)
    await storage.open()
    gc.collect()
    gc.disable()
    before = closed()
    try:
        for _ in range(3):
            await storage.fetch("SELECT 1")
            await storage.write(log_entry())
        assert closed() <= before
    finally:
        gc.enable()
        await storage.close()


async def test_a_name_is_looked_up_without_stopping_the_loop(at_a_name: Any) -> None:
    storage = at_a_name("127.0.0.1")
    await storage.ping()
    await storage.close()


@pytest.mark.parametrize("dead", ["::1", "127.0.0.99"])
async def test_the_next_address_of_a_name_is_tried_when_one_is_dead(at_a_name: Any, dead: str) -> None:
    storage = at_a_name(dead, "127.0.0.1")
    await storage.ping()
    await storage.close()


async def test_a_list_of_hosts_is_tried_in_order(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    storage = storage_at(
        f"postgresql://postgres@127.0.0.99:1,127.0.0.1:{parts.port}{parts.path}", connect_timeout_s=5.0
    )
    await storage.ping()
    await storage.close()


async def test_an_address_that_is_given_beside_the_name_is_used(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    named = parts._replace(netloc=parts.netloc.replace("127.0.0.1", "nowhere.invalid"), query="hostaddr=127.0.0.1")
    storage = storage_at(named.geturl())
    await storage.ping()
    await storage.close()


async def test_a_directory_of_sockets_is_a_host(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW unix_socket_directories")
        [directory] = cursor.fetchall()[0]
    connection.close()
    storage = storage_at(f"postgresql:///{parts.path[1:]}?host={directory}&port={parts.port}&user=postgres")
    await storage.ping()
    await storage.close()


async def test_a_look_up_that_hangs_is_unavailable_in_time(at_a_name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = at_a_name(connect_timeout_s=0.2)

    async def forever(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", forever)
    async with asyncio.timeout(2):
        with pytest.raises(StorageUnavailable, match="did not answer in time"):
            await storage.ping()
    await storage.close()


@pytest.fixture
def server_side(tmp_path: Path) -> ssl.SSLContext:
    """What a server needs to encrypt."""
    openssl = require("openssl", "apt-get install openssl")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    wanted = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost")
    files = ("-keyout", key, "-out", certificate)
    subprocess.run([openssl, "req", "-x509", "-days", "1", *wanted, *files], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def encrypting_server_that_refuses(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The beginning of a PostgreSQL with encryption, up to where it refuses a password; yields its port."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            size, code = struct.unpack("!II", await reader.readexactly(8))
            if code == 80877103:  # SSLRequest
                writer.write(b"S")
                await writer.start_tls(context)
                size, code = struct.unpack("!II", await reader.readexactly(8))
            await reader.readexactly(size - 8)
            fields = b"SFATAL\0VFATAL\0C28P01\0Mwrong password\0\0"
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("mode", ["", "?sslmode=prefer", "?sslmode=allow", "?sslmode=require", "?sslmode=disable"])
async def test_a_refusal_is_said_at_once_also_by_a_server_that_encrypts(server_side: ssl.SSLContext, mode: str) -> None:
    async with encrypting_server_that_refuses(server_side) as port:
        storage = storage_at(f"postgresql://ada@127.0.0.1:{port}/name{mode}", connect_timeout_s=30.0)
        async with asyncio.timeout(5):
            with pytest.raises(StorageUnavailable, match="wrong password"):
                await storage.ping()
        await storage.close()


async def test_encryption_that_is_asked_for_is_never_done_without(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = storage_at(f"{postgres_url}?sslmode=require")
    with pytest.raises(StorageUnavailable, match="SSL"):
        await asked.ping()
    await asked.close()
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    asked = storage_at(postgres_url)
    with pytest.raises(StorageUnavailable, match="SSL"):
        await asked.ping()
    await asked.close()


async def test_a_name_that_nobody_knows_is_unavailable(at_a_name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = at_a_name()

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(StorageUnavailable, match=r"the host of storage\.url has no address"):
        await storage.ping()
    await storage.close()


@pytest.mark.parametrize("addresses", [(), ("127.0.0.99",), ("127.0.0.99", "::1")])
async def test_a_name_without_a_living_address_is_unavailable(at_a_name: Any, addresses: tuple[str, ...]) -> None:
    storage = at_a_name(*addresses)
    with pytest.raises(StorageUnavailable):
        await storage.ping()
    await storage.close()


async def test_bookkeeping_tells_nobody(postgres_url: str) -> None:
    storage = storage_at(postgres_url)
    await storage.open()
    user = await some_user(storage)
    await accounts.add_token(storage, user_id=user, name="t", digest="d", expires_us=None, now_us=T0)
    listener = Listener(storage)
    await listener.heard()
    await storage.write(Write("UPDATE api_tokens SET last_used_us = 1"))
    await storage.write(log_entry())
    await storage.write(Write("UPDATE events SET unit = 'A'"))
    await listener.heard()
    assert listener.calls == 2
    await storage.close()


async def test_no_more_connections_are_made_than_the_pool_may_hold(postgres_url: str) -> None:
    storage = storage_at(f"{postgres_url}?application_name=counted", pool_size=3)
    await storage.open()
    storage.watch(lambda: None)
    one = await commit(storage, 1, [reading()])
    await asyncio.gather(storage.append(one), *(storage.fetch("SELECT pg_sleep(0.02)") for _ in range(12)))
    [(connections,)] = await storage.fetch(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted' AND backend_type = 'client backend'"
    )
    assert connections <= 3 + 1 + 1  # beside the pool, one that ingests and one that listens
    await storage.close()
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # within a transaction, who is there does not change
        async with asyncio.timeout(30):
            while True:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")
                if cursor.fetchall() == [(0,)]:
                    break
                await asyncio.sleep(0.02)


async def test_a_cancellation_that_the_driver_loses_comes_out_all_the_same(postgres_url: str) -> None:
    storage = storage_at(postgres_url)
    await storage.open()
    under_way = asyncio.Event()

    async def work() -> None:
        async with storage._rest.cursor():
            under_way.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await storage.ping()
    await storage.close()


async def test_cancelled_calls_give_their_connection_back(postgres_url: str) -> None:
    storage = storage_at(postgres_url, pool_size=1)
    await storage.open()
    for delay_s in (0.0, 0.0, 0.001, 0.005, 0.02):
        tasks: list[asyncio.Task[Any]] = []
        tasks += [asyncio.create_task(storage.fetch("SELECT pg_sleep(10)")) for _ in range(3)]
        tasks.append(asyncio.create_task(storage.write(Write("SELECT pg_sleep(10)"))))
        await asyncio.sleep(delay_s)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await storage.ping()
    await storage.close()


async def test_a_refused_text_leaves_no_transaction_open(postgres_url: str) -> None:
    storage = storage_at(postgres_url, pool_size=1)
    await storage.open()
    with pytest.raises(InvalidRows):
        await storage.write(log_entry(), log_entry("a\0b"))
    assert await logged(storage) == []
    await storage.write(log_entry("said"))
    assert await logged(storage) == ["said"]
    await storage.close()


async def test_a_conflict_costs_no_connection(postgres_url: str) -> None:
    storage = storage_at(postgres_url, pool_size=1)
    await storage.open()
    before = await storage.fetch("SELECT pg_backend_pid()")
    for _ in range(2):
        with pytest.raises(Conflict):
            await storage.write(add("a", "a"))
    assert await storage.fetch("SELECT pg_backend_pid()") == before
    await storage.close()


async def test_a_database_of_another_encoding_takes_what_it_can(postgres_url: str) -> None:
    name = f"{urlsplit(postgres_url).path[1:]}_latin1"
    connection = psycopg2.connect(postgres_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    storage = storage_at(urlsplit(postgres_url)._replace(path=f"/{name}").geturl())
    try:
        await storage.open()
        await storage.append(await commit(storage, 1, writes=[log_entry("äöü °C")]))
        with pytest.raises(InvalidRows):
            await storage.append(await commit(storage, 2, [reading()], writes=[log_entry("😀")]))
        assert await storage.count() == 0
        assert await logged(storage) == ["äöü °C"]
    finally:
        await storage.close()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()
