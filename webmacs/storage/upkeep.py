"""House-keeping, the same for every backend: away with what is older than it has to be kept."""

from __future__ import annotations

from typing import Final

from webmacs.config import StorageSettings
from webmacs.model import Scalar, Write
from webmacs.storage import audit, rollups
from webmacs.storage.base import Storage

CHUNK: Final = 5_000
DAY_US: Final = 86_400_000_000
RUNS_KEPT_US: Final = 7 * DAY_US  # no setting: they are needed for as long as a commit may be retried, minutes at most

# Event ids that have rows in a table but no event any more: by steps from one id to the next, as an index can.
_ORPHANS: Final = """
WITH RECURSIVE ids (id) AS (
    SELECT min(event_id) FROM {table}
    UNION ALL
    SELECT (SELECT min(event_id) FROM {table} WHERE event_id > ids.id) FROM ids WHERE ids.id IS NOT NULL
)
SELECT id FROM ids WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM events)
"""


async def keep_house(storage: Storage, settings: StorageSettings, now_us: int, batches_kept_us: int) -> None:
    """Make room ahead; forget old batch identities and runs, readings past retention and those of deleted events,
    what was rolled up of them, and entries of the audit log past theirs.

    In small transactions, so that ingestion never waits for long. Raises `StorageUnavailable`; what is left is done
    the next time.
    """
    await storage.make_room(now_us)
    old_batches = Write(
        "DELETE FROM batches WHERE time_us < :before_us AND time_us <= (SELECT max(time_us) FROM"
        " (SELECT time_us FROM batches WHERE time_us < :before_us ORDER BY time_us LIMIT :limit) AS oldest)",
        ({"before_us": now_us - batches_kept_us, "limit": CHUNK},),
    )
    while await storage.write(old_batches):
        continue
    old_runs: dict[str, Scalar] = {"before_us": now_us - RUNS_KEPT_US, "run": storage.run}
    await storage.write(Write("DELETE FROM commits WHERE committed_us < :before_us AND run <> :run", (old_runs,)))
    await _shorten_log(storage, settings, now_us)
    if settings.retention_days:
        before_us = rollups.minute(now_us - settings.retention_days * DAY_US)  # whole minutes, as they are rolled up
        while await storage.expire(before_us, CHUNK):
            continue
        while await storage.write(rollups.expire(before_us, CHUNK)):
            continue
    if settings.audit_retention_days:
        await audit.expire(storage, now_us - settings.audit_retention_days * DAY_US)
    for (event_id,) in await storage.fetch(_ORPHANS.format(table="datapoints")):
        while await storage.forget_event(event_id, CHUNK):
            continue
    for (event_id,) in await storage.fetch(_ORPHANS.format(table="rollups")):
        while await storage.write(rollups.forget(event_id, CHUNK)):
            continue


async def _shorten_log(storage: Storage, settings: StorageSettings, now_us: int) -> None:
    """Away with entries of the Logs page that are too old, or too many; the oldest first, as they were written."""
    if settings.log_retention_days:
        old: dict[str, Scalar] = {"before_us": now_us - settings.log_retention_days * DAY_US, "limit": CHUNK}
        oldest = "SELECT id FROM logs ORDER BY id LIMIT :limit"
        while await storage.write(
            Write(f"DELETE FROM logs WHERE id IN ({oldest}) AND created_us < :before_us", (old,))
        ):
            continue
    if settings.max_log_entries:
        beyond = "SELECT id FROM logs ORDER BY id DESC LIMIT 1 OFFSET :kept"
        for (last,) in await storage.fetch(beyond, kept=settings.max_log_entries):
            row: dict[str, Scalar] = {"last": last, "limit": CHUNK}
            some = "SELECT id FROM logs WHERE id <= :last ORDER BY id LIMIT :limit"
            while await storage.write(Write(f"DELETE FROM logs WHERE id IN ({some})", (row,))):
                continue
