"""Whether readings are being stored, and the word to webhooks when that changes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import StorageError
from webmacs.model import WebhookEvent
from webmacs.pipeline.runner import Pipeline
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import deliver
from webmacs.webhooks.message import announce
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)

Status = Literal["ok", "degraded"]

OK: Final[Status] = "ok"
DEGRADED: Final[Status] = "degraded"
PING_TIMEOUT_S: Final = 1.0
INTERVAL_S: Final = 1.0
HOLDS: Final = 3  # looks in a row, before a change is one: a storage that is slow once is not ill
REMEMBERED: Final = 100  # changes that could not be told yet


@dataclass(frozen=True, slots=True)
class Report:
    """How the server is. `reachable` is the storage."""

    status: Status
    reachable: bool
    uptime_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """From one status to another."""

    was: Status
    status: Status
    time_us: int


class Health:
    """Looks when asked, and now and then by itself."""

    def __init__(self, storage: Storage, pipeline: Pipeline, catalog: Catalog, outbox: Outbox, clock: Clock) -> None:
        self._storage, self._pipeline, self._catalog = storage, pipeline, catalog
        self._outbox, self._clock = outbox, clock
        self._started = clock.monotonic()
        self._status: Status = OK
        self._since: Change | None = None
        self._held = 0
        self._untold: deque[Change] = deque(maxlen=REMEMBERED)

    async def report(self) -> Report:
        """Whether readings are being stored, now."""
        reachable = await self._reachable()
        well = reachable and self._pipeline.healthy and not self._catalog.stale
        return Report(OK if well else DEGRADED, reachable, self._clock.monotonic() - self._started)

    async def follow(self) -> None:
        """Tell webhooks of each change that lasts; those of a time without storage when it is back. Until cancelled."""
        while True:
            self._judge((await self.report()).status)
            await self._tell()
            await asyncio.sleep(INTERVAL_S)

    def _judge(self, status: Status) -> None:
        if status == self._status:
            self._since, self._held = None, 0
            return
        if self._since is None:
            self._since = Change(self._status, status, self._clock.now_us())
        self._held += 1
        if self._held >= HOLDS:
            _log.log(logging.INFO if status == OK else logging.WARNING, "health: %s, was %s", status, self._status)
            self._untold.append(self._since)
            self._status, self._since, self._held = status, None, 0

    async def _tell(self) -> None:
        while self._untold:
            change = self._untold[0]
            made = announce(
                WebhookEvent.HEALTH_CHANGED,
                self._catalog.current.webhooks,
                time_us=change.time_us,
                now_us=self._clock.now_us(),
                status=change.status,
                was=change.was,
            )
            try:
                if made:
                    await self._storage.write(deliver(made))
            except StorageError as error:
                _log.debug("a change of health cannot be told yet: %s", error)
                return
            self._untold.popleft()
            self._outbox.ring()

    async def _reachable(self) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._storage.ping()
        except (StorageError, TimeoutError):
            return False
        return True
