"""When API tokens were last used: noted in memory, and stored for all of them now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from webmacs.errors import StorageError
from webmacs.storage import accounts
from webmacs.storage.base import Storage

_log = logging.getLogger(__name__)

STORE_S: Final = 60.0


class Uses:
    """The last use of each token since it was stored, by the token's id: as many as there are tokens, at most."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: dict[int, int] = {}

    @property
    def waiting(self) -> Mapping[int, int]:
        """What is not stored yet."""
        return MappingProxyType(self._waiting)

    def used(self, token_id: int, time_us: int) -> None:
        """A token was used."""
        self._waiting[token_id] = time_us

    async def store(self) -> None:
        """Store them all in one transaction. If it cannot be done now, they wait for the next time."""
        if not self._waiting:
            return
        noted = dict(self._waiting)
        try:
            await self._storage.write(accounts.used(noted))
        except StorageError as error:
            _log.debug("when API tokens were used has to wait: %s", error)
            return
        self._waiting = {
            token_id: time_us for token_id, time_us in self._waiting.items() if noted.get(token_id) != time_us
        }

    async def run(self) -> None:
        """Store them now and then. Runs until cancelled."""
        while True:
            await asyncio.sleep(STORE_S)
            await self.store()
