"""Rollups: of each event and minute how many readings there are, the smallest and the largest.

They are why ten days are shown at once whatever the number of readings. They follow from the readings, some time
behind: `Rollups` makes those of the minutes that are over, and again those of which a reading came late or was deleted.
Of minutes that are rolled up, or are just being, every reading that comes late is noted in the transaction that stores
it. So what is rolled up and not noted is exact, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

from webmacs.errors import Conflict, StorageError
from webmacs.model import Reading, Scalar, Write, to_datetime
from webmacs.storage.base import Storage
from webmacs.storage.dialect import ROLLED

_log = logging.getLogger(__name__)

MINUTE_US: Final = 60_000_000
LATE_US: Final = 20_000_000  # a reading that is not older than this when it is stored is of no minute that is rolled up
LAG_US: Final = 60_000_000  # how long after its end a minute is rolled up, at least
GAPS: Final = 500  # noted minutes that are rolled up again in one step
OTHERS: Final = 9.0  # how much more of the time is for others
MAX_PAUSE_S: Final = 60.0
MANY_GAPS: Final = 10_000  # noted minutes, when it is quicker to roll up everything from the first of them on
WITHDRAWN: Final = 20_000  # rollups removed in one transaction
TEXT: Final = 5_000  # minutes in one statement
LONG_US: Final = 3600 * 1_000_000  # a stretch of which it is worth asking where its first reading is
MAX_STEP_US: Final = 86_400 * 1_000_000
SLOW_S, QUICK_S = 0.2, 0.05

_TIME_US: Final = attrgetter("time_us")
KEYS: Final = "event_id, start_us"
COLUMNS: Final = f"{KEYS}, {', '.join(ROLLED)}"
_ROLLED: Final = "UPDATE rollup_state SET rolled_until_us = :to_us WHERE rolled_until_us = :from_us"
_NOTED: Final = "UPDATE rollup_state SET noted_until_us = :to_us WHERE noted_until_us < :to_us"
_WITHDRAWN: Final = (
    "UPDATE rollup_state SET rolled_until_us = :to_us, noted_until_us = :to_us WHERE rolled_until_us = :from_us"
)


def minute(time_us: int) -> int:
    """The beginning of the minute in which that time is."""
    return time_us // MINUTE_US * MINUTE_US


def late(storage: Storage, readings: Sequence[Reading], now_us: int) -> list[Write]:
    """Note the minutes of the readings that come late; part of the transaction that stores them."""
    before_us = max(now_us - LATE_US, storage.noted_us)
    if min(map(_TIME_US, readings), default=before_us) >= before_us:  # nearly always
        return []
    return note(storage, {(event.id, minute(time_us)) for event, time_us, _, _ in readings if time_us < before_us})


def note(storage: Storage, minutes: Collection[tuple[int, int]]) -> list[Write]:
    """Note those of some minutes, each with its event's id, that are rolled up, or are just being.

    A new row each time, so that what is noted while it is being rolled up is not taken for done. Until the transaction
    ends, no more minutes begin to be rolled up: what it stores is seen by whoever does that.
    """
    ordered = sorted(minutes)
    return [
        Write(
            f"WITH state AS (SELECT noted_until_us FROM rollup_state {storage.dialect.shared}),"
            f" late ({KEYS}) AS (VALUES {_values(ordered[start : start + TEXT])})"
            f" INSERT INTO rollup_gaps ({KEYS}) SELECT event_id, start_us FROM state CROSS JOIN late"
            " WHERE start_us < noted_until_us"
        )
        for start in range(0, len(ordered), TEXT)
    ]


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
    """Makes them, a step at a time, so short that nobody who writes waits for long.

    `rolled_us`: up to when readings are rolled up, as of the last look.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._step_us = MINUTE_US
        # A reading that is stored fresh must be there when its minute is rolled up, however slow its commit was.
        self._lag_us = max(LAG_US, LATE_US + round(4e6 * storage.settings.statement_timeout_s))
        self._last_note: int | None = None  # to be rolled up again by this round of steps
        self.rolled_us = 0

    async def follow(self, now_us: Callable[[], int], interval_s: float) -> None:
        """Keep up with what is measured, looking that often. Runs until cancelled."""
        busy_s = 0.0
        while True:
            pause_s = interval_s
            began = time.monotonic()
            try:
                more = await self.advance(now_us())
                took_s = time.monotonic() - began
                busy_s += took_s
                # As much for others; and when it is up to date, most, as what comes late comes as soon again.
                pause_s = took_s if more else max(interval_s, min(OTHERS * busy_s, MAX_PAUSE_S))
                busy_s = busy_s if more else 0.0
            except StorageError as error:
                _log.warning("rolling up readings has to wait: %s", error)
            except Exception:  # noqa: BLE001 - the one task that does it must not end
                _log.exception("rolling up readings failed; it goes on the next time")
            await asyncio.sleep(pause_s)

    async def load(self) -> None:
        """Find out how far they are. Before the first `append`, which is to know what is late."""
        storage = self._storage
        ((self.rolled_us, storage.noted_us),) = await storage.fetch(
            "SELECT rolled_until_us, noted_until_us FROM rollup_state"
        )

    async def advance(self, now_us: int) -> bool:
        """Take one step; whether there is more to do at once. Raises `StorageError`; the next call tries again."""
        await self.load()
        due_us = minute(now_us - self._lag_us)
        try:
            if self.rolled_us > now_us:  # the clock was wrong, and has been set back
                await self._withdraw(due_us)
            noted = await self._mend()
            return await self._extend(due_us) or noted
        except Conflict:
            _log.debug("another server is rolling up the same readings")
            return False

    async def _mend(self) -> bool:
        """Roll up again what was noted of the minutes that have been rolled up; whether there is more of it."""
        storage = self._storage
        rows = await storage.fetch(
            f"WITH last AS (SELECT coalesce(:last_id, max(id)) AS id FROM rollup_gaps)"
            f" SELECT {KEYS}, count(*) OVER (), min(start_us) OVER (), (SELECT id FROM last) FROM"
            f" (SELECT DISTINCT {KEYS} FROM rollup_gaps WHERE start_us < :rolled_us AND id <= (SELECT id FROM last))"
            " AS noted LIMIT :limit",
            rolled_us=self.rolled_us,
            last_id=self._last_note,
            limit=GAPS,
        )
        if not rows:
            self._last_note = None
            return False
        _, _, number, first_us, last_id = rows[0]
        # What is noted from now on, perhaps of the same minutes, has to wait until what was noted before is done.
        self._last_note = last_id if number > GAPS else None
        if number > MANY_GAPS and first_us >= 0:  # before 1970 nothing is in order
            await self._begin_anew()
            return True
        minutes: dict[int, list[int]] = {}
        for event_id, start_us, *_ in rows:
            minutes.setdefault(event_id, []).append(start_us)
        noted = _values(row[:2] for row in rows)
        await storage.derive(
            "rollups",
            COLUMNS,
            self._query(
                f"(WITH noted ({KEYS}) AS (VALUES {noted})"
                " SELECT noted.* FROM noted JOIN events AS e ON e.id = event_id)",
                storage.dialect.between("n.start_us", f"n.start_us + {MINUTE_US}", "n.event_id"),
                "n.start_us",
            ),
            {},
            before=[
                # First, so that PostgreSQL sees every reading whose note is removed; and none that is younger than what
                # was asked above, as the readings are looked up before that on SQLite.
                Write(
                    f"DELETE FROM rollup_gaps WHERE id <= :last_id AND ({KEYS}) IN (VALUES {noted})",
                    ({"last_id": last_id},),
                ),
                *(
                    Write(f"DELETE FROM rollups WHERE event_id = {event_id} AND start_us IN ({_list(starts)})")
                    for event_id, starts in minutes.items()
                ),
            ],
            after=[],
        )
        return bool(number > GAPS)

    async def _extend(self, due_us: int) -> bool:
        """Roll up the next minutes; whether there are more that are over."""
        storage, from_us = self._storage, self.rolled_us
        if from_us >= due_us:
            return False
        begin_us = await self._first_reading(from_us, due_us) if due_us - from_us > LONG_US else from_us
        to_us = min(due_us, begin_us + self._step_us)
        await storage.write(Write(_NOTED, ({"to_us": to_us},)))
        storage.noted_us = max(storage.noted_us, to_us)
        if begin_us > from_us:  # what was stored before that there has not been noted
            begin_us = await self._first_reading(from_us, to_us)
            to_us = min(to_us, begin_us + self._step_us)
        row: dict[str, Scalar] = {"from_us": from_us, "begin_us": begin_us, "to_us": to_us}
        began = time.monotonic()
        await storage.derive(
            "rollups",
            COLUMNS,
            self._query(
                "(SELECT id AS event_id FROM events)",
                storage.dialect.between(":begin_us", ":to_us", "n.event_id"),
                f"{storage.dialect.time_us} / {MINUTE_US} * {MINUTE_US}",
            ),
            row,
            before=[Write("DELETE FROM rollups WHERE start_us >= :begin_us AND start_us < :to_us", (row,))],
            after=[Write(_ROLLED, (row,), changes=1)],
        )
        self.rolled_us = to_us
        self._adapt(time.monotonic() - began)
        if due_us - to_us > LONG_US:
            _log.info("rolling up what was measured before: done until %s", to_datetime(to_us))
        return to_us < due_us

    def _query(self, outer: str, condition: str, start_us: str) -> str:
        """The rollups of the readings that belong to some rows `n`, which have an `event_id`."""
        dialect = self._storage.dialect
        readings = f"SELECT d.event_id, {start_us}, {dialect.alone()} FROM {outer} AS n {dialect.each(condition)}"
        return dialect.merged(readings, KEYS)

    async def _first_reading(self, from_us: int, due_us: int) -> int:
        """The minute of the first reading from then on; the last minute that is due if there is none before."""
        dialect = self._storage.dialect
        later = f"time >= {dialect.moment(':from_us')}"
        ((first_us,),) = await self._storage.fetch(
            f"SELECT min({dialect.time_us}) FROM"
            f" (SELECT (SELECT min(time) FROM datapoints WHERE event_id = e.id AND {later}) AS time FROM events AS e)"
            " AS firsts",
            from_us=from_us,
        )
        return due_us if first_us is None else max(from_us, min(minute(first_us), due_us))

    async def _begin_anew(self) -> None:
        """So many minutes are noted, by an import of much that is old, that they are rolled up in order again."""
        ((first_us, last_id),) = await self._storage.fetch(
            "SELECT min(start_us), max(id) FROM rollup_gaps WHERE start_us >= 0"
        )
        _log.info("many readings came late: rolling up all from %s on", to_datetime(first_us))
        await self._withdraw(first_us)
        row: dict[str, Scalar] = {"to_us": self.rolled_us, "last_id": last_id, "limit": WITHDRAWN}
        done = Write(
            "DELETE FROM rollup_gaps WHERE id IN"
            " (SELECT id FROM rollup_gaps WHERE start_us >= :to_us AND id <= :last_id LIMIT :limit)",
            (row,),
        )
        while await self._storage.write(done):
            continue

    async def _withdraw(self, to_us: int) -> None:
        """Take back what is rolled up from then on, the newest first, so that at any time what is left is exact."""
        storage = self._storage
        while self.rolled_us > to_us:
            ((some_us,),) = await storage.fetch(
                "SELECT min(start_us) FROM (SELECT start_us FROM rollups WHERE start_us >= :to_us"
                " ORDER BY start_us DESC LIMIT :limit) AS newest",
                to_us=to_us,
                limit=WITHDRAWN,
            )
            from_us, step_us = self.rolled_us, to_us if some_us is None else min(some_us, self.rolled_us)
            self.rolled_us = storage.noted_us = step_us
            row: dict[str, Scalar] = {"from_us": from_us, "to_us": step_us}
            await storage.write(
                Write("DELETE FROM rollups WHERE start_us >= :to_us", (row,)), Write(_WITHDRAWN, (row,), changes=1)
            )
            if some_us is None:
                return

    def _adapt(self, took_s: float) -> None:
        if took_s > SLOW_S:
            self._step_us = max(minute(self._step_us // 2), MINUTE_US)
        elif took_s < QUICK_S:
            self._step_us = min(2 * self._step_us, MAX_STEP_US)


def _values(minutes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"({event_id}, {start_us})" for event_id, start_us in minutes)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
