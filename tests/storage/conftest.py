"""Fixtures of the storage tests: a second storage in the same place, and a PostgreSQL that may be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.plant import settings_for
from tests.postgres import PostgresServer
from webmacs.extensions import load_storage
from webmacs.storage.base import Storage

Opener = Callable[..., Awaitable[Storage]]


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Faults are met on the loop that servers run on; it is less forgiving of what aiopg leaves behind."""
    module = item.nodeid.partition("::")[0]
    return {"uvloop": uvloop.new_event_loop} if "test_faults" in module else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def another(storage_url: str, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens one more storage object where `storage` is, as another process would; keywords are settings."""
    opened: list[Storage] = []

    async def one_more(*, serving: bool = False, **storage: Any) -> Storage:
        opened.append(load_storage(settings_for(storage_url, tmp_path, storage=storage)))
        await opened[-1].open(serving=serving)
        return opened[-1]

    yield one_more
    for one in opened:
        await one.close()


@pytest.fixture(scope="module")
def stoppable() -> Iterator[PostgresServer]:
    """A PostgreSQL of the module's own, to be stopped, started and frozen; running again after each test."""
    server = PostgresServer(recovery_init_sync_method="syncfs")  # to be back sooner after a crash
    try:
        yield server
    finally:
        server.remove()
