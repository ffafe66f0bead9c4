"""What the Logs page shows: the statements, once for every backend."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from webmacs.model import Scalar, Write

CONTENT_LENGTH: Final = 500
_LOG_COLUMNS: Final = "public_id, content, logging_type, user_id, created_us"
_LOG_VALUES: Final = ":public_id, :content, :logging_type, :user_id, :created_us"


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


def _log_row(entry: LogEntry) -> dict[str, Scalar]:
    return {
        "public_id": str(uuid.uuid4()),
        "content": entry.content[:CONTENT_LENGTH],
        "logging_type": entry.logging_type,
        "user_id": entry.user_id,
        "created_us": entry.created_us,
    }
