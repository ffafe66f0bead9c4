"""How many readings there are, for those who page through them."""

from __future__ import annotations

import asyncio
from typing import Final

from webmacs.clock import Clock
from webmacs.errors import StorageUnavailable
from webmacs.storage import history
from webmacs.storage.base import Storage

SHARE: Final = 20


class Total:
    """Counted again when a reader asks and the last count is old: one that took a second serves for the next twenty, so
    that counting never costs more than a twentieth of the time. When the storage cannot count in time what comes so
    fast, the last count serves for as long.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock
        self._counting = asyncio.Lock()
        self._count: int | None = None
        self._good_until_s = float("-inf")

    async def count(self) -> int:
        """How many there are, or were a moment ago. Raises `StorageUnavailable` when nobody has counted yet."""
        async with self._counting:
            began_s = self._clock.monotonic()
            if self._count is None or began_s >= self._good_until_s:
                try:
                    self._count = await history.total(self._storage)
                except StorageUnavailable:
                    if self._count is None:
                        raise
                ended_s = self._clock.monotonic()
                self._good_until_s = ended_s + SHARE * (ended_s - began_s)
            return self._count
