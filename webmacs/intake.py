"""Readings in, from elsewhere and with their own times: those that are stored already are left out."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from webmacs.catalog import Snapshot
from webmacs.errors import StorageUnavailable
from webmacs.model import Event, Reading
from webmacs.storage.base import Commit, Storage

T = TypeVar("T")

AT_ONCE: Final = 32_000
"""Readings that are looked up together, and a good number to give at a time."""
CHUNK: Final = 2_000
ATTEMPTS: Final = 5
RETRY_S: Final = 1.0
PAUSE_S: Final = 0.01  # after each commit, in which a server on the same file has its turn


class Measured(NamedTuple):
    """A reading from elsewhere. `origin` tells it from others of the same event, time and value; or it is empty."""

    event: Event
    time_us: int
    value: float
    origin: str


_Key = tuple[int, int, float]
"""The event's id, the time, the value."""


class Intake:
    """Stores readings that are not there yet, a bounded number in a commit.

    Two readings of one event, time and value are the same one, unless their origins differ: so what is given twice, or
    again after it broke off, is stored once. It does not reckon with others who store the same at that moment.

    It is the one writer of its storage object.
    """

    def __init__(self, storage: Storage, snapshot: Snapshot, commit_rows: int) -> None:
        self._storage, self._snapshot, self._commit_rows = storage, snapshot, commit_rows
        self._seq = 0
        self._before: dict[_Key, set[str]] = {}  # what was given last, of the same time as what may come next

    async def take(self, measured: Sequence[Measured]) -> int:
        """Store them; how many were not there yet. When it is interrupted, some of them may be stored.

        Quick when they come in order of time, else right all the same.

        Raises:
            StorageUnavailable: it stayed so through several attempts.

        """
        wanted: dict[_Key, tuple[Event, set[str]]] = {}
        for event, time_us, value, origin in measured:
            key = (event.id, time_us, value)
            if key not in wanted:
                wanted[key] = (event, set(self._before.get(key, ())))
            wanted[key][1].add(origin)
        stored = await self._stored(wanted)
        self._remember(wanted, measured[-1].time_us if measured else 0)
        missing = [
            Reading(event, key[1], key[2], self._snapshot.experiment_at(key[1]))
            for key, (event, origins) in wanted.items()
            for _ in range(len(origins) - stored[key])
        ]
        for start in range(0, len(missing), self._commit_rows):
            await self._store(missing[start : start + self._commit_rows])
        return len(missing)

    def _remember(self, given: Mapping[_Key, tuple[Event, set[str]]], last_us: int) -> None:
        before = {key: origins for key, origins in self._before.items() if key[1] == last_us}
        self._before = before | {key: origins for key, (_, origins) in given.items() if key[1] == last_us}

    async def _stored(self, wanted: Iterable[_Key]) -> Counter[_Key]:
        """How often each is there."""
        times: dict[int, set[int]] = {}
        for event_id, time_us, _ in wanted:
            times.setdefault(event_id, set()).add(time_us)
        found: Counter[_Key] = Counter()
        for event_id, moments in times.items():
            for time_us, value in await self._at(event_id, sorted(moments)):
                found[event_id, time_us, value] += 1
        return found

    async def _at(self, event_id: int, moments: Sequence[int]) -> list[tuple[int, float]]:
        """Time and value of what is stored of an event at these moments, in order; what lies between is passed over."""
        found: list[tuple[int, float]] = []
        wanted = frozenset(moments)
        after = (moments[0] - 1, 1 << 62)
        while True:
            chunk = await self._storage.history(self._snapshot, event_id, after=after, limit=CHUNK)
            found += [(point.time_us, point.value) for point in chunk if point.time_us in wanted]
            if len(chunk) < CHUNK:
                return found
            last = chunk[-1]
            place = bisect_left(moments, last.time_us)
            if place == len(moments):
                return found
            after = max((moments[place] - 1, 1 << 62), (last.time_us, last.id))

    async def _store(self, readings: Sequence[Reading]) -> None:
        self._seq += 1
        first_id = await self._patiently(lambda: self._storage.reserve(len(readings)))
        commit = Commit(self._seq, first_id, readings)
        await self._patiently(lambda: self._storage.append(commit))
        await asyncio.sleep(PAUSE_S)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """An attempt that failed may have succeeded; made again, it is the same."""
        for _ in range(ATTEMPTS - 1):
            try:
                return await attempt()
            except StorageUnavailable:
                await asyncio.sleep(RETRY_S)
        return await attempt()
