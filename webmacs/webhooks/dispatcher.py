"""Who delivers what, and when: a lane for each receiver, so that none waits for another.

    what is due ─> a lane for each receiver ─> attempts, a few at a time ─> ledger ─> one transaction for all

A delivery is in the storage before its first attempt and until it is delivered, so a restart resumes where the last run
was. An attempt whose outcome was not stored is made again: at least once, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Final

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.errors import StorageUnavailable
from webmacs.metrics import Metrics
from webmacs.model import Webhook
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import agendas
from webmacs.tasks import end
from webmacs.webhooks.attempt import Courier
from webmacs.webhooks.lane import Lane
from webmacs.webhooks.ledger import Ledger
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)

PAUSE_S: Final = 0.02  # between two looks: under load there is a commit with deliveries every few milliseconds
SHARE: Final = 10  # of the time, a look has at most one part of so many
AGAIN_S: Final = 0.5  # after one that failed


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
        self._looking: list[asyncio.Task[None]] = []
        self._storing: list[asyncio.Task[None]] = []
        metrics.gauge("webhook_receivers_busy", "Receivers that deliveries are under way to", self._busy.__len__)

    async def start(self) -> None:
        """Begin with what the last run has left."""
        await self._courier.start()
        self._catalog.watch(lambda _snapshot: self._outbox.ring())  # a webhook may have been switched on, or moved
        self._storing = [asyncio.create_task(self._ledger.run(), name="webhook ledger")]
        self._looking = [asyncio.create_task(self._run(), name="webhook dispatcher")]

    async def close(self, grace_s: float) -> None:
        """Begin nothing more. What is under way has so long to end, and what has ended so long again to be stored; the
        rest is attempted again after the next start.
        """
        await end(*self._looking)
        for lane in self._lanes.values():
            lane.stop()
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=grace_s)
        await end(*self._busy.values())
        try:
            async with asyncio.timeout(grace_s):
                await self._ledger.settled()
        except TimeoutError:
            _log.warning("stopping before it is stored that some deliveries were attempted; they are attempted again")
        await end(*self._storing)
        await self._courier.close()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                quiet_s = await self._look()
            except StorageUnavailable as error:
                _log.debug("looking for deliveries has to wait: %s", error)
                quiet_s = AGAIN_S
            except Exception:  # noqa: BLE001 - the one task that starts deliveries must not end
                _log.exception("looking for deliveries failed; it goes on")
                await asyncio.sleep(AGAIN_S)
                quiet_s = 0.0
            took_s = min(time.monotonic() - began, AGAIN_S)
            await asyncio.sleep(max(PAUSE_S, (SHARE - 1) * took_s))
            await self._outbox.wait(quiet_s)

    async def _look(self) -> float:
        """Have the lanes run that have something to do; for how many seconds there is nothing more that we know of."""
        now_us = self._clock.now_us()
        waiting = await agendas(self._storage, now_us, self._settings.concurrency + 1)
        webhooks = self._catalog.current.webhooks_by_id
        self._lanes = {
            webhook_id: lane
            for webhook_id, lane in self._lanes.items()
            if webhook_id in self._busy or lane.serves(webhooks.get(webhook_id))
        }
        quiet_s = self._settings.poll_interval_s
        for webhook_id, (number, next_us) in waiting.items():
            webhook = webhooks.get(webhook_id)
            if webhook is None or not webhook.enabled:  # the catalog will know soon, and the bell be rung
                continue
            if number:
                quiet_s = min(quiet_s, self._serve(webhook, number))
            if next_us is not None:
                quiet_s = min(quiet_s, (next_us - now_us) / 1e6)
        return quiet_s

    def _serve(self, webhook: Webhook, number: int) -> float:
        """So many are due to a webhook: have them delivered; in how many seconds to ask for that again."""
        lane = self._lanes.get(webhook.id)
        if lane is None:
            lane = self._lanes[webhook.id] = Lane(
                webhook, self._storage, self._catalog, self._courier, self._ledger, self._clock, self._settings
            )
        if webhook.id in self._busy:
            lane.stir(number)
        elif lane.rest_s:
            return lane.rest_s
        else:
            task = self._busy[webhook.id] = asyncio.create_task(lane.run(), name=f"webhook {webhook.id}")
            task.add_done_callback(lambda _: self._ended(webhook.id))
        return math.inf

    def _ended(self, webhook_id: int) -> None:
        del self._busy[webhook_id]
        self._outbox.ring()  # for what was committed after it had looked for the last time
