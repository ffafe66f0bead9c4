"""Readings out, in order of time, however many: from each event's own index, a chunk at a time, merged."""

from __future__ import annotations

import asyncio
import csv
import heapq
import io
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Sequence
from operator import itemgetter
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.model import Datapoint, Event, to_datetime
from webmacs.storage.base import Storage

CHUNK: Final = 2_000
AT_ONCE: Final = 30_000  # readings held for all events together
LATE_US: Final = 60_000_000
"""How long after its end readings may be an experiment's, of a server that had not heard of it."""
EVER_US: Final = -(1 << 62)
NEVER_US: Final = 1 << 62
"""Before and after every reading."""
HEADER: Final = ("timestamp", "event_name", "event_public_id", "value", "unit", "datapoint_public_id")

_BY_ID, _BY_TIME, _ORDER = itemgetter(0), itemgetter(2), itemgetter(2, 0)


async def merged(
    storage: Storage, snapshot: Snapshot, event_ids: Collection[int], *, from_us: int, until_us: int
) -> AsyncGenerator[list[Datapoint], None]:
    """The datapoints of some events measured from one time until before another, by time, then id; some at a time.

    Holds a chunk for each event, which is the smaller the more there are; others have a turn after each list. What is
    stored meanwhile may be among them.
    """
    size = max(1, min(CHUNK, AT_ONCE // max(1, len(event_ids))))
    fronts = _Fronts(until_us)

    async def read(event_id: int, after: tuple[int, int]) -> None:
        chunk = await storage.history(snapshot, event_id, after=after, limit=size)
        fronts.add(event_id, chunk, ends=len(chunk) < size)

    for event_id in event_ids:
        await read(event_id, (from_us - 1, 1 << 62))
    while found := fronts.known():
        for start in range(0, len(found), CHUNK):
            yield found[start : start + CHUNK]
            await asyncio.sleep(0)
        if (next_one := fronts.drained()) is not None:
            await read(*next_one)


async def span(storage: Storage, snapshot: Snapshot, event_ids: Collection[int], *, from_us: int) -> tuple[int, int]:
    """The first and the last time of the readings of some events from one time on: a look at both ends of each."""
    starts = [
        point.time_us
        for event_id in event_ids
        for point in await storage.history(snapshot, event_id, after=(from_us - 1, 1 << 62), limit=1)
    ]
    wanted = frozenset(event_ids)
    ends = [point.time_us for point in await storage.latest(snapshot) if point.event.id in wanted]
    return min(starts, default=0), max(ends, default=0)


class _Fronts:
    """What has been read of each event and not been handed on; and how far it reaches, if there may be more."""

    def __init__(self, until_us: int) -> None:
        self._until_us = until_us
        self._chunks: list[tuple[int, int, int, list[Datapoint]]] = []  # a heap: first time, first id, event, all
        self._ends: list[tuple[int, int, int]] = []  # a heap: last time, last id, event

    def add(self, event_id: int, chunk: list[Datapoint], *, ends: bool) -> None:
        """What follows of an event; `ends`: there is no more."""
        if not ends and chunk[-1].time_us < self._until_us:
            heapq.heappush(self._ends, (*_ORDER(chunk[-1]), event_id))
        self._wait(event_id, chunk[: bisect_left(chunk, self._until_us, key=_BY_TIME)])

    def known(self) -> list[Datapoint]:
        """All in order, up to where the first event has to be read on."""
        limit = self._ends[0][:2] if self._ends else (self._until_us, 0)
        found: list[Datapoint] = []
        while self._chunks and self._chunks[0][:2] <= limit:
            _, _, event_id, chunk = heapq.heappop(self._chunks)
            count = bisect_right(chunk, limit, key=_ORDER)
            found += chunk[:count]
            self._wait(event_id, chunk[count:])
        found.sort(key=_BY_ID)  # twice by a number is quicker than once by two
        found.sort(key=_BY_TIME)
        return found

    def drained(self) -> tuple[int, tuple[int, int]] | None:
        """The event that has to be read on, and after what; None when there is none."""
        if not self._ends:
            return None
        time_us, row_id, event_id = heapq.heappop(self._ends)
        return event_id, (time_us, row_id)

    def _wait(self, event_id: int, chunk: list[Datapoint]) -> None:
        if chunk:
            heapq.heappush(self._chunks, (*_ORDER(chunk[0]), event_id, chunk))


async def as_csv(runs: AsyncIterable[Sequence[Datapoint]]) -> AsyncGenerator[bytes, None]:
    """Lines as the contract has them: CRLF, a header, minimal quoting; some thousand at a time."""
    lines = [f"{_quoted(*HEADER)}\r\n"]
    around: dict[int, tuple[str, str]] = {}  # what stands before a value and behind it, by event
    second, beginning = -1, ""
    async for run in runs:
        for point in run:
            _, event, time_us, value, _ = point
            if time_us // 1_000_000 != second:
                second = time_us // 1_000_000
                beginning = to_datetime(second * 1_000_000).isoformat()[:19]
            texts = around.get(event.id)
            if texts is None:
                texts = around[event.id] = _around(event)
            before, behind = texts
            lines.append(f"{beginning}.{time_us % 1_000_000:06d}+00:00{before}{value!r}{behind}{point.public_id}\r\n")
        if len(lines) >= CHUNK:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def _around(event: Event) -> tuple[str, str]:
    return _quoted("", event.name, event.public_id, ""), _quoted("", event.unit, "")


def _quoted(*fields: str) -> str:
    """Fields as CSV has them, with commas between."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(fields)  # which quotes what is in its line end, so it has to have one
    return line.getvalue().removesuffix("\r\n")
