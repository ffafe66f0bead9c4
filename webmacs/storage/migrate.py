"""Bringing a schema up to date, by Alembic. Alembic and SQLAlchemy are imported only when there is something to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
ADVISORY_LOCK: Final = 0x7765626D  # "webm"


def head() -> str:
    """The revision this program needs: the greatest number among the steps."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(dialect: str, connect: Callable[[], Any]) -> None:
    """Run what is missing, all of it in one transaction under a lock of the database. Blocking.

    `connect` opens a DB-API connection; for SQLite with `isolation_level=None`, as the transaction is begun here.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(f"{dialect}://", creator=connect, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        if dialect == "sqlite":
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        if dialect == "sqlite" and connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            connection.connection.dbapi_connection.execute("COMMIT")  # type: ignore[union-attr]
    engine.dispose()


def run_script(step: str) -> None:
    """Run the SQL that lies beside a step, for the dialect at hand, inside the step's transaction."""
    from alembic import op

    connection = op.get_bind()
    script = Path(step).with_suffix(f".{connection.dialect.name}.sql").read_text(encoding="utf-8")
    statements = _statements(script) if connection.dialect.name == "sqlite" else [script]
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _statements(script: str) -> list[str]:
    """The single statements of an SQLite script, whose driver runs one at a time."""
    statements, start = [], 0
    for end, character in enumerate(script, 1):
        if character == ";" and sqlite3.complete_statement(script[start:end]):
            statements.append(script[start:end])
            start = end
    return statements
