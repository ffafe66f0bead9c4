"""A PostgreSQL that faults may be done to, and empty databases on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Databases
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def stoppable() -> Iterator[PostgresServer]:
    """To be stopped, started and frozen; each test leaves it running."""
    server = PostgresServer(recovery_init_sync_method="syncfs")  # to be back sooner after a crash
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def stoppable_databases(stoppable: PostgresServer) -> Databases:
    return Databases(stoppable.url())


@pytest.fixture
def stoppable_url(stoppable_databases: Databases) -> Iterator[str]:
    """The URL of an empty database on it."""
    with stoppable_databases.empty() as url:
        yield url
