"""Readings out, in order of time, however many: from each event's own index, a chunk at a time, merged."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.model import Datapoint, to_datetime
from webmacs.storage.base import Storage

CHUNK: Final = 2_000
AT_ONCE: Final = 50_000  # readings held for all events together
HEADER: Final = ("timestamp", "event_name", "event_public_id", "value", "unit", "datapoint_public_id")


async def merged(
    storage: Storage, snapshot: Snapshot, event_ids: Collection[int], *, from_us: int, until_us: int
) -> AsyncIterator[Datapoint]:
    """The datapoints of some events measured from one time until before another, by time, then id.

    Holds a chunk for each event, which is the smaller the more there are. What is stored meanwhile may be among them.
    """
    size = max(1, min(CHUNK, AT_ONCE // max(1, len(event_ids))))
    waiting: list[tuple[int, int, int, Sequence[Datapoint], int]] = []

    async def refill(event_id: int, after: tuple[int, int]) -> None:
        chunk = await storage.history(snapshot, event_id, after=after, limit=size)
        if chunk and chunk[0].time_us < until_us:
            heapq.heappush(waiting, (chunk[0].time_us, chunk[0].id, event_id, chunk, 0))

    for event_id in event_ids:
        await refill(event_id, (from_us - 1, 1 << 62))
    while waiting:
        _, _, event_id, chunk, index = waiting[0]
        datapoint = chunk[index]
        yield datapoint
        following = chunk[index + 1] if index + 1 < len(chunk) else None
        if following is None:
            heapq.heappop(waiting)
            await refill(event_id, (datapoint.time_us, datapoint.id))
        elif following.time_us < until_us:
            heapq.heapreplace(waiting, (following.time_us, following.id, event_id, chunk, index + 1))
        else:
            heapq.heappop(waiting)


async def as_csv(datapoints: AsyncIterator[Datapoint]) -> AsyncIterator[bytes]:
    """Lines as the contract has them: CRLF, a header, minimal quoting; some thousand at a time."""
    buffer = io.StringIO(newline="")
    lines = csv.writer(buffer)
    lines.writerow(HEADER)
    count = 0
    async for datapoint in datapoints:
        event = datapoint.event
        time = to_datetime(datapoint.time_us).isoformat(timespec="microseconds")
        lines.writerow((time, event.name, event.public_id, repr(datapoint.value), event.unit, datapoint.public_id))
        count += 1
        if count % CHUNK == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
