"""PostgreSQL when it stops, freezes, refuses or loses its way: what comes out, how soon, and that it works again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from tests.conftest import Databases
from tests.plant import settings_for
from tests.postgres import PostgresServer
from tests.proxy import Proxy, proxy_to
from tests.storage.rows import commit, eventually, log_entry, logged, reading, record, values
from tests.storage.test_conformance_configuration import Listener, add, tokens
from webmacs.config import StorageSettings
from webmacs.errors import StorageUnavailable
from webmacs.extensions import load_storage
from webmacs.model import Write
from webmacs.storage import migrate
from webmacs.storage.base import Commit, Storage
from webmacs.storage.connections import Address

CONNECT_S = STATEMENT_S = 0.4
BOUND_S = CONNECT_S + 2 * STATEMENT_S + 0.6  # a slot, a connection, a statement, and a busy machine
SLOW = "SELECT pg_sleep(30)"
CRASHING = b"N\0\0\0\x2aSWARNING\0VWARNING\0C57P02\0Mgoing down\0\0"
"""What PostgreSQL says to everyone when one of its processes has crashed."""
Call = Callable[[], Coroutine[Any, Any, object]]


def storage_at(url: str, directory: Path, **storage: Any) -> Storage:
    limits = {"connect_timeout_s": CONNECT_S, "statement_timeout_s": STATEMENT_S, **storage}
    return load_storage(settings_for(url, directory, storage=limits))


@pytest.fixture(scope="module")
def databases(stoppable: PostgresServer) -> Databases:
    return Databases(stoppable.url())


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    with databases.empty() as made:
        yield made


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """What the loop was told that nobody handled; there must be none in the end."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    yield heard
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []


