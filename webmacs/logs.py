"""What is said on standard error: as text or as JSON, and never with a secret in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

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


def plain(text: str) -> str:
    """The text with what cannot be printed written as in Python, a line break as a backslash and an n."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class TextFormatter(logging.Formatter):
    """One readable line a record: time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Scrubbed, trace included."""
        return scrub(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """One line, whatever names are in it: nobody outside begins another one, or gives orders to a terminal."""
        return plain(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's
        """Its lines are indented, so that none can be taken for a record."""
        return "\n".join(f"  {plain(line)}" for line in super().formatException(ei).splitlines())


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
        text = json.dumps(entry, ensure_ascii=False)
        if not text.isprintable():  # JSON may hold the likes of U+009B, an order to some terminals
            text = "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
        return scrub(text)


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

    def __init__(self, logger: logging.Logger, log_format: str, client: Callable[[BaseRequest], str]) -> None:
        """`client` says who asks, also where a proxy stands between."""
        super().__init__(logger, log_format)
        self._client = client

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """See aiohttp."""
        path = request.rel_url.raw_path  # as it was sent: what it stands for may hold line breaks
        who, what, status = self._client(request), request.method, response.status
        self.logger.info('%s "%s %s" %d %.1f ms', who, what, path, status, time * 1000)
