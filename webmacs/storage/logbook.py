"""What the Logs page shows: the statements, once for every backend."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from webmacs.errors import NotFound
from webmacs.model import Scalar, Write
from webmacs.storage.base import Tables
from webmacs.storage.statements import on_one, total, update

CONTENT_LENGTH: Final = 500
_LOG_COLUMNS: Final = "public_id, content, logging_type, user_id, created_us"
_LOG_VALUES: Final = ":public_id, :content, :logging_type, :user_id, :created_us"


_LOGGED: Final = "SELECT public_id, content, logging_type, status_type, user_id, created_us FROM logs"


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry that is there; `status_type` is "unread" or "read"."""

    public_id: str
    content: str
    logging_type: str
    status_type: str
    user_id: int | None
    created_us: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What the Logs page shows; `logging_type` is "info", "warning" or "error"."""

    content: str
    created_us: int
    user_id: int | None
    logging_type: str = "info"


def log_entries(entries: Iterable[LogEntry]) -> Write:
    """Entries for the Logs page, for whichever transaction they belong to."""
    return Write(f"INSERT INTO logs ({_LOG_COLUMNS}) VALUES ({_LOG_VALUES})", tuple(map(_log_row, entries)), bulk=True)


def log_entry(content: str, *, now_us: int, user_id: int | None, logging_type: str = "info") -> Write:
    """The same for one entry."""
    return log_entries([LogEntry(content, now_us, user_id, logging_type)])


def log_if(condition: str, entry: LogEntry, **parameters: Scalar) -> Write:
    """The same, if a condition in SQL holds by then, which may use `parameters`."""
    statement = f"INSERT INTO logs ({_LOG_COLUMNS}) SELECT {_LOG_VALUES} WHERE {condition}"
    return Write(statement, ({**_log_row(entry), **parameters},))


async def page(storage: Tables, *, limit: int, offset: int) -> tuple[list[Logged], int]:
    """Some entries, the newest first, and how many there are."""
    rows = await storage.fetch(f"{_LOGGED} ORDER BY id DESC LIMIT :limit OFFSET :offset", limit=limit, offset=offset)
    return [Logged(*row) for row in rows], await total(storage, "logs")


async def entry(storage: Tables, public_id: str) -> Logged:
    """One entry. Raises `NotFound`."""
    rows = await storage.fetch(f"{_LOGGED} WHERE public_id = :public_id", public_id=public_id)
    if not rows:
        raise NotFound(f"there is no log entry {public_id}")
    return Logged(*rows[0])


async def change_entry(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change an entry. Raises `NotFound`."""
    await on_one(storage, "log entry", public_id, update("logs", public_id, changed))


def _log_row(entry: LogEntry) -> dict[str, Scalar]:
    return {
        "public_id": str(uuid.uuid4()),
        "content": entry.content[:CONTENT_LENGTH],
        "logging_type": entry.logging_type,
        "user_id": entry.user_id,
        "created_us": entry.created_us,
    }
