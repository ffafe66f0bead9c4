"""When each key last passed, and whether it may pass again: leading edge only. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Cooldown(Generic[K]):
    """A key that has passed does not pass again until its interval is over.

    What passes within a transaction counts at once, and for good with `keep`; `forget` takes it back. Times are wall
    time in microseconds, as they have to survive a restart. A clock that was set back by more than an interval does
    not hold a key up: what lies further in the future than that cannot have happened.
    """

    def __init__(self) -> None:
        self._kept: dict[K, int] = {}
        self._tentative: dict[K, int] = {}

    def passes(self, key: K, now_us: int, interval_us: int, last_us: int | None = None) -> bool:
        """Whether the key passes now. `last_us` is when it last did, for a key that is not known here yet."""
        last = self._tentative.get(key, self._kept.get(key, last_us))
        if last is not None and abs(now_us - last) < interval_us:
            return False
        self._tentative[key] = now_us
        return True

    @property
    def tentative(self) -> Mapping[K, int]:
        """What has passed in the transaction under way, and when last."""
        return self._tentative

    def keep(self) -> None:
        """The transaction has committed."""
        self._kept.update(self._tentative)
        self._tentative = {}

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._tentative = {}

    def retain(self, keys: Collection[K]) -> None:
        """Drop what is kept of keys that are gone."""
        for key in self._kept.keys() - set(keys):
            del self._kept[key]
