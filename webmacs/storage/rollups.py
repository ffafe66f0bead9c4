"""Rollups: of each event and minute how many readings there are, the smallest and the largest.

They are why ten days are shown at once whatever the number of readings. They follow from the readings, some time
behind: `Rollups` makes those of the minutes that are over, and again those of which a reading came late or was deleted.
Every `append` finds out which of its readings come late, and notes their minutes in the same transaction. So what is
rolled up and not noted is exact, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from webmacs.errors import Conflict, StorageError
from webmacs.model import Reading, Scalar, Write, to_datetime
from webmacs.storage.base import Storage
from webmacs.storage.dialect import ROLLED

_log = logging.getLogger(__name__)

MINUTE_US: Final = 60_000_000
LATE_US: Final = 20_000_000  # a reading that is older than this when it is stored is noted
LAG_US: Final = 60_000_000  # how long after its end a minute is rolled up: time for a commit that began before
GAPS: Final = 500  # noted minutes in one step
LONG_US: Final = 3600 * 1_000_000  # a stretch of which it is worth asking where its first reading is
MAX_STEP_US: Final = 86_400 * 1_000_000
SLOW_S, QUICK_S = 0.2, 0.05

_ADVANCE: Final = "UPDATE rollup_state SET rolled_until_us = :end_us WHERE rolled_until_us = :from_us"
KEYS: Final = "event_id, start_us"
COLUMNS: Final = f"{KEYS}, {', '.join(ROLLED)}"


def minute(time_us: int) -> int:
    """The beginning of the minute in which that time is."""
    return time_us // MINUTE_US * MINUTE_US


def late_minutes(readings: Iterable[Reading], before_us: int) -> Write:
    """Note the minutes of the readings measured before that time; part of the transaction that stores them."""
    found = {(reading.event.id, minute(reading.time_us)) for reading in readings if reading.time_us < before_us}
    return note(sorted(found))


def note(minutes: Iterable[tuple[int, int]]) -> Write:
    """Note minutes, each with its event's id, to be rolled up again.

    A row each time, so that what is noted while it is being rolled up is not taken for done.
    """
    return Write(
        "INSERT INTO rollup_gaps (event_id, start_us) VALUES (:event_id, :start_us)",
        tuple({"event_id": event_id, "start_us": start_us} for event_id, start_us in minutes),
        bulk=True,
    )


def forget(event_id: int, limit: int) -> Write:
    """Remove about `limit` rollups of an event that is gone."""
    return Write(
        "DELETE FROM rollups WHERE event_id = :event_id AND start_us <= (SELECT max(start_us) FROM"
        " (SELECT start_us FROM rollups WHERE event_id = :event_id ORDER BY start_us LIMIT :limit) AS oldest)",
        ({"event_id": event_id, "limit": limit},),
    )


def expire(before_us: int, limit: int) -> Write:
    """Remove about `limit` rollups of the minutes before that time, the oldest first."""
    return Write(
        "DELETE FROM rollups WHERE start_us < :before_us AND start_us <= (SELECT max(start_us) FROM"
        " (SELECT start_us FROM rollups WHERE start_us < :before_us ORDER BY start_us LIMIT :limit) AS oldest)",
        ({"before_us": before_us, "limit": limit},),
    )


class Rollups:
    """Makes them, a step at a time, so short that nobody who writes waits for long."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._step_us = MINUTE_US

    async def load(self) -> None:
        """Find out how far they are. Before the first `append`, which is to know what is late."""
        ((self._storage.rolled_us,),) = await self._storage.fetch("SELECT rolled_until_us FROM rollup_state")

    async def follow(self, now_us: Callable[[], int], interval_s: float) -> None:
        """Keep up with what is measured, looking that often. Runs until cancelled."""
        while True:
            pause_s = interval_s
            began = time.monotonic()
            try:
                if await self.advance(now_us()):
                    pause_s = time.monotonic() - began  # as much for others
            except StorageError as error:
                _log.warning("rolling up readings has to wait: %s", error)
            except Exception:  # noqa: BLE001 - the one task that does it must not end
                _log.exception("rolling up readings failed; it goes on the next time")
            await asyncio.sleep(pause_s)

    async def advance(self, now_us: int) -> bool:
        """Take one step; whether there is more to do at once. Raises `StorageError`; the next call tries again."""
        await self.load()
        due_us = minute(now_us - LAG_US)
        if self._storage.rolled_us > max(due_us, now_us):  # the clock was wrong, and has been set back
            await self._withdraw(due_us)
        try:
            noted = await self._mend()
            return await self._extend(due_us) or noted
        except Conflict:
            _log.debug("another server is rolling up the same readings")
            return False

    async def _withdraw(self, to_us: int) -> None:
        row: dict[str, Scalar] = {"to_us": to_us}
        await self._storage.write(
            Write("DELETE FROM rollups WHERE start_us >= :to_us", (row,)),
            Write("UPDATE rollup_state SET rolled_until_us = :to_us", (row,)),
        )
        self._storage.rolled_us = to_us

    async def _mend(self) -> bool:
        """Roll up again what was noted of the minutes that have been rolled up; whether there is more of it."""
        rows = await self._storage.fetch(
            "SELECT id FROM rollup_gaps WHERE start_us < :rolled_us ORDER BY id LIMIT :limit",
            rolled_us=self._storage.rolled_us,
            limit=GAPS,
        )
        if not rows:
            return False
        noted = f"SELECT DISTINCT event_id, start_us FROM rollup_gaps WHERE id IN ({','.join(str(i) for (i,) in rows)})"
        dialect = self._storage.dialect
        points = (
            f"SELECT g.event_id, g.start_us, d.value, {dialect.time_us} AS time_us, d.id, d.experiment_id"
            f" FROM ({noted}) AS g JOIN events AS e ON e.id = g.event_id"
            f" JOIN datapoints AS d ON d.event_id = g.event_id"
            f" AND d.time >= {dialect.moment('g.start_us')} AND d.time < {dialect.moment(f'g.start_us + {MINUTE_US}')}"
        )
        await self._storage.derive(
            "rollups",
            COLUMNS,
            dialect.rolled(points, KEYS),
            {},
            before=[Write(f"DELETE FROM rollups WHERE (event_id, start_us) IN ({noted})")],
            after=[Write("DELETE FROM rollup_gaps WHERE id = :id", tuple({"id": number} for (number,) in rows))],
        )
        return len(rows) == GAPS

    async def _extend(self, due_us: int) -> bool:
        """Roll up the next minutes; whether there are more that are over."""
        from_us = self._storage.rolled_us
        if from_us >= due_us:
            return False
        begin_us = from_us
        if due_us - from_us > LONG_US:
            begin_us = await self._first_reading(from_us, due_us)
        end_us = min(due_us, begin_us + self._step_us)
        dialect = self._storage.dialect
        points = (
            f"SELECT d.event_id, {dialect.time_us} / {MINUTE_US} * {MINUTE_US} AS start_us, d.value,"
            f" {dialect.time_us} AS time_us, d.id, d.experiment_id"
            " FROM events AS e JOIN datapoints AS d ON d.event_id = e.id"
            f" AND d.time >= {dialect.moment(':begin_us')} AND d.time < {dialect.moment(':end_us')}"
        )
        row: dict[str, Scalar] = {"begin_us": begin_us, "end_us": end_us, "from_us": from_us}
        began = time.monotonic()
        await self._storage.derive(
            "rollups",
            COLUMNS,
            dialect.rolled(points, KEYS),
            row,
            before=[Write("DELETE FROM rollups WHERE start_us >= :begin_us AND start_us < :end_us", (row,))],
            after=[
                Write(
                    "UPDATE rollup_state SET rolled_until_us = :end_us WHERE rolled_until_us = :from_us",
                    (row,),
                    changes=1,
                )
            ],
        )
        self._adapt(time.monotonic() - began)
        self._storage.rolled_us = end_us
        if due_us - end_us > LONG_US:
            _log.info("rolling up what was measured before: %s of readings done", to_datetime(end_us))
        return end_us < due_us

    async def _first_reading(self, from_us: int, due_us: int) -> int:
        """The minute of the first reading from then on; the last minute that is due if there is none before."""
        dialect = self._storage.dialect
        first = (
            f"SELECT min(time) AS time FROM datapoints WHERE event_id = e.id AND time >= {dialect.moment(':from_us')}"
        )
        ((first_us,),) = await self._storage.fetch(
            f"SELECT min({dialect.time_us}) FROM (SELECT ({first}) AS time FROM events AS e) AS firsts",
            from_us=from_us,
        )
        return due_us if first_us is None else max(from_us, min(minute(first_us), due_us))

    def _adapt(self, took_s: float) -> None:
        if took_s > SLOW_S:
            self._step_us = max(minute(self._step_us // 2), MINUTE_US)
        elif took_s < QUICK_S:
            self._step_us = min(2 * self._step_us, MAX_STEP_US)
