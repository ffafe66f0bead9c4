"""The deliveries to one receiver: a few at a time, first what has been due for longest."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.errors import StorageError
from webmacs.model import Delivery, Webhook
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import due
from webmacs.tasks import end
from webmacs.webhooks.attempt import Answer, Courier
from webmacs.webhooks.ledger import Ledger
from webmacs.webhooks.schedule import outcome

_log = logging.getLogger(__name__)

AHEAD: Final = 100  # deliveries that are fetched at a time
AGAIN_S: Final = 5.0  # after something that should not have happened


class Lane:
    """Runs while something is due; what it knows of the receiver lasts from one run to the next."""

    def __init__(
        self,
        webhook_id: int,
        storage: Storage,
        catalog: Catalog,
        courier: Courier,
        ledger: Ledger,
        clock: Clock,
        settings: WebhookSettings,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._webhook_id = webhook_id
        self._storage, self._catalog, self._courier, self._ledger = storage, catalog, courier, ledger
        self._clock, self._settings, self._chance = clock, settings, chance
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._quiet_until = float("-inf")
        self._failing = False
        self._stopped = False

    @property
    def quiet(self) -> bool:
        """Whether the receiver has asked for a pause that is not over."""
        return self._clock.monotonic() < self._quiet_until

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    async def run(self) -> None:
        """Until nothing is due any more, the webhook is switched off or gone, or the receiver asks for a pause."""
        try:
            while self._open() is not None:
                waiting = await self._due()
                if not waiting and not self._under_way:
                    return
                await self._begin(waiting)
            await self._room(0)
        except StorageError as error:
            self._rest(AGAIN_S)
            _log.debug("deliveries to webhook %d have to wait: %s", self._webhook_id, error)
        except Exception:  # noqa: BLE001 - what is due is tried again
            self._rest(AGAIN_S)
            _log.exception("deliveries to webhook %d have to wait", self._webhook_id)
        finally:
            await end(*self._under_way)

    def _open(self) -> Webhook | None:
        """The webhook, if deliveries may begin now."""
        webhook = self._catalog.current.webhooks_by_id.get(self._webhook_id)
        return None if webhook is None or not webhook.enabled or self.quiet or self._stopped else webhook

    async def _due(self) -> list[Delivery]:
        """What may be attempted now and is not under way."""
        under_way = set(self._under_way.values())
        found = await due(self._storage, self._webhook_id, self._clock.now_us(), AHEAD + len(under_way))
        return [delivery for delivery in found if delivery.id not in under_way]

    async def _begin(self, waiting: list[Delivery]) -> None:
        """Begin with each as there is room; with none, wait for one that is under way."""
        for delivery in waiting:
            await self._room(self._settings.concurrency - 1)
            webhook = self._open()
            if webhook is None:
                return
            task = asyncio.create_task(self._deliver(webhook, delivery), name=f"delivery {delivery.id}")
            self._under_way[task] = delivery.id
            task.add_done_callback(self._under_way.pop)
        if not waiting:
            await self._room(len(self._under_way) - 1)

    async def _room(self, most: int) -> None:
        """Until no more than so many are under way."""
        while len(self._under_way) > most:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def _deliver(self, webhook: Webhook, delivery: Delivery) -> None:
        secrets = webhook.secrets(self._clock.now_us())
        answer = await self._courier.send(webhook.url, delivery.public_id, delivery.payload.encode(), secrets)
        if answer.retry_after_s is not None:
            self._rest(min(answer.retry_after_s, self._settings.max_retry_s))
        self._say(webhook, answer)
        result = outcome(delivery, answer, self._settings, self._clock.now_us(), self._chance())
        try:
            await self._ledger.enter(result, gone=answer.gone)
        except StorageError:
            _log.exception("what became of delivery %s cannot be stored; it will be made again", delivery.public_id)
            self._rest(AGAIN_S)

    def _rest(self, seconds: float) -> None:
        self._quiet_until = max(self._quiet_until, self._clock.monotonic() + seconds)

    def _say(self, webhook: Webhook, answer: Answer) -> None:
        """Once when it begins to fail and once when that is over; never the URL, of which parts may be secret."""
        where = f"webhook {webhook.public_id} ({urlsplit(webhook.url).hostname})"
        if not answer.delivered and not self._failing:
            _log.warning("%s fails, deliveries are tried again: %s", where, answer.error)
        elif answer.delivered and self._failing:
            _log.info("%s takes deliveries again", where)
        self._failing = not answer.delivered
