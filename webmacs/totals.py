"""How many readings there are, for those who page through them."""

from __future__ import annotations

import asyncio
from typing import Final

from webmacs.clock import Clock
from webmacs.storage import history
from webmacs.storage.base import Storage

SHARE: Final = 20


class Total:
    """Counted again when a reader asks and the last count is old: one that took a second serves for the next twenty, so
    that counting never costs more than a twentieth of the time.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage, self._clock = storage, clock
        self._counting = asyncio.Lock()
        self._count = 0
        self._good_until_s = float("-inf")

    async def count(self) -> int:
        """How many there are, or were a moment ago."""
        async with self._counting:
            began_s = self._clock.monotonic()
            if began_s >= self._good_until_s:
                self._count = await history.total(self._storage)
                ended_s = self._clock.monotonic()
                self._good_until_s = ended_s + SHARE * (ended_s - began_s)
            return self._count
