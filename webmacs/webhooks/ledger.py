"""What became of attempts, on its way back to the storage: one transaction for all that waits."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import StorageUnavailable
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
        self._idle = asyncio.Event()
        self._idle.set()

    async def enter(self, outcome: Outcome, *, gone: bool) -> None:
        """Returns when it is stored; when cancelled, it will be all the same. `gone`: the receiver wants no more, and
        its webhook is switched off with it.

        Raises:
            Exception: it cannot be stored, ever; for what the storage raised.

        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append(Entry(outcome, gone, stored))
        self._idle.clear()
        self._wake.set()
        await stored

    async def settled(self) -> None:
        """Returns when nothing waits to be stored."""
        await self._idle.wait()

    async def run(self) -> None:
        """Store what waits, all of it at a time, again and again while the storage is away. Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            entries, self._waiting = self._waiting, []
            await self._keep([entry for entry in entries if not entry.gone])
            for entry in entries:
                if entry.gone:
                    await self._switch_off(entry)
            if not self._waiting:
                self._idle.set()

    async def _keep(self, entries: list[Entry], *more: Write) -> int:
        """Store outcomes, and tell who waits for them; how many rows the last statement has changed."""
        if not entries:
            return 0
        try:
            changed = await self._write(attempted([entry.outcome for entry in entries]), *more)
        except Exception as error:  # noqa: BLE001 - the one task that stores must not end; who waits is told
            if len(entries) == 1:
                _settle(entries[0], error)
            else:  # one of them is at fault, the others are stored
                for entry in entries:
                    await self._keep([entry])
            return 0
        for entry in entries:
            self._attempts[entry.outcome.status].add()
            _settle(entry, None)
        return changed

    async def _switch_off(self, entry: Entry) -> None:
        webhook = self._catalog.current.webhooks_by_id.get(entry.outcome.delivery.webhook_id)
        if webhook is None:  # removed meanwhile
            await self._keep([entry])
            return
        text = f"webhook {webhook.public_id} is switched off: its receiver is gone (HTTP 410)"
        log_entry = LogEntry(text, self._clock.now_us(), webhook.user_id, "warning")
        if await self._keep([entry], *switch_off(webhook.id, log_entry)):
            _log.warning("%s", text)
        self._catalog.changed()

    async def _write(self, *writes: Write) -> int:
        while True:
            try:
                return await self._storage.write(*writes)
            except StorageUnavailable:
                await asyncio.sleep(AGAIN_S)


def _settle(entry: Entry, error: Exception | None) -> None:
    if entry.stored.done():  # cancelled, as who waited
        return
    if error is None:
        entry.stored.set_result(None)
    else:
        entry.stored.set_exception(error)