@pytest.fixture
async def storage(url: str, tmp_path: Path, complaints: object) -> AsyncIterator[Storage]:
    patient = storage_at(url, tmp_path, connect_timeout_s=5.0, statement_timeout_s=5.0)
    await patient.migrate()
    await patient.close()
    opened = storage_at(url, tmp_path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def behind(storage: Storage, url: str, tmp_path: Path) -> AsyncIterator[tuple[Storage, Proxy]]:
    """A storage that reaches the same database through a proxy."""
    parts = urlsplit(url)
    async with proxy_to(parts.port or 0) as proxy:
        opened = storage_at(f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}", tmp_path)
        await opened.open()
        yield opened, proxy
        await opened.close()


def every_call(storage: Storage, seq: int) -> dict[str, Call]:
    return {
        "ping": storage.ping,
        "reserve": lambda: storage.reserve(2**20),
        "recall": lambda: storage.recall([record("a").key]),
        "append": lambda: storage.append(small_commit(seq)),
        "count": storage.count,
        "write": lambda: storage.write(add(f"{seq}")),
        "forget_event": lambda: storage.forget_event(1, 1),
        "revision": storage.revision,
    }


def small_commit(seq: int, *writes: Write) -> Commit:
    return Commit(seq, 10_000 + seq, [reading(float(seq))], (), writes)


async def use(storage: Storage) -> None:
    """Have every connection in use once."""
    await storage.append(small_commit(1))
    await asyncio.gather(*(storage.fetch("SELECT pg_sleep(0.05)") for _ in range(storage.settings.pool_size)))


async def all_unavailable(storage: Storage, seq: int = 2) -> None:
    """Every call says so, one after the other and all at once, within the timeouts."""
    for name, call in every_call(storage, seq).items():
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await call()
        assert time.monotonic() - began < BOUND_S, name
    began = time.monotonic()
    results = await asyncio.gather(*(call() for call in every_call(storage, seq).values()), return_exceptions=True)
    assert {type(result) for result in results} == {StorageUnavailable}
    assert time.monotonic() - began < BOUND_S


async def all_well(storage: Storage, seq: int = 2) -> None:
    for call in every_call(storage, seq).values():
        await call()


@asynccontextmanager
async def stopped(server: PostgresServer) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def frozen(server: PostgresServer) -> AsyncIterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


async def test_a_server_that_was_stopped_hard_is_unavailable_and_then_works_again_by_itself(
    storage: Storage, stoppable: PostgresServer
) -> None:
    await use(storage)
    async with stopped(stoppable):
        await all_unavailable(storage)
    await all_well(storage)
    assert await values(storage) == [1.0, 2.0]


async def test_what_is_under_way_when_the_server_stops_is_unavailable_at_once(
    storage: Storage, stoppable: PostgresServer, url: str, tmp_path: Path
) -> None:
    patient = storage_at(url, tmp_path, statement_timeout_s=30.0)
    running: list[asyncio.Task[Any]] = [asyncio.create_task(patient.fetch(SLOW)) for _ in range(3)]
    running.append(asyncio.create_task(patient.write(log_entry(), Write(SLOW))))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    async with stopped(stoppable):
        results = await asyncio.gather(*running, return_exceptions=True)
        assert {type(result) for result in results} == {StorageUnavailable}
        assert time.monotonic() - began < 5
    await patient.ping()
    assert await logged(storage) == []
    await patient.close()


async def test_a_frozen_server_is_unavailable_in_time_and_then_works_again_by_itself(
    storage: Storage, stoppable: PostgresServer
) -> None:
    await use(storage)
    async with frozen(stoppable):
        await all_unavailable(storage)
    await all_well(storage)
    assert await values(storage) == [1.0, 2.0]


async def test_those_who_wait_for_a_connection_are_told_in_time_too(
    storage: Storage, stoppable: PostgresServer, url: str, tmp_path: Path
) -> None:
    narrow = storage_at(url, tmp_path, pool_size=1)
    await narrow.ping()
    async with frozen(stoppable):
        began = time.monotonic()
        results = await asyncio.gather(*(narrow.ping() for _ in range(20)), return_exceptions=True)
        assert {type(result) for result in results} == {StorageUnavailable}
        assert time.monotonic() - began < BOUND_S
    await narrow.ping()
    await narrow.close()


async def test_opening_on_a_frozen_server_is_unavailable_in_time(
    storage: Storage, stoppable: PostgresServer, url: str, tmp_path: Path
) -> None:
    late = storage_at(url, tmp_path)
    async with frozen(stoppable):
        began = time.monotonic()
        with pytest.raises(StorageUnavailable, match="did not answer in time"):
            await late.open(serving=True)
        assert time.monotonic() - began < BOUND_S
    await late.open(serving=True)
    await late.close()


async def test_closing_does_not_wait_for_a_frozen_server(
    storage: Storage, stoppable: PostgresServer, url: str, tmp_path: Path
) -> None:
    await use(storage)
    storage.watch(lambda: None)
    running = asyncio.create_task(storage.fetch(SLOW))
    async with frozen(stoppable):
        began = time.monotonic()
        await storage.close()
        assert time.monotonic() - began < BOUND_S
    with pytest.raises(StorageUnavailable):
        await running


async def test_a_proxy_that_accepts_and_stalls_is_unavailable_in_time(behind: tuple[Storage, Proxy]) -> None:
    storage, proxy = behind
    await use(storage)
    proxy.stall()
    await all_unavailable(storage)
    proxy.resume()
    await all_well(storage)
    assert await values(storage) == [1.0, 2.0]


async def test_connections_that_are_cut_are_replaced(behind: tuple[Storage, Proxy]) -> None:
    storage, proxy = behind
    await use(storage)
    proxy.cut()
    await asyncio.sleep(0.05)
    await all_well(storage)
    running = asyncio.create_task(storage.fetch("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.1)
    proxy.cut()
    with pytest.raises(StorageUnavailable):
        await running
    await all_well(storage, seq=3)


async def test_a_connection_that_is_reset_right_behind_a_message_is_unavailable_at_once(
    behind: tuple[Storage, Proxy], tmp_path: Path
) -> None:
    fast, proxy = behind
    storage = load_storage(settings_for(fast.url, tmp_path, storage={"statement_timeout_s": 60.0}))
    calls: list[Call] = [storage.ping, lambda: storage.recall([record("a").key])]
    for call in calls:
        await call()
        reset = proxy.reset_at(b"SELECT", CRASHING)
        async with asyncio.timeout(30):
            with pytest.raises(StorageUnavailable):
                await call()
        assert reset.met.is_set()
        await call()
    await storage.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """So many files are open that the next ones have numbers that `select` does not know."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    with contextlib.ExitStack() as stack:
        while stack.enter_context(Path(os.devnull).open("rb")).fileno() < 1100:
            pass
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_connection_that_fails_beside_a_thousand_others_is_unavailable_at_once(
    many_files: None, storage: Storage, stoppable: PostgresServer, url: str, tmp_path: Path
) -> None:
    patient = load_storage(settings_for(url, tmp_path, storage={"statement_timeout_s": 60.0}))
    slow = asyncio.create_task(patient.fetch(SLOW))
    await cancel_on_server(url, "%pg_sleep(30)%", "pg_terminate_backend")
    async with asyncio.timeout(20):
        with pytest.raises(StorageUnavailable):
            await slow
        ((number,),) = await patient.fetch("SELECT pg_backend_pid()")
        stoppable.execute(f"SELECT pg_terminate_backend({number})")
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is not told before the next statement
        with pytest.raises(StorageUnavailable):
            await patient.ping()
        await patient.ping()
    await patient.close()


async def test_a_connection_that_is_closed_again_leaves_those_alone_who_have_its_number_now(
    storage: Storage, url: str
) -> None:
    address = Address(url, StorageSettings(statement_timeout_s=10.0))
    connection = await address.connect()
    number = connection.raw.fileno()
    connection.close()
    another = await address.connect()
    assert another.raw.fileno() == number
    connection.close()
    async with another.cursor() as cursor:
        await cursor.execute("SELECT 1")
    another.close()


async def test_a_listener_is_back_after_a_restart_and_tells_that_something_may_have_changed(
    storage: Storage, stoppable: PostgresServer
) -> None:
    listener = Listener(storage)
    await listener.heard()
    async with stopped(stoppable):
        await asyncio.sleep(0.3)
        assert listener.calls == 1
    await listener.heard(within_s=4)
    await storage.write(add("a"))
    await listener.heard()


async def test_a_listener_is_back_after_a_cut(behind: tuple[Storage, Proxy]) -> None:
    storage, proxy = behind
    listener = Listener(storage)
    for calls in range(1, 4):
        await listener.heard()
        assert listener.calls == calls
        proxy.cut()
    await listener.heard()


async def cancel_on_server(url: str, pattern: str, function: str = "pg_cancel_backend") -> None:
    """As soon as a statement like that runs, end it as an administrator would."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute(
                f"SELECT {function}(pid) FROM pg_stat_activity"
                " WHERE query LIKE %s AND state = 'active' AND pid <> pg_backend_pid()",
                (pattern,),
            )
            if cursor.fetchall():
                break
            await asyncio.sleep(0.01)
    connection.close()


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_statement_that_the_server_ends_is_unavailable_and_not_cancelled(
    storage: Storage, url: str, tmp_path: Path, complaints: list[object], function: str
) -> None:
    patient = storage_at(url, tmp_path, pool_size=1, statement_timeout_s=10.0)
    slow_log = Write("INSERT INTO logs (public_id, content, created_us) SELECT '1', pg_sleep(30)::text, 0")
    calls: list[Call] = [
        lambda: patient.fetch(SLOW),
        lambda: patient.write(log_entry(), slow_log),
        lambda: patient.append(small_commit(1, slow_log)),
    ]
    for call in calls:
        running = asyncio.create_task(call())
        await cancel_on_server(url, "%pg_sleep(30)%", function)
        with pytest.raises(StorageUnavailable):
            await running
        await patient.ping()
    await patient.append(small_commit(2))
    assert await values(storage) == [2.0]
    assert await logged(storage) == []
    await patient.close()
    complaints.clear()  # aiopg tells the loop of each cancelled statement


async def test_the_servers_own_statement_timeout_is_unavailable(
    url: str, tmp_path: Path, complaints: list[object]
) -> None:
    storage = storage_at(url, tmp_path, pool_size=1)
    await storage.fetch("SELECT set_config('statement_timeout', '50ms', false)")
    with pytest.raises(StorageUnavailable, match="cancelled"):
        await storage.fetch(SLOW)
    await storage.close()
    complaints.clear()


async def test_a_call_that_its_caller_cancels_is_cancelled(storage: Storage) -> None:
    calls: list[Call] = [
        lambda: storage.fetch(SLOW),
        lambda: storage.write(Write(SLOW)),
        lambda: storage.append(small_commit(1, Write(SLOW))),
    ]
    for call in calls:
        running = asyncio.create_task(call())
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await storage.ping()
    await eventually(lambda: storage.append(small_commit(1)))  # the server may still be at the one that was cancelled
    assert await values(storage) == [1.0]


async def test_a_timeout_around_a_call_is_a_timeout(storage: Storage) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await storage.fetch(SLOW)
    await all_well(storage)


async def test_a_database_that_only_reads_is_unavailable_until_it_writes_again(
    storage: Storage, stoppable: PostgresServer, url: str
) -> None:
    name = urlsplit(url).path[1:]
    stoppable.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    stoppable.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    await asyncio.sleep(0.05)
    calls: list[Call] = [lambda: storage.append(small_commit(1)), lambda: storage.write(log_entry())]
    for call in calls:
        with pytest.raises(StorageUnavailable, match="read-only"):
            await call()
    stoppable.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    stoppable.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    await asyncio.sleep(0.05)
    await all_well(storage)


async def test_a_commit_whose_answer_was_lost_is_stored_once(behind: tuple[Storage, Proxy]) -> None:
    storage, proxy = behind
    for seq in range(1, 6):
        same = await commit(storage, seq, [reading(float(seq))] * 5_000, [record(f"{seq}")], [log_entry(f"{seq}")])
        lost = proxy.lose_answer_to(b"webmacs_claim")
        with pytest.raises(StorageUnavailable):
            await storage.append(same)
        assert lost.met.is_set()
        assert await storage.count() == seq * 5_000  # the server had done it
        await storage.append(same)
    assert await values(storage) == [float(seq) for seq in range(1, 6) for _ in range(5_000)]
    assert await logged(storage) == ["1", "2", "3", "4", "5"]


async def test_a_commit_that_got_only_half_through_is_not_stored_until_it_is_given_again(
    behind: tuple[Storage, Proxy],
) -> None:
    storage, proxy = behind
    same = await commit(storage, 1, [reading(1.0)] * 5_000, [record("a")])
    cut = proxy.cut_behind(b"INSERT INTO datapoints")
    with pytest.raises(StorageUnavailable):
        await storage.append(same)
    await asyncio.wait_for(cut.over.wait(), 5)
    assert await storage.count() == 0
    assert await storage.recall([record("a").key]) == {}
    await storage.append(same)
    assert await values(storage) == [1.0] * 5_000


@pytest.mark.parametrize("later_commits", [0, 1])
async def test_a_first_attempt_that_arrives_after_the_second_is_undone_whole(
    behind: tuple[Storage, Proxy], later_commits: int
) -> None:
    storage, proxy = behind
    same = await commit(storage, 1, [reading(1.0)] * 2_000, [record("a")], [log_entry()])
    held = proxy.hold(b"webmacs_claim")
    with pytest.raises(StorageUnavailable, match="in time"):
        await storage.append(same)
    assert held.met.is_set()
    await storage.append(same)
    for seq in range(2, 2 + later_commits):
        await storage.append(await commit(storage, seq, [reading(float(seq))]))
    held.release()
    await asyncio.wait_for(held.over.wait(), 5)
    assert await values(storage) == [1.0] * 2_000 + [2.0] * later_commits
    assert await logged(storage) == ["said"]
    await storage.append(await commit(storage, 9, [reading(9.0)]))
    assert await storage.count() == 2_001 + later_commits


async def test_a_first_attempt_that_waits_for_a_lock_and_succeeds_later_is_stored_once(
    storage: Storage, url: str
) -> None:
    same = await commit(storage, 1, [reading(1.0)] * 100)
    someone = psycopg2.connect(url)
    with someone.cursor() as cursor:
        cursor.execute("LOCK TABLE datapoints")
    with pytest.raises(StorageUnavailable, match="in time"):
        await storage.append(same)
    second = asyncio.create_task(storage.append(same))  # while the server still works on the first
    await asyncio.sleep(0.1)
    someone.close()
    await second
    assert await values(storage) == [1.0] * 100


async def test_a_write_whose_answer_was_lost_is_unavailable_and_may_have_happened(
    behind: tuple[Storage, Proxy],
) -> None:
    storage, proxy = behind
    lost = proxy.lose_answer_to(b"COMMIT")
    with pytest.raises(StorageUnavailable):
        await storage.write(add("a"))
    await asyncio.wait_for(lost.over.wait(), 5)
    assert await tokens(storage) == ["a"]


async def test_a_migration_that_nobody_waits_for_any_more_is_undone_and_its_thread_ends(
    url: str, tmp_path: Path, complaints: object
) -> None:
    storage = storage_at(url, tmp_path)
    someone = psycopg2.connect(url)
    with someone.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({migrate.ADVISORY_LOCK})")
    idle = threading.active_count()
    running = asyncio.create_task(storage.migrate())
    await asyncio.sleep(1.5 * STATEMENT_S)  # longer than any other statement may take
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 5)
    assert threading.active_count() <= idle
    someone.close()
    assert await storage.revision() is None
    await storage.close()
