"""Values that might be true, for devices in demo mode: what is measured wanders, what is set stays."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Final

from webmacs.plugins.description import ChannelDescription
from webmacs.plugins.device import Sample

SLOW_S: Final = 97.0
FAST_S: Final = 13.0
SWITCH: Final = "bool"  # the unit of what is on or off


class Pretence:
    """Stands in for the hardware of one device."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._set: dict[str, float] = {}

    def read(self, channels: Iterable[ChannelDescription]) -> list[Sample]:
        """A value of each; of what can be set, the one that was set last, at first the safe one."""
        now = self._monotonic()
        return [Sample(channel.channel_id, self._value(channel, now)) for channel in channels]

    def write(self, channel: ChannelDescription, value: float) -> float:
        """Set it, and read it back."""
        self._set[channel.channel_id] = value
        return value

    def _value(self, channel: ChannelDescription, now: float) -> float:
        if channel.settable:
            at_first = channel.min_value if channel.safe_value is None else channel.safe_value
            return self._set.get(channel.channel_id, at_first)
        return plausible(channel, now)


def plausible(channel: ChannelDescription, seconds: float) -> float:
    """What the channel might measure at that time: within its range, smooth, and its own. A pure function."""
    phase = zlib.crc32(channel.channel_id.encode()) / 2**32
    wave = 0.8 * math.sin(math.tau * (seconds / SLOW_S + phase)) + 0.2 * math.sin(math.tau * (seconds / FAST_S + phase))
    if channel.unit == SWITCH:
        return channel.max_value if wave > 0 else channel.min_value
    middle = channel.min_value / 2 + channel.max_value / 2
    reach = (channel.max_value / 2 - channel.min_value / 2) / 2  # the middle half of the range
    return min(max(middle + reach * wave, channel.min_value), channel.max_value)  # halves of very small ones are 0
