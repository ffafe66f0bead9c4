"""`/plugins/status`: what a controller says of its plugin instances, over HTTP or on its socket."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from webmacs.config import explain
from webmacs.errors import InvalidMessage
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import Call, Done, done
from webmacs.model import Role, Scope
from webmacs.statuses import Report, Status, Statuses

MAX_MESSAGE_LENGTH: Final = 500
_BATCH: Final = '{"datapoints"'
_STATUS: Final = '"status"'


class Reported(BaseModel):
    """How one instance is doing, and a line about it for a person."""

    public_id: Annotated[str, Field(min_length=1, max_length=100)]
    status: Status
    message: Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH)] | None = None


class StatusReport(BaseModel):
    """How instances are doing. What is said of those that are not there, or not this sender's, is left out."""

    instances: list[Reported]

    @property
    def reports(self) -> list[Report]:
        """The same as `webmacs.statuses` has them."""
        return [Report(one.public_id, one.status, one.message) for one in self.instances]


class StatusRoutes:
    """The handlers of the resource."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def register(self, routes: Routes) -> None:
        """Add the route."""
        routes.add("POST", f"{PREFIX}/plugins/status", self.report, needs=Role.OPERATOR, scope=Scope.INGEST)

    async def report(self, call: Call[StatusReport]) -> Done:
        """Say how plugin instances are doing; it is shown until nothing more is said for a while."""
        taken = self._statuses.hear(call.body.reports, call.identity)
        return done(f"{taken} of {len(call.body.instances)} statuses taken")


def status_message(text: str) -> dict[str, Any] | None:
    """The message, if it is one about statuses; None for one with readings, and whatever else is not ours to judge.

    Readings are what comes again and again: as they usually begin, one comparison tells them, and in any other order of
    keys the lack of a word does. (Nobody escapes letters of ASCII.)
    """
    if text.startswith(_BATCH) or _STATUS not in text:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "status" or "datapoints" in message:
        return None
    return message


def reports_of(message: dict[str, Any]) -> list[Report]:
    """What a message about statuses says. Raises `InvalidMessage`, with the first thing that is wrong."""
    try:
        return StatusReport.model_validate(message).reports
    except ValidationError as error:
        raise InvalidMessage(f"Invalid status: {explain(error).partition('; ')[0]}") from None
