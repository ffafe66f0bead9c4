"""The partitions of PostgreSQL's `datapoints`, by time: made ahead, dropped whole when they are too old."""

from __future__ import annotations

from typing import Final

from webmacs.model import Write, to_datetime
from webmacs.storage.base import Storage

DAY_US: Final = 86_400_000_000

# Name and end, in microseconds since the epoch, of each partition that has bounds; the default one has none.
_BOUNDED: Final = """
SELECT name, (extract(epoch FROM bound::timestamptz) * 1000000)::bigint FROM (
    SELECT child.relname AS name,
        substring(pg_get_expr(child.relpartbound, child.oid) FROM 'TO \\(''([^'']+)''\\)') AS bound
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = 'datapoints'::regclass
) AS partitions WHERE bound IS NOT NULL
"""


async def make(storage: Storage, days: int, ahead: int, now_us: int) -> None:
    """Make the partitions from now on, `ahead` of them of `days` days each, where there are none yet.

    Readings of that time that got into the default partition while a clock was wrong move with it.
    """
    step_us = days * DAY_US
    ends = [end_us for _, end_us in await storage.fetch(_BOUNDED)]
    start_us = max([*ends, now_us // step_us * step_us])
    while start_us < now_us + ahead * step_us:
        start, end = to_datetime(start_us).isoformat(), to_datetime(start_us + step_us).isoformat()
        name = f"datapoints_{to_datetime(start_us):%Y%m%d}"
        await storage.write(
            Write(f"CREATE TABLE {name} (LIKE datapoints INCLUDING DEFAULTS)"),
            Write(
                "WITH moved AS (DELETE FROM datapoints_default"
                f" WHERE time >= '{start}' AND time < '{end}' RETURNING *) INSERT INTO {name} SELECT * FROM moved"
            ),
            Write(f"ALTER TABLE datapoints ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"),
        )
        start_us += step_us


async def expire(storage: Storage, before_us: int, limit: int) -> int:
    """Drop the partitions that end by then, and delete up to `limit` older rows of the default one; how many."""
    for name, end_us in await storage.fetch(_BOUNDED):
        if end_us <= before_us:
            await storage.write(Write(f"DROP TABLE {name}"))
    return await storage.write(
        Write(
            "DELETE FROM datapoints_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM datapoints_default"
            " WHERE time < :before::timestamptz LIMIT :limit))",
            ({"before": to_datetime(before_us).isoformat(), "limit": limit},),
        )
    )
