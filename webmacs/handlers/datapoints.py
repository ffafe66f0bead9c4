"""`/datapoints`: readings in over HTTP, through the same pipeline, and the latest values out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, NotRequired, cast

from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import PipelineSettings
from webmacs.errors import Conflict, InvalidMessage, NotFound, Overloaded
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.newest import EncodedNewest
from webmacs.handlers.resource import Call, Done, Encoded, Timestamp, timestamp
from webmacs.latest import LatestValues
from webmacs.model import Datapoint, Role, Scope
from webmacs.pipeline.base import Batch, Outcome, Refused, Stored
from webmacs.pipeline.runner import Pipeline
from webmacs.pipeline.validate import NO_VALID_DATAPOINTS

UNDECIDED = "Storage unavailable, batch not confirmed; give it a batch_id to send it again without doubling it"
INVALID_DATAPOINT = "value must be a finite number, event_public_id a text of 1 to 100 characters"
WITHDRAWN = "Storage unavailable, batch not stored"
UNLINKED = "event {event} is not linked to an enabled plugin instance"
NOT_YOURS = "event {event} is not linked to the plugin instance of this token, or that is disabled"


class DatapointShape(TypedDict):
    """A stored reading."""

    public_id: str
    value: float
    timestamp: Timestamp
    event_public_id: str
    experiment_public_id: str | None


_POINT = TypeAdapter(DatapointShape)


class NewDatapoint(BaseModel):
    """One reading. Numbers in quotes and booleans are taken, too."""

    value: float
    event_public_id: Annotated[str, Field(min_length=1, max_length=100)]
    timestamp: str | None = None


class NewDatapoints(BaseModel):
    """Readings, those that are not valid are left out."""

    datapoints: list[NewDatapoint]
    batch_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class NewDatapointOnce(NewDatapoint):
    """One reading that may be sent again."""

    batch_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Accepted(Done):
    """The `message` begins with the number of readings accepted; the rest is for who gave a `batch_id`."""

    batch_id: NotRequired[str]
    accepted: NotRequired[int]
    rejected: NotRequired[int]
    invalid: NotRequired[int]
    unlinked: NotRequired[int]
    skewed: NotRequired[int]
    duplicate: NotRequired[bool]


class DatapointRoutes:
    """The handlers of the resource."""

    def __init__(
        self, pipeline: Pipeline, catalog: Catalog, latest: LatestValues, clock: Clock, settings: PipelineSettings
    ) -> None:
        self._pipeline, self._catalog = pipeline, catalog
        self._newest = EncodedNewest(catalog, latest, lambda datapoint: _POINT.dump_json(datapoint_shape(datapoint)))
        self._clock, self._settings = clock, settings

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        routes.add("GET", f"{PREFIX}/datapoints/latest", self.newest, limited=False, own=True)
        sending: Any = {"needs": Role.OPERATOR, "scope": Scope.INGEST, "status": 201, "limited": False}
        routes.add("POST", f"{PREFIX}/datapoints", self.add, fails=(404, 409, 503), **sending)
        routes.add("POST", f"{PREFIX}/datapoints/batch", self.add_batch, fails=(503,), **sending)

    async def newest(self, call: Call) -> Encoded[list[DatapointShape]]:
        """The newest reading of each event that has one: from memory, whatever the history.

        A token of scope `ingest` that is bound to a plugin instance is shown those of events that are linked to it.
        """
        own = call.identity.plugin_id
        wanted = None if own is None else frozenset(self._catalog.current.events_by_plugin.get(own, ()))
        return Encoded(b"[" + b",".join((await self._newest.fragments(wanted)).values()) + b"]")

    async def add(self, call: Call[Annotated[dict[str, Any], NewDatapointOnce]]) -> Accepted:
        """One reading."""
        body = call.body
        try:
            stored, batch_id = await self._store(call, {"datapoints": [body], "batch_id": body.get("batch_id")})
        except InvalidMessage as error:
            raise (InvalidMessage(INVALID_DATAPOINT) if str(error) == NO_VALID_DATAPOINTS else error) from None
        if stored.unlinked:  # also the second time: the first answer comes again
            event = body["event_public_id"]
            if event not in self._catalog.current.events:
                raise NotFound(f"there is no event {event}")
            raise Conflict((UNLINKED if call.identity.plugin_id is None else NOT_YOURS).format(event=event))
        return _answer(stored, batch_id)

    async def add_batch(self, call: Call[Annotated[dict[str, Any], NewDatapoints]]) -> Accepted:
        """Up to `pipeline.max_batch_size` readings; those of events that are not linked are left out."""
        if call.body.get("datapoints") == []:
            return {"status": "success", "message": "0 datapoints accepted"}
        stored, batch_id = await self._store(call, call.body)
        return _answer(stored, batch_id)

    async def _store(self, call: Call[Any], message: dict[str, Any]) -> tuple[Stored, str | None]:
        """Submit and wait for the commit, so that the client can read what it has written."""
        fate: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def reply(_batch: Batch, outcome: Outcome) -> None:
            fate.set_result(outcome)

        sender, now_us = call.identity, self._clock.now_us()
        # Who may only send what was measured gives no setpoints.
        actor = None if sender.scope is Scope.INGEST else sender.actor
        batch = Batch(message, sender.user.id, now_us, lax=True, plugin_id=sender.plugin_id, actor=actor, reply=reply)
        await self._pipeline.submit(batch)
        done, _ = await asyncio.wait([fate], timeout=self._settings.overload_timeout_s)
        if not done:
            raise Overloaded(WITHDRAWN if self._pipeline.withdraw(batch) else UNDECIDED)
        outcome = fate.result()
        if isinstance(outcome, Refused):
            raise (Overloaded if outcome.retry else InvalidMessage)(outcome.message)
        return outcome, batch.batch_id


def _answer(stored: Stored, batch_id: str | None) -> Accepted:
    noun = "datapoint" if stored.accepted == 1 else "datapoints"
    answer: Accepted = {"status": "success", "message": f"{stored.accepted} {noun} accepted"}
    if batch_id is not None:
        answer["batch_id"] = batch_id
        answer.update(cast(Accepted, stored.numbers()))
    return answer


def datapoint_shape(datapoint: Datapoint) -> DatapointShape:
    """A reading as the contract shows one."""
    return {
        "public_id": datapoint.public_id,
        "value": datapoint.value,
        "timestamp": timestamp(datapoint.time_us),
        "event_public_id": datapoint.event.public_id,
        "experiment_public_id": None if datapoint.experiment is None else datapoint.experiment.public_id,
    }
