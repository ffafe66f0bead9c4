"""A whole installation from one storage into another, ids and all; and whether both hold the same.

Configuration is copied anew each time. Readings are copied in order of time, then id, so the newest one that has
arrived says where to go on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.errors import Conflict
from webmacs.export import EVER_US, NEVER_US, merged, span
from webmacs.model import Datapoint, Write
from webmacs.storage import copying, records
from webmacs.storage.base import Row, Storage
from webmacs.storage.triggers import UNAUDITED
from webmacs.tasks import end

DAY_US: Final = 86_400_000_000
MAX_ROOM_US: Final = 20 * 366 * DAY_US  # beyond that a clock was wrong: no partitions for those readings

_READING: Final = Struct("<qqqdq")

Progress = Callable[[float, int], None]
"""Called with the share that is done, and how many rows or readings that are."""


@dataclass(slots=True)
class Sum:
    """How many rows, and a checksum of them in whatever order: the sum of a digest of each."""

    count: int = 0
    total: int = 0

    def add(self, data: bytes) -> None:
        """One more row."""
        self.count += 1
        self.total = (self.total + int.from_bytes(blake2b(data, digest_size=8).digest())) % 2**64

    @property
    def checksum(self) -> str:
        """The checksum for people."""
        return f"{self.total:016x}"


@dataclass(slots=True)
class Sums:
    """What an installation holds: each table of the configuration, and the readings of each day (UTC)."""

    tables: dict[str, Sum] = field(default_factory=dict)
    days: dict[int, Sum] = field(default_factory=dict)

    def readings(self) -> int:
        """How many there are."""
        return sum(day.count for day in self.days.values())


class Copy:
    """A copy on its way. What is read stays as it is; nobody may write to either storage meanwhile."""

    def __init__(self, source: Storage, target: Storage, label: str, commit_rows: int) -> None:
        """`label` says what is copied, to know it again when the copy is gone on with."""
        self._source, self._target, self._label, self._commit_rows = source, target, label, commit_rows

    async def begin(self, now_us: int) -> bool:
        """Lay claim to the target; whether this goes on with a copy that broke off.

        Raises:
            Conflict: it holds something else already, or a server is at work on one of the two.

        """
        for storage, name in ((self._source, "what is to be copied"), (self._target, "the target")):
            if await copying.served(storage):
                raise Conflict(f"a server uses {name}; stop it first")
        begun = await copying.unfinished(self._target)
        if begun is not None and begun != self._label:
            raise Conflict(f"a copy of {begun} was begun in the target; drop the target, or give an empty one")
        if begun is None:
            there = await copying.occupied(self._target)
            if there:
                raise Conflict(f"the target is not empty: there is something in {', '.join(there)}")
            await self._target.write(copying.marked(self._label, now_us))
        return begun is not None

    async def configuration(self, progress: Progress) -> None:
        """Copy all but the readings."""
        given = await copying.last_ids(self._source)
        await self._target.write(*copying.cleared(), *copying.number_on(self._target, given), actor=UNAUDITED)
        rows = 0
        for number, table in enumerate(copying.TABLES):
            async for page in copying.pages(self._source, table):
                await self._target.write(copying.rows_of(self._target, table, page), actor=UNAUDITED)
                rows += len(page)
                progress(number / len(copying.TABLES), rows)

    async def readings(self, now_us: int, progress: Progress) -> None:
        """Copy the readings that have not arrived yet; not those of events that are gone, which nobody can see."""
        snapshot = await records.snapshot(self._source, now_us)
        arrived = max(
            [(point.time_us, point.id) for point in await self._target.latest(snapshot)], default=(EVER_US, 0)
        )
        first_us, last_us = await span(self._source, snapshot, list(snapshot.events_by_id), from_us=arrived[0])
        await self._make_room(max(first_us, last_us - MAX_ROOM_US), last_us)
        count, storing = 0, asyncio.create_task(asyncio.sleep(0))
        try:
            async for run in self._following(snapshot, arrived):
                write = copying.readings_of(self._target, run)
                await storing
                storing = asyncio.create_task(self._store(write))  # while more is read
                count += len(run)
                progress((run[-1].time_us - first_us) / max(1, last_us - first_us), count)
            await storing
        finally:
            await end(storing)

    async def finish(self) -> None:
        """Say that the copy is whole."""
        await self._target.write(copying.unmarked())

    async def _store(self, write: Write) -> None:
        await self._target.write(write)

    async def _following(self, snapshot: Snapshot, after: tuple[int, int]) -> AsyncGenerator[list[Datapoint], None]:
        """The readings after that time and id, as many at a time as a commit may hold."""
        waiting: list[Datapoint] = []
        async for run in merged(self._source, snapshot, snapshot.events_by_id, from_us=after[0], until_us=NEVER_US):
            waiting += itertools.dropwhile(lambda point: (point.time_us, point.id) <= after, run)
            while len(waiting) >= self._commit_rows:
                yield waiting[: self._commit_rows]
                del waiting[: self._commit_rows]
        if waiting:
            yield waiting

    async def _make_room(self, first_us: int, last_us: int) -> None:
        settings = self._target.settings
        step_us = settings.partition_days * (settings.partitions_ahead + 1) * DAY_US
        for time_us in range(first_us, last_us + 1, step_us):
            await self._target.make_room(time_us)


async def sums(storage: Storage, now_us: int, progress: Progress) -> Sums:
    """What a storage holds; reads everything."""
    found = Sums()
    for table in copying.TABLES:
        whole = found.tables[table.name] = Sum()
        async for page in copying.pages(storage, table):
            _add_rows(whole, page)
    snapshot = await records.snapshot(storage, now_us)
    first_us, last_us = await span(storage, snapshot, list(snapshot.events_by_id), from_us=EVER_US)
    count = 0
    async for run in merged(storage, snapshot, snapshot.events_by_id, from_us=EVER_US, until_us=NEVER_US):
        _add_readings(found.days, run)
        count += len(run)
        progress((run[-1].time_us - first_us) / max(1, last_us - first_us), count)
    return found


def _add_rows(whole: Sum, rows: Iterable[Row]) -> None:
    for row in rows:
        whole.add(repr(tuple(row)).encode())


def _add_readings(days: dict[int, Sum], datapoints: Iterable[Datapoint]) -> None:
    pack = _READING.pack
    for row_id, event, time_us, value, experiment in datapoints:
        day = days.get(time_us // DAY_US)
        if day is None:
            day = days[time_us // DAY_US] = Sum()
        # Zero has a sign that not every storage keeps.
        day.add(pack(row_id, event.id, time_us, value + 0.0, experiment.id if experiment else 0))
