"""The gate that turns a message into items: what is not a valid item is dropped and counted."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from webmacs.errors import InvalidMessage
from webmacs.model import to_us
from webmacs.pipeline.base import Batch, Gate, Item, StageContext

INVALID_JSON: Final = "Invalid JSON"
NO_VALID_DATAPOINTS: Final = "No valid datapoints in batch"
INVALID_BATCH_ID: Final = "Invalid batch_id: must be a string of 1-64 characters"

EventId = Annotated[str, Field(strict=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class StrictItem(TypedDict):
    """An item as the socket takes it: the value is a JSON number."""

    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    event_public_id: EventId
    timestamp: NotRequired[Any]


class LaxItem(TypedDict):
    """An item as HTTP takes it: a number in quotes or a boolean will do, as existing clients send them."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    event_public_id: EventId
    timestamp: NotRequired[Any]


class StrictMessage(TypedDict):
    """A message in which everything is valid, which is the usual case."""

    datapoints: Annotated[list[StrictItem], Field(min_length=1)]
    batch_id: NotRequired[Any]


UNTIMED: Final = 2  # keys of an item that has no time of its own: those that it must have

_message = TypeAdapter(StrictMessage)
_strict_item = TypeAdapter(StrictItem)
_lax_item = TypeAdapter(LaxItem)
_tuple = tuple.__new__  # what the class of a named tuple calls, without the call


class Validate(Gate):
    """Parse, bound and check a message; time each item.

    A message in which all is valid is parsed and checked in one pass; only when that fails, item by item.
    """

    essential = True
    computes = False  # only finite numbers come out of it

    async def start(self, context: StageContext) -> None:
        """See `Stage`."""
        await super().start(context)
        self._max_batch_size = context.limits.max_batch_size
        self._max_ahead_us = int(context.limits.max_clock_skew_s * 1e6)
        self._max_age_us = int(context.limits.max_reading_age_s * 1e6)

    def process(self, batch: Batch) -> None:
        """See `Gate`.

        Raises:
            InvalidMessage: not JSON, not an object, too many items, no valid item, or an impossible `batch_id`.

        """
        try:
            message: Any = _message.validate_json(batch.payload) if isinstance(batch.payload, str) else None
        except ValidationError:
            message = None
        if message is not None:
            items = message["datapoints"]
            self._admit(batch, message.get("batch_id"), len(items))
        else:
            message = _parse(batch.payload)
            listed = message.get("datapoints")
            raw = listed if isinstance(listed, list) else []
            self._admit(batch, message.get("batch_id"), len(raw))
            items = _valid(raw, lax=batch.lax)
            batch.invalid = len(raw) - len(items)
            if not items:
                raise InvalidMessage(NO_VALID_DATAPOINTS, batch.batch_id)
        received_us = batch.received_us
        if max(map(len, items)) == UNTIMED:  # the usual case, at half of the price
            batch.items = [_tuple(Item, (item["event_public_id"], item["value"], received_us)) for item in items]
        else:
            batch.items = [
                Item(
                    item["event_public_id"],
                    item["value"],
                    received_us if item.get("timestamp") is None else self._time(item, batch),
                )
                for item in items
            ]
        if batch.actor is not None:
            batch.timed = {item["event_public_id"] for item in items if item.get("timestamp") is not None}
        if batch.batch_id is not None:
            batch.digest = _digest(items, batch.invalid)

    def _admit(self, batch: Batch, batch_id: object, size: int) -> None:
        if batch_id is not None:
            if not (isinstance(batch_id, str) and 1 <= len(batch_id) <= 64 and batch_id.isprintable()):  # noqa: PLR2004
                raise InvalidMessage(INVALID_BATCH_ID)
            batch.batch_id = batch_id
        if size > self._max_batch_size:
            raise InvalidMessage(f"Batch too large ({size}), max {self._max_batch_size}", batch.batch_id)

    def _time(self, item: StrictItem | LaxItem, batch: Batch) -> int:
        """When the reading was taken. What cannot be believed is a wrong clock: the time of receipt instead."""
        timestamp = item["timestamp"]
        try:
            moment = datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else None
            time_us = to_us(moment) if moment is not None and moment.tzinfo is not None else None
        except (ValueError, OverflowError):
            time_us = None
        received_us = batch.received_us
        if time_us is None or not received_us - self._max_age_us <= time_us <= received_us + self._max_ahead_us:
            batch.skewed += 1
            batch.wrong_clocks.append(item["event_public_id"])
            return received_us
        return time_us


def _parse(payload: object) -> dict[str, Any]:
    """The message as an object, by the standard library's parser, which accepts lone surrogates and NaN in an item."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise InvalidMessage(INVALID_JSON) from error
    if not isinstance(payload, dict):
        raise InvalidMessage(INVALID_JSON)
    return payload


def _valid(raw: list[Any], *, lax: bool) -> list[StrictItem | LaxItem]:
    check = _lax_item if lax else _strict_item
    items: list[StrictItem | LaxItem] = []
    for item in raw:
        try:
            items.append(check.validate_python(item))
        except ValidationError:
            continue  # counted by the caller, as the difference
    return items


def _digest(items: list[StrictItem | LaxItem], invalid: int) -> str:
    """What tells a repeated batch from another one of the same name, whatever its spacing or transport."""
    contents = repr([(item["event_public_id"], item["value"], item.get("timestamp")) for item in items])
    return blake2b(f"{invalid}{contents}".encode(), digest_size=16).hexdigest()
