"""Who delivers what, and when: a lane for each receiver, so that none waits for another.

    earliest due ─> a lane for each receiver ─> attempts, a few at a time ─> ledger ─> one transaction for all

A delivery is in the storage before its first attempt and until it is delivered, so a restart resumes where the last run
was. An attempt whose outcome was not stored is made again: at least once, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.errors import StorageError
from webmacs.metrics import Metrics
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import earliest
from webmacs.tasks import end
from webmacs.webhooks.attempt import Courier
from webmacs.webhooks.lane import Lane
from webmacs.webhooks.ledger import Ledger
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)

PAUSE_S: Final = 0.02  # between two looks: under load there is a commit with deliveries every few milliseconds


class Dispatcher:
    """Delivers what waits in the outbox, from `start` to `close`."""

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        outbox: Outbox,
        courier: Courier,
        clock: Clock,
        settings: WebhookSettings,
        metrics: Metrics,
    ) -> None:
        self._storage, self._catalog, self._outbox = storage, catalog, outbox
        self._courier, self._clock, self._settings = courier, clock, settings
        self._ledger = Ledger(storage, catalog, clock, metrics)
        self._lanes: dict[int, Lane] = {}
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._own: list[asyncio.Task[None]] = []
        metrics.gauge("webhook_receivers_busy", "Receivers that deliveries are under way to", self._busy.__len__)

    async def start(self) -> None:
        """Begin with what the last run has left."""
        await self._courier.start()
        self._own = [
            asyncio.create_task(self._ledger.run(), name="webhook ledger"),
            asyncio.create_task(self._run(), name="webhook dispatcher"),
        ]

    async def close(self, grace_s: float) -> None:
        """Begin nothing more. What is under way has so long to end; what has not by then is attempted again after the
        next start.
        """
        await end(*self._own[1:])
        for lane in self._lanes.values():
            lane.stop()
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=grace_s)
        await end(*self._busy.values(), *self._own)
        await self._courier.close()

    async def _run(self) -> None:
        while True:
            try:
                quiet_s = await self._look()
            except StorageError as error:
                _log.debug("looking for deliveries has to wait: %s", error)
                quiet_s = self._settings.poll_interval_s
            except Exception:  # noqa: BLE001 - the one task that starts deliveries must not end
                _log.exception("looking for deliveries failed; it goes on")
                quiet_s = self._settings.poll_interval_s
            await asyncio.sleep(PAUSE_S)
            await self._outbox.wait(quiet_s)

    async def _look(self) -> float:
        """Start the lanes that have something to do; for how many seconds nothing more is due that we know of."""
        first_due = await earliest(self._storage)
        webhooks, now_us = self._catalog.current.webhooks_by_id, self._clock.now_us()
        self._lanes = {webhook_id: lane for webhook_id, lane in self._lanes.items() if webhook_id in webhooks}
        for webhook_id, due_us in first_due.items():
            webhook = webhooks.get(webhook_id)
            if due_us <= now_us and webhook is not None and webhook.enabled and webhook_id not in self._busy:
                self._begin(webhook_id)
        coming = (due_us - now_us for due_us in first_due.values() if due_us > now_us)
        return min(self._settings.poll_interval_s, min(coming, default=1 << 62) / 1e6)

    def _begin(self, webhook_id: int) -> None:
        lane = self._lanes.get(webhook_id)
        if lane is None:
            lane = self._lanes[webhook_id] = Lane(
                webhook_id, self._storage, self._catalog, self._courier, self._ledger, self._clock, self._settings
            )
        if lane.quiet:
            return
        task = asyncio.create_task(lane.run(), name=f"webhook {webhook_id}")
        self._busy[webhook_id] = task
        task.add_done_callback(lambda _: self._ended(webhook_id))

    def _ended(self, webhook_id: int) -> None:
        del self._busy[webhook_id]
        self._outbox.ring()  # for what was committed after it had looked for the last time
