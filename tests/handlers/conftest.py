"""Servers for the tests of what is on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import BACKENDS, Databases
from tests.plant import Server, furnished_server

Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve(storage_url: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a furnished server with settings of one's own, on each backend in turn."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Server:
            return await stack.enter_async_context(furnished_server(storage_url, tmp_path, **options))

        yield start


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=BACKENDS)
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for a module whose tests leave it as it was, on each backend in turn."""
    directory = tmp_path_factory.mktemp("shared")
    if request.param == "sqlite":
        async with furnished_server(f"sqlite:///{directory / 'test.db'}", directory) as running:
            yield running
        return
    databases: Databases = request.getfixturevalue("databases")
    with databases.empty() as url:
        async with furnished_server(url, directory) as running:
            yield running
