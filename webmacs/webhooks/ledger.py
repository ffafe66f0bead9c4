"""What became of attempts, on its way back to the storage: one transaction for all that waits."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import StorageError, StorageUnavailable
from webmacs.metrics import Metrics
from webmacs.model import DeliveryStatus, Write
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import Outcome, attempted
from webmacs.storage.logbook import LogEntry
from webmacs.storage.webhooks import switch_off

_log = logging.getLogger(__name__)

AGAIN_S: Final = 0.5
RESULTS: Final = {
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.PENDING: "failed",
    DeliveryStatus.DEAD_LETTER: "given_up",
}


class Entry(NamedTuple):
    """An outcome, and who waits for it to be stored."""

    outcome: Outcome
    gone: bool
    stored: asyncio.Future[None]


class Ledger:
    """Outcomes, bounded by the attempts that wait for theirs to be stored."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock, metrics: Metrics) -> None:
        self._storage, self._catalog, self._clock = storage, catalog, clock
        self._attempts = {
            status: metrics.counter("webhook_attempts", "Attempts to deliver, by what came of them", result=result)
            for status, result in RESULTS.items()
        }
        self._waiting: list[Entry] = []
        self._wake = asyncio.Event()

    async def enter(self, outcome: Outcome, *, gone: bool) -> None:
        """Returns when it is stored. `gone`: the receiver wants no more, and its webhook is switched off with it.

        Raises:
            StorageError: it cannot be stored, ever.

        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append(Entry(outcome, gone, stored))
        self._wake.set()
        await stored

    async def run(self) -> None:
        """Store what waits, all of it at a time, again and again while the storage is away. Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            entries, self._waiting = self._waiting, []
            error = await self._store(entries)
            for entry in entries:
                if entry.stored.done():  # cancelled, as who waited
                    continue
                if error is None:
                    entry.stored.set_result(None)
                else:
                    entry.stored.set_exception(error)

    async def _store(self, entries: list[Entry]) -> StorageError | None:
        outcomes = [entry.outcome for entry in entries]
        gone = {entry.outcome.delivery.webhook_id for entry in entries if entry.gone}
        writes = [attempted(outcomes), *(write for webhook_id in gone for write in self._switch_off(webhook_id))]
        while True:
            try:
                await self._storage.write(*writes)
            except StorageUnavailable:
                await asyncio.sleep(AGAIN_S)
            except StorageError as error:
                return error
            else:
                break
        for outcome in outcomes:
            self._attempts[outcome.status].add()
        if gone:
            self._catalog.changed()
        return None

    def _switch_off(self, webhook_id: int) -> list[Write]:
        webhook = self._catalog.current.webhooks_by_id.get(webhook_id)
        if webhook is None:
            return []
        text = f"webhook {webhook.public_id} is switched off: its receiver is gone (HTTP 410)"
        if webhook.enabled:
            _log.warning("%s", text)
        return switch_off(webhook_id, LogEntry(text, self._clock.now_us(), webhook.user_id, "warning"))
