"""`/datapoints`: readings in over HTTP, through the same pipeline, and the latest values out."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import PipelineSettings
from webmacs.errors import Conflict, InvalidMessage, NotFound, Overloaded
from webmacs.handlers.http import IDENTITY, PREFIX, Routes, json_object, success, timestamp
from webmacs.latest import LatestValues
from webmacs.model import Role
from webmacs.pipeline.base import Batch, Outcome, Refused, Stored
from webmacs.pipeline.runner import Pipeline
from webmacs.pipeline.validate import NO_VALID_DATAPOINTS

UNDECIDED = "Storage unavailable, batch not confirmed; give it a batch_id to send it again without doubling it"
INVALID_DATAPOINT = "value must be a finite number, event_public_id a text of 1 to 100 characters"
WITHDRAWN = "Storage unavailable, batch not stored"


class DatapointRoutes:
    """The handlers of the resource."""

    def __init__(
        self, pipeline: Pipeline, catalog: Catalog, latest: LatestValues, clock: Clock, settings: PipelineSettings
    ) -> None:
        self._pipeline, self._catalog, self._latest = pipeline, catalog, latest
        self._clock, self._settings = clock, settings

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/datapoints/latest", self.newest)
        routes.add("POST", f"{PREFIX}/datapoints", self.add, needs=Role.OPERATOR)
        routes.add("POST", f"{PREFIX}/datapoints/batch", self.add_batch, needs=Role.OPERATOR)

    async def newest(self, _request: web.Request) -> web.Response:
        """The newest reading of each event that has one: from memory, whatever the history."""
        catalog = self._catalog.current
        return web.json_response(
            [
                {
                    "public_id": datapoint.public_id,
                    "value": datapoint.value,
                    "timestamp": timestamp(datapoint.time_us),
                    "event_public_id": datapoint.event.public_id,
                    "experiment_public_id": datapoint.experiment and datapoint.experiment.public_id,
                }
                for event_id, datapoint in self._latest.all().items()
                if event_id in catalog.events_by_id
            ]
        )

    async def add(self, request: web.Request) -> web.Response:
        """One reading."""
        body = await json_object(request)
        try:
            stored, batch_id = await self._store(request, {"datapoints": [body], "batch_id": body.get("batch_id")})
        except InvalidMessage as error:
            raise (InvalidMessage(INVALID_DATAPOINT) if str(error) == NO_VALID_DATAPOINTS else error) from None
        if not stored.accepted:  # also the second time: the first answer comes again
            event = body["event_public_id"]
            if event not in self._catalog.current.events:
                raise NotFound(f"there is no event {event}")
            raise Conflict(f"event {event} is not linked to an enabled plugin instance")
        return _answer(stored, batch_id)

    async def add_batch(self, request: web.Request) -> web.Response:
        """Up to `pipeline.max_batch_size` readings; those of events that are not linked are left out."""
        body = await json_object(request)
        if body.get("datapoints") == []:
            return success("0 datapoints accepted", 201)
        stored, batch_id = await self._store(request, body)
        return _answer(stored, batch_id)

    async def _store(self, request: web.Request, message: dict[str, Any]) -> tuple[Stored, str | None]:
        """Submit and wait for the commit, so that the client can read what it has written."""
        fate: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def reply(_batch: Batch, outcome: Outcome) -> None:
            fate.set_result(outcome)

        batch = Batch(message, request[IDENTITY].user.id, self._clock.now_us(), lax=True, reply=reply)
        await self._pipeline.submit(batch)
        done, _ = await asyncio.wait([fate], timeout=self._settings.overload_timeout_s)
        if not done:
            raise Overloaded(WITHDRAWN if self._pipeline.withdraw(batch) else UNDECIDED)
        outcome = fate.result()
        if isinstance(outcome, Refused):
            raise (Overloaded if outcome.retry else InvalidMessage)(outcome.message)
        return outcome, batch.batch_id


def _answer(stored: Stored, batch_id: str | None) -> web.Response:
    more = {} if batch_id is None else {"batch_id": batch_id, **stored.numbers()}
    noun = "datapoint" if stored.accepted == 1 else "datapoints"
    return success(f"{stored.accepted} {noun} accepted", 201, **more)
