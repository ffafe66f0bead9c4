"""Whether readings are being stored, and the word to webhooks when that changes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import Conflict, StorageError, StorageUnavailable
from webmacs.model import NewDelivery, WebhookEvent
from webmacs.pipeline.runner import Pipeline
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import deliver
from webmacs.webhooks.message import announce
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)

Status = Literal["ok", "degraded"]

OK: Final[Status] = "ok"
DEGRADED: Final[Status] = "degraded"
PING_TIMEOUT_S: Final = 1.0  # no setting: what asks for `/health` gives up after some seconds itself
INTERVAL_S: Final = 1.0
HOLDS: Final = 3  # looks in a row, before a change is one: a storage that is slow once is not ill
REMEMBERED: Final = 100  # changes that could not be told yet


@dataclass(frozen=True, slots=True)
class Report:
    """How the server is. `reachable` is the storage."""

    status: Status
    reachable: bool
    uptime_s: float


class Health:
    """Looks when asked, and now and then by itself."""

    def __init__(self, storage: Storage, pipeline: Pipeline, catalog: Catalog, outbox: Outbox, clock: Clock) -> None:
        self._storage, self._pipeline, self._catalog = storage, pipeline, catalog
        self._outbox, self._clock = outbox, clock
        self._started = clock.monotonic()
        self._status: Status = OK
        self._since_us = 0
        self._held = 0
        self._untold: deque[list[NewDelivery]] = deque(maxlen=REMEMBERED)

    async def report(self) -> Report:
        """Whether readings are being stored, now."""
        reachable = await self._reachable()
        well = reachable and self._pipeline.healthy and not self._catalog.stale
        return Report(OK if well else DEGRADED, reachable, self._clock.monotonic() - self._started)

    async def follow(self) -> None:
        """Tell webhooks of each change that lasts; those of a time without storage when it is back. Until cancelled."""
        while True:
            try:
                self._judge((await self.report()).status)
                await self._tell()
            except Exception:  # noqa: BLE001 - the one task that looks must not end
                _log.exception("looking after the health of the server failed; it goes on")
            await asyncio.sleep(INTERVAL_S)

    def _judge(self, status: Status) -> None:
        if status == self._status:
            self._held = 0
            return
        if not self._held:
            self._since_us = self._clock.now_us()
        self._held += 1
        if self._held < HOLDS:
            return
        _log.log(logging.INFO if status == OK else logging.WARNING, "health: %s, was %s", status, self._status)
        told = announce(
            WebhookEvent.HEALTH_CHANGED,
            self._catalog.current.webhooks,
            time_us=self._since_us,
            now_us=self._clock.now_us(),
            status=status,
            was=self._status,
        )
        if told:
            self._untold.append(told)
        self._status, self._held = status, 0

    async def _tell(self) -> None:
        """Commit what is to be told, in order."""
        while self._untold:
            try:
                await self._storage.write(deliver(self._untold[0]))
            except StorageUnavailable as error:
                _log.debug("a change of health cannot be told yet: %s", error)
                return
            except Conflict:
                pass  # an attempt whose answer was lost had got through
            except StorageError:
                _log.exception("a change of health cannot be told")
            self._untold.popleft()
            self._outbox.ring()

    async def _reachable(self) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._storage.ping()
        except (StorageError, TimeoutError):
            return False
        return True
