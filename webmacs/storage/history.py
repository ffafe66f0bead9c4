"""Readings as people look at them: a stretch of time in as many points as a chart shows, a page of all, a single one.

Written once for every backend, on its `dialect`. A long stretch, and what lies far back, is found by the rollups.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.model import Actor, Datapoint, Scalar, Write
from webmacs.storage import audit
from webmacs.storage.base import Storage
from webmacs.storage.dialect import ROLLED
from webmacs.storage.rollups import MINUTE_US, minute, note

MIN_POINTS: Final = 10
FIRST_LOOK_US: Final = 60 * MINUTE_US  # how far back a page is looked for at first; each time, four times as far
FIRST_GLANCE_US: Final = 50_000  # the same within the last minute, for pages that begin no further from the newest than
NEAR: Final = 10_000  # readings
CROWDED: Final = 4  # a minute that has so many times what is wanted is not read whole
BEGINNING_US: Final = -62_135_596_800_000_000  # of the year 1
END_US: Final = 253_402_300_800_000_000  # of the year 9999
_PUBLIC_ID: Final = re.compile(r"([0-9a-f]{8,16})-([0-9a-f]{1,8})-(-?[0-9a-f]{1,15})")
TAIL_US: Final = "(SELECT tail_us FROM tail)"
_NOT_NOTED: Final = (
    "NOT EXISTS (SELECT 1 FROM rollup_gaps AS g WHERE g.event_id = r.event_id AND g.start_us = r.start_us)"
)


async def series(
    storage: Storage, snapshot: Snapshot, event_id: int, *, from_us: int, until_us: int, max_points: int
) -> list[Datapoint]:
    """The readings of an event from one time until before another, by time. If there are more than `max_points`: the
    smallest and the largest of each of some equal intervals, and the first and the last of all.

    Intervals begin at multiples of their length, and few lengths are used, so that a chart whose window moves on does
    not change its mind about the past. `max_points` is at least `MIN_POINTS`.
    """
    row: dict[str, Scalar] = {"event_id": event_id, "from_us": from_us, "until_us": until_us}
    raw = _raw(storage, ":from_us", ":until_us")
    ((found, first_us, last_us),) = await storage.fetch(
        f"SELECT (SELECT count(*) FROM (SELECT 1 FROM ({raw}) AS found LIMIT :limit) AS counted),"
        f" (SELECT time_us FROM ({raw} ORDER BY d.time LIMIT 1) AS oldest),"
        f" (SELECT time_us FROM ({raw} ORDER BY d.time DESC LIMIT 1) AS newest)",
        **row,
        limit=max_points + 1,
    )
    if found <= max_points:
        return snapshot.datapoints(await storage.fetch(f"{raw} ORDER BY d.time, d.id", **row))
    width_us = length(last_us - first_us, (max_points - 2) // 2 - 1)
    tail, parts = "", _parts(storage, ":from_us", ":until_us")
    if width_us >= MINUTE_US:
        head_us = minute(from_us + MINUTE_US - 1)
        row |= {"head_us": head_us, "end_us": max(head_us, minute(until_us))}
        tail, parts = _tail(":head_us", ":end_us"), _parts_by_rollups(storage)
    rows = await storage.fetch(
        f"WITH {tail}parts AS ({storage.dialect.merged(parts, 'part')})"
        " SELECT id, event_id, time_us, value, experiment_id FROM ("
        "SELECT min_id AS id, :event_id AS event_id, min_us AS time_us, min_value AS value,"
        " min_experiment AS experiment_id FROM parts"
        " UNION SELECT max_id, :event_id, max_us, max_value, max_experiment FROM parts"
        f" UNION SELECT * FROM ({raw} ORDER BY d.time, d.id LIMIT 1) AS oldest"
        f" UNION SELECT * FROM ({raw} ORDER BY d.time DESC, d.id DESC LIMIT 1) AS newest"
        ") AS shown ORDER BY time_us, id",
        **row,
        width_us=width_us,
    )
    return snapshot.datapoints(rows)


def length(span_us: int, intervals: int) -> int:
    """How long intervals are of which about so many cover a time, and one more at most; whole minutes, if a minute.

    Rounded up to three binary digits after the first: a span that grows a little changes it seldom.
    """
    exact_us = -(-span_us // intervals) or 1
    unit_us = 1 << max(exact_us.bit_length() - 4, 0)
    rounded_us = -(-exact_us // unit_us) * unit_us
    return rounded_us if rounded_us < MINUTE_US else -(-rounded_us // MINUTE_US) * MINUTE_US


async def page(storage: Storage, snapshot: Snapshot, now_us: int, *, offset: int, limit: int) -> list[Datapoint]:
    """The readings of all events, the newest first: `limit` of them after the first `offset`."""
    before, until_us = 0, END_US
    from_us = await _within_the_minute(storage, now_us, offset + limit)
    if from_us is None:
        from_us, until_us, before = await _minutes_of_page(storage, now_us, offset, limit)
    dialect = storage.dialect
    rows = await storage.fetch(
        f"SELECT d.id, d.event_id, {dialect.time_us}, d.value, d.experiment_id FROM events AS e"
        f" {dialect.each(dialect.between(':from_us', ':until_us', 'e.id'))}"
        " ORDER BY d.time DESC, d.id DESC LIMIT :limit OFFSET :offset",
        from_us=from_us,
        until_us=until_us,
        limit=limit,
        offset=offset - before,
    )
    return snapshot.datapoints(rows)


async def _within_the_minute(storage: Storage, now_us: int, wanted: int) -> int | None:
    """A time since when there are so many readings, if it is less than a minute ago. A busy minute has millions: what
    is shown of it is found without reading the rest.
    """
    if wanted > NEAR:
        return None
    counted = await _since(storage, now_us - MINUTE_US, CROWDED * wanted)
    if counted < wanted:
        return None
    look_us = FIRST_GLANCE_US if counted == CROWDED * wanted else MINUTE_US
    while look_us < MINUTE_US and await _since(storage, now_us - look_us, wanted) < wanted:
        look_us *= 4
    return now_us - min(look_us, MINUTE_US)


async def _since(storage: Storage, from_us: int, most: int) -> int:
    """How many readings there are since a time; no more than that many are counted."""
    rows = await storage.fetch(
        f"SELECT count(*) FROM (SELECT 1 FROM events AS e {_of_event(storage, ':from_us', str(END_US))}"
        " LIMIT :most) AS counted",
        from_us=from_us,
        most=most,
    )
    return int(rows[0][0])


async def _minutes_of_page(storage: Storage, now_us: int, offset: int, limit: int) -> tuple[int, int, int]:
    """The whole minutes in which a page is: from when, until when, and how many readings come before it."""
    counted = before = 0
    from_us = until_us = END_US
    async for start_us, count in _minutes(storage, now_us):
        if counted + count > offset:
            if until_us == END_US:
                until_us, before = start_us + MINUTE_US, counted
            from_us = start_us
        counted += count
        if counted >= offset + limit:
            break
    return from_us, until_us, before


async def total(storage: Storage) -> int:
    """How many readings there are."""
    noted = f"(SELECT DISTINCT event_id, start_us FROM rollup_gaps WHERE start_us < {TAIL_US})"
    rows = await storage.fetch(
        f"WITH {_tail('0', str(END_US))}whole AS (SELECT sum(count) AS count FROM rollups WHERE start_us < {TAIL_US})"
        " SELECT (SELECT coalesce(count, 0) FROM whole),"
        f" (SELECT coalesce(sum(r.count), 0) FROM {noted} AS n JOIN rollups AS r USING (event_id, start_us)),"
        f" (SELECT count(*) FROM {noted} AS n JOIN events AS e ON e.id = n.event_id {_of_minute(storage)}),"
        f" (SELECT count(*) FROM events AS e {_of_event(storage, TAIL_US, str(END_US))})"
    )
    rolled, inexact, mended, since = map(int, rows[0])
    return rolled - inexact + mended + since


@dataclass(frozen=True, slots=True)
class Key:
    """What finds a reading without an index of its own; see `Datapoint.public_id`."""

    id: int
    event_id: int
    time_us: int

    @classmethod
    def of(cls, public_id: str) -> Key | None:
        """The key in a public id; None for what is none."""
        match = _PUBLIC_ID.fullmatch(public_id)
        if match is None:
            return None
        key = cls(*(int(part, 16) for part in match.groups()))
        possible = key.id < 1 << 63 and key.event_id < 1 << 31 and BEGINNING_US <= key.time_us < END_US
        return key if possible else None


async def datapoint(storage: Storage, snapshot: Snapshot, key: Key) -> Datapoint | None:
    """One reading; None when there is none, or its event is gone."""
    raw = _raw(storage, ":time_us", ":time_us + 1")
    rows = await storage.fetch(f"{raw} AND d.id = :id", event_id=key.event_id, time_us=key.time_us, id=key.id)
    found = snapshot.datapoints(rows)
    return found[0] if found else None


async def newest(storage: Storage, snapshot: Snapshot, event_id: int) -> Datapoint | None:
    """The newest reading of an event; None when it has none."""
    raw = _raw(storage, str(BEGINNING_US), str(END_US))
    found = snapshot.datapoints(
        await storage.fetch(f"{raw} ORDER BY d.time DESC, d.id DESC LIMIT 1", event_id=event_id)
    )
    return found[0] if found else None


async def remove(storage: Storage, datapoint: Datapoint, actor: Actor, now_us: int) -> bool:
    """Delete one reading, have its minute rolled up again and write down who did it; whether there was one."""
    row: dict[str, Scalar] = {"event_id": datapoint.event.id, "time_us": datapoint.time_us, "id": datapoint.id}
    where = f"event_id = :event_id AND time = {storage.dialect.moment(':time_us')} AND id = :id"
    there = f"EXISTS (SELECT 1 FROM datapoints WHERE {where})"
    removed = await storage.write(
        *note(storage, [(datapoint.event.id, minute(datapoint.time_us))]),
        audit.removed_reading(actor, now_us, datapoint, there, row),
        Write(f"DELETE FROM datapoints WHERE {where}", (row,)),
    )
    return removed > 0


async def _minutes(storage: Storage, now_us: int) -> AsyncIterator[tuple[int, int]]:
    """Each minute that has readings, and how many, the newest first; an hour at once, then more and more."""
    until_us, look_us = END_US, FIRST_LOOK_US
    while until_us > BEGINNING_US:
        from_us = max(minute(min(until_us, now_us) - look_us), BEGINNING_US)
        rows = await storage.fetch(
            _counts(storage),
            from_us=from_us,
            until_us=until_us,
        )
        for start_us, count in rows:
            yield start_us, int(count)
        until_us, look_us = from_us, 4 * look_us


def _tail(low: str, high: str) -> str:
    """The first of the queries that a statement begins with: from when on readings are read as they are, between two
    times. A part of the statement, so that what is rolled up and what is not are seen at the same moment.
    """
    return (
        f"tail AS (SELECT CASE WHEN rolled_until_us < {low} THEN {low} WHEN rolled_until_us < {high}"
        f" THEN rolled_until_us ELSE {high} END AS tail_us FROM rollup_state), "
    )


def _raw(storage: Storage, from_us: str, until_us: str) -> str:
    """The readings of an event from one time until before another."""
    return (
        f"SELECT d.id, d.event_id, {storage.dialect.time_us} AS time_us, d.value, d.experiment_id FROM datapoints AS d"
        f" WHERE {storage.dialect.between(from_us, until_us, ':event_id')}"
    )


def _of_event(storage: Storage, from_us: str, until_us: str) -> str:
    """A join of events `e` with their readings `d` from one time until before another."""
    return storage.dialect.each(storage.dialect.between(from_us, until_us, "e.id"))


def _of_minute(storage: Storage) -> str:
    """A join of noted minutes `n` with their readings `d`."""
    return storage.dialect.each(storage.dialect.between("n.start_us", f"n.start_us + {MINUTE_US}", "n.event_id"))


def _parts(storage: Storage, from_us: str, until_us: str) -> str:
    """The readings of an event, each as a rollup of its own, with the number of the interval it is in."""
    return (
        f"SELECT {storage.dialect.time_us} / :width_us AS part, {storage.dialect.alone()} FROM datapoints AS d"
        f" WHERE {storage.dialect.between(from_us, until_us, ':event_id')}"
    )


def _parts_by_rollups(storage: Storage) -> str:
    """The same, of whole minutes from `head_us` to the tail by the rollups, but for those that are noted."""
    noted = (
        "(SELECT DISTINCT event_id, start_us FROM rollup_gaps"
        f" WHERE event_id = :event_id AND start_us >= :head_us AND start_us < {TAIL_US})"
    )
    return (
        f"SELECT start_us / :width_us AS part, {', '.join(ROLLED)} FROM rollups AS r WHERE event_id = :event_id"
        # The last condition is not for the index: how many rows it leaves, a planner cannot know, and guesses few.
        f" AND start_us >= :head_us AND start_us < :end_us AND start_us + 0 < {TAIL_US} AND {_NOT_NOTED}"
        f" UNION ALL SELECT n.start_us / :width_us, {storage.dialect.alone()} FROM {noted} AS n {_of_minute(storage)}"
        f" UNION ALL {_parts(storage, ':from_us', ':head_us')}"
        f" UNION ALL {_parts(storage, TAIL_US, ':until_us')}"
    )


def _counts(storage: Storage) -> str:
    """The minutes from `from_us` on that have readings, and how many, the newest first; to the tail by the rollups."""
    noted = f"(SELECT DISTINCT event_id, start_us FROM rollup_gaps WHERE start_us >= :from_us AND start_us < {TAIL_US})"
    return (
        f"WITH {_tail(':from_us', ':until_us')}minutes AS ("
        "SELECT r.start_us, r.count FROM rollups AS r JOIN events AS e ON e.id = r.event_id"
        f" WHERE r.start_us >= :from_us AND r.start_us < {TAIL_US} AND {_NOT_NOTED}"
        f" UNION ALL SELECT n.start_us, count(*) FROM {noted} AS n JOIN events AS e ON e.id = n.event_id"
        f" {_of_minute(storage)} GROUP BY n.start_us"
        f" UNION ALL SELECT {storage.dialect.time_us} / {MINUTE_US} * {MINUTE_US} AS start_us, count(*)"
        f" FROM events AS e {_of_event(storage, TAIL_US, ':until_us')} GROUP BY 1"
        ") SELECT start_us, sum(count) FROM minutes GROUP BY start_us ORDER BY start_us DESC"
    )
