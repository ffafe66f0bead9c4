"""The partitions of PostgreSQL's `datapoints`, by time: made ahead, dropped whole when they are too old."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from webmacs.errors import StorageUnavailable
from webmacs.model import Write, to_datetime
from webmacs.storage.base import Storage

_log = logging.getLogger(__name__)

DAY_US: Final = 86_400_000_000

# Name and bounds, in microseconds since the epoch, of each partition that has bounds; the default one has none, and
# neither has one that another server drops meanwhile: `OFFSET 0` has them looked up once, not for each use.
_BOUNDED: Final = """
SELECT name,
    (extract(epoch FROM bounds[1]::timestamptz) * 1000000)::bigint,
    (extract(epoch FROM bounds[2]::timestamptz) * 1000000)::bigint
FROM (
    SELECT child.relname AS name,
        regexp_match(
            pg_get_expr(child.relpartbound, child.oid), 'FROM \\(''([^'']+)''\\) TO \\(''([^'']+)''\\)'
        ) AS bounds
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = 'datapoints'::regclass
    OFFSET 0
) AS partitions WHERE bounds IS NOT NULL
"""

# All of it in one statement, under a lock, as other servers may be at it, too.
_MAKE: Final = """
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webmacs partitions'));
    IF to_regclass('{name}') IS NULL THEN
        CREATE TABLE {name} (LIKE datapoints INCLUDING DEFAULTS);
        WITH moved AS (DELETE FROM datapoints_default WHERE time >= '{start}' AND time < '{end}' RETURNING *)
            INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE datapoints ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}');
    END IF;
END
$$
"""

# Both need a lock that waits for every query on the readings, and lets no insert pass meanwhile.
_SOON: Final = Write("SET LOCAL lock_timeout = '1s'")


async def make(storage: Storage, days: int, ahead: int, now_us: int) -> None:
    """Make the partitions from now on, for `ahead` times `days` days, where there are none yet.

    Readings of that time that got into the default partition, while a clock was wrong or this could not be done,
    move with it. Where a long query is in the way, it is left for the next time.
    """
    taken = [(start_us, end_us) for _, start_us, end_us in await storage.fetch(_BOUNDED)]
    for start_us, end_us in gaps(taken, now_us, days * DAY_US, ahead):
        start, end = to_datetime(start_us), to_datetime(end_us)
        name = f"datapoints_{start:%Y%m%d}"
        statement = _MAKE.format(name=name, start=start.isoformat(), end=end.isoformat())
        try:
            await storage.write(_SOON, Write(statement))
        except StorageUnavailable as error:
            _log.warning("no partition from %s yet, its readings go into the default one: %s", start.date(), error)
            return


async def expire(storage: Storage, before_us: int, limit: int) -> int:
    """Drop the partitions that end by then, and delete up to `limit` older rows of the default one; how many."""
    for name, _, end_us in await storage.fetch(_BOUNDED):
        if end_us <= before_us:
            await storage.write(_SOON, Write(f"DROP TABLE IF EXISTS {name}"))
    return await storage.write(
        Write(
            "DELETE FROM datapoints_default WHERE ctid = ANY (ARRAY(SELECT ctid FROM datapoints_default"
            " WHERE time < :before::timestamptz LIMIT :limit))",
            ({"before": to_datetime(before_us).isoformat(), "limit": limit},),
        )
    )


def gaps(taken: Sequence[tuple[int, int]], now_us: int, step_us: int, ahead: int) -> Iterator[tuple[int, int]]:
    """The intervals to make, none longer than a step, so that `ahead` steps from now on are covered.

    What is taken may lie anywhere: partitions of another length, or far ahead, made when the clock was wrong.
    """
    start_us = now_us // step_us * step_us
    until_us = start_us + (ahead + 1) * step_us
    while start_us < until_us:
        beyond_us = max((end_us for begin_us, end_us in taken if begin_us <= start_us < end_us), default=start_us)
        if beyond_us > start_us:
            start_us = beyond_us
            continue
        next_us = (start_us // step_us + 1) * step_us
        end_us = min([next_us, *(begin_us for begin_us, _ in taken if begin_us > start_us)])
        yield start_us, end_us
        start_us = end_us
