"""From payloads to values with their time, and back. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from webmacs.plugins.mqtt.config import VALUE, MqttChannel

MAX_BYTES: Final = 256 * 1024
LATEST_NS: Final = 253_402_300_800 * 10**9  # the end of the year 9999
_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_WORDS: Final = {"true": 1.0, "false": 0.0}


class Payload:
    """What a message holds, looked into once for all channels of its topic."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def value(self, channel: MqttChannel) -> float:
        """The channel's value. Raises `ValueError`: there is none."""
        found = _at(self._document, channel.pointer) if channel.pointer else self._text
        return _number(found, channel.words)

    def time_ns(self, channel: MqttChannel) -> int | None:
        """When it was measured, if the payload says that. Raises `ValueError`: not where it should."""
        if channel.time_pointer is None:
            return None
        found = _at(self._document, channel.time_pointer)
        if isinstance(found, str):
            moment = datetime.fromisoformat(found)
            if moment.tzinfo is None:
                raise ValueError(f"the time {found!r} has no time zone")
            return _moment(moment.timestamp(), 10**9)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise ValueError(f"the time is {_shown(found)}")  # noqa: TRY004 - it is what the sender has said
        return _moment(found, _NS[channel.time_unit])

    @cached_property
    def _text(self) -> str:
        self._check_length()
        return self._data.decode().strip()  # what is no UTF-8 is a ValueError

    @cached_property
    def _document(self) -> Any:
        self._check_length()
        try:
            return json.loads(self._data)
        except RecursionError:
            raise ValueError("the payload is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"the payload is no JSON: {error}") from None

    def _check_length(self) -> None:
        if len(self._data) > MAX_BYTES:
            raise ValueError(f"the payload has {len(self._data):,} bytes, and {MAX_BYTES:,} are the most")


def command(channel: MqttChannel, value: float) -> str:
    """What is sent to set the channel: the word for the value, if there is one, in the template."""
    words = [word for word, meaning in channel.words.items() if meaning == value]
    return channel.template.replace(VALUE, words[0] if words else f"{value:.15g}")


def _at(document: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to. Raises `ValueError`."""
    found = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and key.isascii() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise ValueError(f"there is no {pointer} in the payload")
    return found


def _number(found: Any, words: Mapping[str, float]) -> float:
    if isinstance(found, str):
        if found in words:
            return words[found]
        if found in _WORDS:
            return _WORDS[found]
        value = _float(found)
    elif isinstance(found, (bool, int, float)):
        value = _float(found)
    else:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{_shown(found)} is no number")
    return value


def _float(found: str | float) -> float:
    try:
        return math.nan if isinstance(found, str) and "_" in found else float(found)
    except (ValueError, OverflowError):
        return math.nan


def _moment(number: float, unit_ns: int) -> int:
    if not math.isfinite(number) or not 0 < number * unit_ns < LATEST_NS:
        raise ValueError(f"the time is {number}, which is no moment since 1970")
    return round(Fraction(number) * unit_ns)  # a float has no room for nanoseconds


def _shown(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004 - a line's length
