"""Fixtures that all tests share: both storages, and a server on each."""

from __future__ import annotations

import gc
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg2
import pytest

from tests import tracing
from tests.parts import require
from tests.plant import Server, furnished_server, settings_for
from tests.postgres import PostgresServer
from tests.promises import Figure, Reporter, marked
from webmacs.extensions import load_storage
from webmacs.storage.base import Storage

BACKENDS = ["sqlite", "postgresql"]

hypothesis.settings.register_profile("unhurried", deadline=None)  # a busy machine is not a fault
hypothesis.settings.load_profile("unhurried")

tracing.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("webmacs")
    group.addoption("--promise", action="append", default=[], help="run only the tests of this promise, as in F1")
    group.addoption("--figures", type=Path, help="print what came of the promises, and keep it in this file")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(*numbers): the test proves these of docs/reliability.md")
    if not hasattr(config, "workerinput"):  # the process that prints
        config.pluginmanager.register(Reporter(config.getoption("--figures")), "promises")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(config.getoption("--promise"))
    for item in items:
        item.user_properties += [("promise", number) for number in marked(item)]
    if wanted:
        others = [item for item in items if not wanted & set(marked(item))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted & set(marked(item))]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Says what a test has measured, in a few words."""
    return lambda text: request.node.user_properties.append(("figure", text))


class Databases:
    """Empty databases of one PostgreSQL. They are used again: to make one takes half a second, to empty one 25 ms."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._made: list[str] = []
        self._idle: list[str] = []

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of one that nobody else uses."""
        name = self._idle.pop() if self._idle else self._make()
        url = urlunsplit(urlsplit(self._base)._replace(path=f"/{name}"))
        yield url
        # Whoever is still connected would block this, and would not be alone in it with the next one.
        _execute(self._base, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        _execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        self._idle.append(name)

    def drop(self) -> None:
        """Leave nothing behind."""
        for name in self._made:
            _execute(self._base, f"DROP DATABASE {name} WITH (FORCE)")

    def _make(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        _execute(self._base, f"CREATE DATABASE {name}")
        self._made.append(name)
        return name


@pytest.fixture(scope="module", autouse=True)
def _leavings() -> Iterator[None]:
    """What the tests of a module have left unclosed is complained of at its end, not in some later test of others."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def postgres_base() -> Iterator[str]:
    """The URL of a PostgreSQL whose databases the tests may make and drop; started here unless one is given."""
    given = os.environ.get("WEBMACS_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    # Commits are flushed as in production; only the checkpoints are kept out of the way.
    server = PostgresServer(max_wal_size="'2GB'", max_connections="200")
    try:
        yield server.url()
    finally:
        server.remove()


@pytest.fixture(scope="session")
def databases(postgres_base: str) -> Iterator[Databases]:
    """Databases for those who need more than one, or one for longer than a test."""
    made = Databases(postgres_base)
    yield made
    made.drop()


@pytest.fixture
def postgres_url(databases: Databases) -> Iterator[str]:
    """The URL of an empty database of one's own."""
    with databases.empty() as url:
        yield url


@pytest.fixture(params=BACKENDS)
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage, of each backend in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def storage(storage_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    """An open, empty storage, of each backend in turn."""
    opened = load_storage(settings_for(storage_url, tmp_path))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def server(storage_url: str, tmp_path: Path) -> AsyncIterator[Server]:
    """A running, furnished server, on each backend in turn."""
    async with furnished_server(storage_url, tmp_path) as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For `localhost`, signed by itself; the key lies beside it."""
    return self_signed(tmp_path)


def self_signed(directory: Path) -> Path:
    """A new certificate in that directory, `webmacs.crt`, with its key, `webmacs.key`."""
    openssl = require("openssl", "apt-get install openssl")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", directory / "webmacs.key", "-out", directory / "webmacs.crt"),
        ],
        check=True,
        capture_output=True,
    )
    return directory / "webmacs.crt"


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
