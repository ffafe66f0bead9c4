"""How often somebody may do something, or something may be said: so many a minute. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from webmacs.clock import Clock

MINUTE_S: Final = 60.0


class Buckets:
    """So many at once, and then as many a minute, for each key.

    Only the `max_keys` seen last are remembered; one that is forgotten begins with a full bucket.
    """

    def __init__(self, per_minute: int, max_keys: int, clock: Clock) -> None:
        self._size, self._max_keys, self._clock = float(per_minute), max_keys, clock
        self._drawn: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how much was left, and when

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._drawn)

    def draw(self, key: str) -> float:
        """Take one. 0: taken; else in how many seconds there will be one."""
        now, rate = self._clock.monotonic(), self._size / MINUTE_S
        left, then = self._drawn.get(key, (self._size, now))
        left = min(self._size, left + (now - then) * rate)
        if left < 1:
            return (1 - left) / rate
        self._drawn[key] = (left - 1, now)
        self._drawn.move_to_end(key)
        if len(self._drawn) > self._max_keys:
            self._drawn.popitem(last=False)
        return 0.0


class Ration:
    """So many a minute, for what anybody outside can cause and somebody has to read. `held_back` counts the others."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._since_s = -MINUTE_S
        self._taken = 0
        self.held_back = 0

    def take(self, now_s: float) -> bool:
        """Whether there is one left of this minute, by whatever clock."""
        if not 0 <= now_s - self._since_s < MINUTE_S:
            self._since_s, self._taken = now_s, 0
        if self._taken >= self._per_minute:
            self.held_back += 1
            return False
        self._taken += 1
        return True
