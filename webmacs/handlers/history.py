"""`/datapoints`, looking back: pages of all readings, a stretch of time for a chart, single ones."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Self

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import NotFound
from webmacs.handlers.datapoints import DatapointShape, datapoint_shape
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.moments import Moment
from webmacs.handlers.resource import Call, Done, Encoded, Page, PageQuery, done
from webmacs.latest import LatestValues
from webmacs.model import Datapoint, Event, Role, Scope
from webmacs.storage import history
from webmacs.storage.base import Storage
from webmacs.storage.history import MIN_POINTS, Key
from webmacs.totals import Total

MAX_SERIES = 20
MAX_MINUTES = 10 * 24 * 60
MAX_POINTS = 2000
MAX_STRETCH_US = 400 * 86_400_000_000
MINUTE_US = 60_000_000
AT_ONCE = 100

_POINTS = TypeAdapter(list[DatapointShape])


class SeriesQuery(BaseModel):
    """Which events, which stretch of time, and in how many points each at most.

    The stretch is the last `minutes`, or all `from` a time `until` another, which is now unless it is said.
    """

    event_public_ids: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=MAX_SERIES)]
    minutes: Annotated[int, Field(ge=1, le=MAX_MINUTES)] = 60
    max_points: Annotated[int, Field(ge=MIN_POINTS, le=MAX_POINTS)] = 500
    begin: Annotated[Moment | None, Field(alias="from")] = None
    until: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until is not None and self.begin is None:
            raise ValueError("until: needs from, the time at which the stretch begins")
        if self.begin is not None and self.until is not None:
            stretch_us = self.until - self.begin
            if not 0 < stretch_us <= MAX_STRETCH_US:
                raise ValueError("until: must be after from, by 400 days at most")
        return self


class HistoryRoutes:
    """The handlers of the resource."""

    def __init__(
        self, storage: Storage, catalog: Catalog, latest: LatestValues, clock: Clock, turns: asyncio.Semaphore
    ) -> None:
        self._storage, self._catalog, self._latest, self._clock = storage, catalog, latest, clock
        self._total, self._turns = Total(storage, clock), turns

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/datapoints", f"{PREFIX}/datapoints/{{public_id}}"
        routes.add("GET", every, self.listed)
        routes.add("POST", f"{every}/series", self.series, scope=Scope.READ)
        routes.add("GET", one, self.show)
        routes.add("DELETE", one, self.remove, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[DatapointShape]:
        """A page of readings, the newest first. `total` may be some seconds old where there are very many."""
        async with self._turns:
            found = await history.page(
                self._storage,
                self._catalog.current,
                self._clock.now_us(),
                offset=call.query.offset,
                limit=call.query.page_size,
            )
            total = await self._total.count()
        return call.query.holding([datapoint_shape(datapoint) for datapoint in found], total)

    async def series(self, call: Call[SeriesQuery]) -> Encoded[dict[str, list[DatapointShape]]]:
        """The readings of some events in a stretch of time, by time.

        Of an event that has more than `max_points`: the smallest and the largest of equal intervals, the first and the
        last. An event that is not known has none.
        """
        query, events = call.body, self._catalog.current.events
        parts = []
        for public_id in dict.fromkeys(query.event_public_ids):
            event = events.get(public_id)
            points = await self._encoded(await self._stretch(event, query)) if event else b""
            parts.append(json.dumps(public_id, ensure_ascii=False).encode() + b":[" + points + b"]")
        return Encoded(b"{" + b",".join(parts) + b"}")

    async def show(self, call: Call) -> DatapointShape:
        """One reading."""
        return datapoint_shape((await self._found(call.named()))[1])

    async def remove(self, call: Call) -> Done:
        """Delete one reading."""
        key, datapoint = await self._found(call.named())
        await history.remove(self._storage, datapoint, call.actor, self._clock.now_us())
        known = self._catalog.current
        newest = await history.newest(self._storage, known, key.event_id)
        self._latest.replace(datapoint, newest)
        return done("datapoint removed")

    async def _encoded(self, datapoints: list[Datapoint]) -> bytes:
        """The items of a list, encoded some at a time."""
        some = []
        for start in range(0, len(datapoints), AT_ONCE):
            points = [datapoint_shape(datapoint) for datapoint in datapoints[start : start + AT_ONCE]]
            some.append(_POINTS.dump_json(points)[1:-1])
            await asyncio.sleep(0)  # two thousand would hold up those who send for five milliseconds
        return b",".join(some)

    async def _stretch(self, event: Event, query: SeriesQuery) -> list[Datapoint]:
        now_us = self._clock.now_us()
        if query.begin is None:
            from_us = now_us - query.minutes * MINUTE_US
        else:
            from_us = max(query.begin, now_us - MAX_STRETCH_US) if query.until is None else query.begin
        if query.until is None:
            newest = self._latest.all().get(event.id)
            until_us = max(now_us, newest.time_us if newest else 0) + 1  # the clock of its controller may be ahead
        else:
            until_us = query.until + 1
        if from_us >= until_us:
            return []
        async with self._turns:
            return await history.series(
                self._storage,
                self._catalog.current,
                event.id,
                from_us=from_us,
                until_us=until_us,
                max_points=query.max_points,
            )

    async def _found(self, public_id: str) -> tuple[Key, Datapoint]:
        key = Key.of(public_id)
        datapoint = None if key is None else await history.datapoint(self._storage, self._catalog.current, key)
        if key is None or datapoint is None:
            raise NotFound(f"there is no datapoint {public_id}")
        return key, datapoint
