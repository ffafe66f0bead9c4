"""Readings as they come over the wire, from any server that speaks the protocol: what is not understood is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One reading as it came over the wire. `raw` is all that was said of it."""

    event: str
    value: float
    time: datetime
    experiment: str | None
    raw: Mapping[str, Any]


def in_message(text: str) -> list[Point]:
    """The readings in a message of the stream; none in one of another type, or in one that is not understood."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(message, dict) or message.get("type") != "datapoints_batch":
        return []
    return in_list(message.get("datapoints"))


def in_list(listed: Any) -> list[Point]:
    """The readings in a list of them, as polling has it."""
    if not isinstance(listed, list):
        return []
    return [point for item in listed if (point := _point(item)) is not None]


def _point(item: Any) -> Point | None:
    if not isinstance(item, dict):
        return None
    event, value, experiment = item.get("event_public_id"), item.get("value"), item.get("experiment_public_id")
    if not isinstance(event, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    if not math.isfinite(value):
        return None
    try:
        time = datetime.fromisoformat(item["timestamp"])
    except (KeyError, TypeError, ValueError):
        time = datetime.now(UTC)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)  # as the specification's example has it
    return Point(event, value, time.astimezone(UTC), experiment if isinstance(experiment, str) else None, item)
