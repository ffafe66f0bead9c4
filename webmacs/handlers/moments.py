"""A moment in a body: ISO 8601 with its offset from UTC, as `2026-01-31T12:00:00+01:00` or with `Z`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from webmacs.model import to_us


def _read(text: object) -> int:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be a time in ISO 8601 with its offset, like 2026-01-31T12:00:00Z")
    return to_us(moment)


Moment = Annotated[int, BeforeValidator(_read), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment, in microseconds since the epoch once it is read."""
