"""At most one item per key and interval, leading and trailing edge. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Throttle(Generic[K, T]):
    """The first item of a key passes at once and opens a window of `interval_s` seconds; of those that arrive within
    the window only the newest is kept, and passes when the window ends, opening the next one. So the last item of a
    burst always passes, and no two of one key are less than `interval_s` apart.

    Keeps state only for keys with an open window.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._opened: dict[K, float] = {}  # in order of opening, so those that end first come first
        self._pending: dict[K, T] = {}

    def offer(self, key: K, item: T, now: float) -> bool:
        """Whether the item passes now; otherwise it waits for `flush`, in place of what waited before."""
        if key in self._opened:
            self._pending[key] = item
            return False
        self._opened[key] = now
        return True

    def flush(self, now: float) -> list[tuple[K, T]]:
        """End the windows that are over, and return what passes with that."""
        passed = []
        while self._opened:
            key, opened = next(iter(self._opened.items()))
            if now - opened < self._interval_s:
                break
            del self._opened[key]
            if key in self._pending:
                passed.append((key, self._pending.pop(key)))
                self._opened[key] = now
        return passed

    def next_flush(self) -> float | None:
        """When the first window ends, or None while nothing waits."""
        if not self._pending:
            return None
        return next(iter(self._opened.values())) + self._interval_s

    def clear(self) -> None:
        """Forget everything."""
        self._opened.clear()
        self._pending.clear()
