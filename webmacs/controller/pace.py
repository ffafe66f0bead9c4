"""At most so many a second: a bucket that fills steadily, and may be overdrawn by the last that fits. No clock."""

from __future__ import annotations


class Pace:
    """`rate` a second, and after a pause what a quarter of a second holds."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._most = rate, rate / 4
        self._left, self._at = self._most, now

    def wait_s(self, now: float) -> float:
        """How long until something may go; 0: now."""
        self._fill(now)
        return max(-self._left / self._rate, 0.0)

    def spend(self, amount: int, now: float) -> None:
        """So much has gone."""
        self._fill(now)
        self._left -= amount

    def _fill(self, now: float) -> None:
        self._left = min(self._left + (now - self._at) * self._rate, self._most)
        self._at = now
