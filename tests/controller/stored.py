"""What a server has in its table, reading by reading."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from webmacs.model import to_us
from webmacs.storage.base import Storage

CHUNK = 20_000


class Row(NamedTuple):
    """A reading as it is stored."""

    event: str
    value: float
    time_us: int


async def stored_rows(storage: Storage) -> list[Row]:
    """All of them, in the order in which they were stored."""
    found: list[Row] = []
    after = -1
    while True:
        rows = await storage.fetch(
            "SELECT datapoints.id, public_id, value, time FROM datapoints JOIN events ON events.id = event_id"
            " WHERE datapoints.id > :after ORDER BY datapoints.id LIMIT :limit",
            after=after,
            limit=CHUNK,
        )
        found += [
            Row(event, value, to_us(time) if isinstance(time, datetime) else time) for _, event, value, time in rows
        ]
        if len(rows) < CHUNK:
            return found
        after = rows[-1][0]
