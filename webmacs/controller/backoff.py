"""How long to wait before the next attempt: longer each time, and never all at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Pauses that double from `first_s` to `most_s`, each cut at random to between a half and the whole of it."""

    def __init__(
        self,
        first_s: float,
        most_s: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s, self._most_s, self._chance = first_s, most_s, chance
        self._next_s = first_s

    def pause_s(self) -> float:
        """The next one."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._most_s)
        return pause_s * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """It has worked: begin anew."""
        self._next_s = self._first_s
