"""Bringing a schema up to date, by Alembic. Alembic and SQLAlchemy are imported only when there is something to do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from webmacs.errors import StorageError
from webmacs.storage import triggers

MIGRATIONS: Final = Path(__file__).parent / "migrations"
ADVISORY_LOCK: Final = 0x7765626D  # "webm"
LIMIT_S: Final = 3600.0  # a step that rewrites a large table takes longer than any statement of the server may

# Alembic keeps what it works on in its modules, so in one process there is one migration at a time.
_alembic: Final = threading.Lock()


def head() -> str:
    """The revision this program needs: the greatest number among the steps."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(dialect: str, connect: Callable[[], Any]) -> None:
    """Run what is missing, all of it in one transaction under a lock of the database. Blocking.

    `connect` opens a DB-API connection; for SQLite with `isolation_level=None`, as the transaction is begun here.

    Raises:
        StorageError: there is no way from the revision in the storage to ours.
    Errors of the driver come out as they are.

    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"{dialect}://", creator=connect, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.connect() as connection:
            if dialect == "sqlite":
                connection.exec_driver_sql("BEGIN EXCLUSIVE")
            else:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            if _revision(connection) == head():
                return  # others have done it while we waited
            config.attributes["connection"] = connection
            name = connection.dialect.name
            if _has(connection, "audit"):  # a step may change what the triggers look at
                _run(connection, triggers.dropped(name))
            with _alembic:
                command.upgrade(config, "head")
            if _has(connection, "audit"):
                _run(connection, triggers.made(name))
            connection.commit()
    except DBAPIError as error:
        raise error.orig or error from error
    except CommandError as error:
        raise StorageError(f"the schema cannot be brought up to date: {error}") from error


def run_script(step: str) -> None:
    """Run the SQL that lies beside a step, for the dialect at hand, inside the step's transaction."""
    from alembic import op

    connection = op.get_bind()
    script = Path(step).with_suffix(f".{connection.dialect.name}.sql").read_text(encoding="utf-8")
    _run(connection, _statements(script) if connection.dialect.name == "sqlite" else [script])


def _run(connection: Any, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _revision(connection: Any) -> str | None:
    if not _has(connection, "alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar()
    return found


def _has(connection: Any, table: str) -> bool:
    from sqlalchemy import inspect

    return bool(inspect(connection).has_table(table))


def _statements(script: str) -> list[str]:
    """The single statements of an SQLite script, whose driver runs one at a time."""
    statements, start = [], 0
    for end, character in enumerate(script, 1):
        if character == ";" and sqlite3.complete_statement(script[start:end]):
            statements.append(script[start:end])
            start = end
    return [*statements, script[start:]]
