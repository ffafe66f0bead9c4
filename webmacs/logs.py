"""What is said on standard error: as text or as JSON, and never with a secret in it."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Final

from aiohttp.abc import AbstractAccessLogger
from aiohttp.web import BaseRequest, StreamResponse

from webmacs.config import LoggingSettings

# What a credential looks like, wherever it stands: in a query, a header, an echoed request line.
_SECRETS: Final = re.compile(
    r"(?P<name>(?:token|password|secret)=)[^&\s\"'\\]+|\bwm_[\w-]{16,}|\beyJ[\w-]{8,}(?:\.[\w-]*)*", re.IGNORECASE
)


def scrub(text: str) -> str:
    """The text without anything that looks like a credential."""
    return _SECRETS.sub(lambda match: (match["name"] or "") + "***", text)


class TextFormatter(logging.Formatter):
    """One readable line a record: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Scrubbed, trace included."""
        return scrub(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Scrubbed, trace included."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return scrub(json.dumps(entry, ensure_ascii=False))


def set_up(settings: LoggingSettings) -> None:
    """Send everything to standard error in the chosen form."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It repeats the sub-protocols that a client asks for, which is where some put their token.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class AccessLogger(AbstractAccessLogger):
    """One line a request: who, what, how it ended, how long. Never the query, which holds tokens."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """See aiohttp."""
        path = request.rel_url.raw_path  # as it was sent: what it stands for may hold line breaks
        self.logger.info('%s "%s %s" %d %.1f ms', request.remote, request.method, path, response.status, time * 1000)
