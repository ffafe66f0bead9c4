"""What goes over the wire, as text and as what it means. No connection, no clock.

`docs/protocol.md` describes it. What a server says that is not understood is no error: it may be newer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from webmacs.controller.batch import Outcome, Refused, Stored
from webmacs.controller.frames import Reading
from webmacs.model import to_datetime, to_us

TELEMETRY: Final = "/ws/controller/telemetry"
API: Final = "/api/v1"
REUSED: Final = "batch_id was used before with other contents"
ITEM_BYTES: Final = 104  # of an item without its event: the longest value, a timestamp, the names


@dataclass(frozen=True, slots=True)
class Hello:
    """What a server says first to controllers that ask for it. `time_us` is its clock."""

    version: str
    time_us: int
    max_batch_size: int
    max_message_bytes: int
    features: frozenset[str]


@dataclass(frozen=True, slots=True)
class Setpoint:
    """A value that somebody has given an output, at that time of the server's clock."""

    event: str
    value: float
    time_us: int


@dataclass(frozen=True, slots=True)
class Setpoints:
    """Those that are new; at first the newest of each output."""

    setpoints: tuple[Setpoint, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """Instances, channels or events were changed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the batch of that id; None: of one that had none."""

    batch_id: str | None
    outcome: Outcome


Message = Hello | Setpoints | Changed | Answer


# -- to the server -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _quoted(event: str) -> str:
    return json.dumps(event, ensure_ascii=event.isascii() or not _encodable(event))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which the server will refuse in its own words
        return False
    return True


@lru_cache(maxsize=4096)
def item_bytes(event: str) -> int:
    """How long an item of that event may be in a message, in bytes."""
    return len(_quoted(event).encode()) + ITEM_BYTES


def timestamp(time_us: int) -> str:
    """As the protocol writes it: UTC, six digits of fraction."""
    return to_datetime(time_us).isoformat(timespec="microseconds")


def item(reading: Reading, time_us: int) -> str:
    """One reading at that time, as JSON."""
    return (
        f'{{"value":{reading.value!r},"event_public_id":{_quoted(reading.event)},"timestamp":"{timestamp(time_us)}"}}'
    )


def batch_text(items: Iterable[str], batch_id: str) -> str:
    """A message of such items, as JSON."""
    return f'{{"datapoints":[{",".join(items)}],"batch_id":{json.dumps(batch_id)}}}'


def status_text(instances: Sequence[Mapping[str, Any]]) -> str:
    """How the instances are doing."""
    return json.dumps({"type": "status", "instances": list(instances)}, ensure_ascii=False, separators=(",", ":"))


# -- from the server ---------------------------------------------------------------------------------------------------


def parse(text: str) -> Message | None:
    """What a message means; None for what is not understood."""
    try:
        message = json.loads(text)
        reader = _READERS.get(message["type"])
        return None if reader is None else reader(message)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def outcome(numbers: Mapping[str, Any]) -> Stored:
    """From the numbers of an acknowledgement."""
    return Stored(
        int(numbers["accepted"]),
        int(numbers.get("invalid", 0)),
        int(numbers.get("unlinked", 0)),
        int(numbers.get("skewed", 0)),
        duplicate=bool(numbers.get("duplicate", False)),
    )


def refusal(message: str, *, retry: bool, readings: int) -> Outcome:
    """From an error. A batch that the server has already, with times that we had mended otherwise then, is stored: its
    id is given to these readings and to no others.
    """
    if REUSED in message:
        return Stored(readings, duplicate=True)
    return Refused(message, retry)


def setpoint(given: Mapping[str, Any]) -> Setpoint:
    """From a message, or from a reading of the latest ones. Raises `ValueError` and the like for what is none."""
    value = float(given["value"])
    moment = datetime.fromisoformat(given["timestamp"])
    if not math.isfinite(value) or moment.tzinfo is None:
        raise ValueError("a setpoint is a finite number at a time with an offset")
    return Setpoint(str(given["event_public_id"]), value, to_us(moment))


def _hello(message: Mapping[str, Any]) -> Hello:
    return Hello(
        str(message["version"]),
        to_us(datetime.fromisoformat(message["time"])),
        max(int(message["max_batch_size"]), 1),
        max(int(message["max_message_bytes"]), 1),
        frozenset(str(feature) for feature in message["features"]),
    )


def _acknowledgement(message: Mapping[str, Any]) -> Answer:
    return Answer(str(message["batch_id"]), outcome(message))


def _error(message: Mapping[str, Any]) -> Answer:
    batch_id = message.get("batch_id")
    said = Refused(str(message["message"]), bool(message.get("retry", False)))
    return Answer(None if batch_id is None else str(batch_id), said)


def _setpoints(message: Mapping[str, Any]) -> Setpoints:
    return Setpoints(tuple(setpoint(given) for given in message["setpoints"]))


def _changed(_message: Mapping[str, Any]) -> Changed:
    return Changed()


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Message]]] = {
    "hello": _hello,
    "ack": _acknowledgement,
    "error": _error,
    "setpoints": _setpoints,
    "changed": _changed,
}
