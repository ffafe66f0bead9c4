"""A storage with an equipped server on it, from nothing, and gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.equipment import equipped
from benchmarks.limits import PostgresStore, SqliteStore, Store, opened
from benchmarks.server import EVENTS, Prepare, Server

STORAGES: Final = ("sqlite", "postgresql")


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL of one's own."""
    with warnings.catch_warnings():  # the wheel that carries PostgreSQL asks for a directory that we do not use
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        from tests.postgres import PostgresServer
    # As somebody has it who stores much: its own default is for small machines with much else on them.
    server = PostgresServer(shared_buffers="1GB", max_wal_size="4GB")
    try:
        yield server.url()
    finally:
        server.remove()


@contextmanager
def empty_store(name: str, postgres_url: str) -> Iterator[tuple[Store, Path]]:
    """One of `STORAGES`, empty; and a directory of its own."""
    directory = Path(tempfile.mkdtemp(prefix="webmacs-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        made = SqliteStore(directory) if name == "sqlite" else PostgresStore(postgres_url, directory)
        yield stack.enter_context(opened(made)), directory


@contextmanager
def installed(
    name: str, postgres_url: str, events: int = EVENTS, prepare: Prepare | None = None
) -> Iterator[tuple[Store, Server]]:
    """A store with a server on it."""
    with empty_store(name, postgres_url) as (made, directory), equipped(made.url, directory, events, prepare) as server:
        yield made, server
