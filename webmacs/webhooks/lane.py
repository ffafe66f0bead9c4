"""The deliveries to one receiver: a few at a time, first what has been due for longest."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from yarl import URL

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.errors import StorageUnavailable
from webmacs.model import Delivery, Webhook
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import due
from webmacs.tasks import end
from webmacs.webhooks.attempt import Answer, Courier
from webmacs.webhooks.ledger import Ledger
from webmacs.webhooks.schedule import outcome, pause_s

_log = logging.getLogger(__name__)

AHEAD: Final = 100  # deliveries that are fetched at a time
AGAIN_S: Final = 5.0  # after something that should not have happened
PATIENCE: Final = 10  # failures in a row, after which it is the receiver that fails, and not this or that delivery


class Lane:
    """Runs while something is due; what it knows of the receiver lasts from one run to the next.

    A webhook whose address is changed, or that is switched off and on, gets a lane of its own again.
    """

    def __init__(
        self,
        webhook: Webhook,
        storage: Storage,
        catalog: Catalog,
        courier: Courier,
        ledger: Ledger,
        clock: Clock,
        settings: WebhookSettings,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._webhook_id, self._url = webhook.id, webhook.url
        self._name = f"webhook {webhook.public_id} ({_host(webhook.url)})"
        self._storage, self._catalog, self._courier, self._ledger = storage, catalog, courier, ledger
        self._clock, self._settings, self._chance = clock, settings, chance
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._stirred = asyncio.Event()
        self._rests_until = float("-inf")
        self._failures = 0  # in a row
        self._lost = 0  # outcomes in a row that could not be stored
        self._gone = False
        self._stopped = False

    @property
    def rest_s(self) -> float:
        """Seconds that are left of the pause that the receiver has asked for, or that was made of our own."""
        return max(0.0, self._rests_until - self._clock.monotonic())

    def serves(self, webhook: Webhook | None) -> bool:
        """Whether this is the lane to a webhook as it is now."""
        return webhook is not None and webhook.enabled and webhook.url == self._url

    def stir(self, number: int) -> None:
        """So many deliveries are due, those that are under way among them."""
        if number > len(self._under_way):
            self._stirred.set()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    async def run(self) -> None:
        """Until nothing is due any more, the webhook is no longer this one, or the receiver asks for a pause; and until
        what is under way has ended. When cancelled, that is given up, to be attempted again.
        """
        self._gone = False
        try:
            await self._work()
            await self._room(0)
        finally:
            await end(*self._under_way)

    async def _work(self) -> None:
        try:
            while self._open() is not None:
                self._stirred.clear()  # before looking: what comes after that is not missed
                waiting = await self._due()
                if waiting:
                    await self._begin(waiting)
                elif self._under_way:
                    await self._stirred.wait()
                else:
                    return
        except StorageUnavailable as error:
            self._rest(AGAIN_S)
            _log.debug("%s: looking for what is due has to wait: %s", self._name, error)
        except Exception:  # noqa: BLE001 - whatever it was, what is due is looked for again
            self._rest(AGAIN_S)
            _log.exception("%s: looking for what is due has to wait", self._name)

    def _open(self) -> Webhook | None:
        """The webhook, if deliveries may begin now."""
        webhook = self._catalog.current.webhooks_by_id.get(self._webhook_id)
        closed = self._stopped or self._gone or self.rest_s or not self.serves(webhook)
        return None if closed else webhook

    async def _due(self) -> list[Delivery]:
        """What may be attempted now and is not under way."""
        under_way = set(self._under_way.values())
        found = await due(self._storage, self._webhook_id, self._clock.now_us(), AHEAD + len(under_way))
        return [delivery for delivery in found if delivery.id not in under_way]

    async def _begin(self, waiting: list[Delivery]) -> None:
        """Begin with each as there is room."""
        for delivery in waiting:
            await self._room(self._settings.concurrency - 1)
            webhook = self._open()
            if webhook is None:
                return
            task = asyncio.create_task(self._deliver(webhook, delivery), name=f"delivery {delivery.id}")
            self._under_way[task] = delivery.id
            task.add_done_callback(self._ended)

    async def _room(self, most: int) -> None:
        """Until no more than so many are under way."""
        while len(self._under_way) > most:
            self._stirred.clear()
            await self._stirred.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._stirred.set()

    async def _deliver(self, webhook: Webhook, delivery: Delivery) -> None:
        """One attempt, and what becomes of it. Unless that is stored, the delivery is due as before: hence the rest."""
        try:
            secrets = webhook.secrets(self._clock.now_us())
            answer = await self._courier.send(webhook.url, delivery.public_id, delivery.payload.encode(), secrets)
            self._heed(answer)
            result = outcome(delivery, answer, self._settings, self._clock.now_us(), self._chance())
            await self._ledger.enter(result, gone=answer.gone)
        except Exception:  # noqa: BLE001 - it must not begin again at once, whatever it was
            if not self.rest_s:
                self._lost += 1
                self._rest(pause_s(self._lost, None, self._settings, self._chance()))
            _log.exception("%s: what became of delivery %s is lost; it is made again", self._name, delivery.public_id)
        else:
            self._lost = 0

    def _heed(self, answer: Answer) -> None:
        """What an answer means for the deliveries that wait. Said once when it begins to fail, once when that is over;
        never with the URL, of which parts may be secret.

        A receiver that does nothing but fail is asked a few times now and then, however many wait for it: to be told
        a hundred thousand times that nobody is there would take the server from those that send readings.
        """
        if answer.retry_after_s is not None:
            self._rest(min(answer.retry_after_s, self._settings.max_retry_s))
        if answer.gone:  # who switches the webhook off says so
            self._gone = True
        elif answer.delivered:
            if self._failures:
                _log.info("%s takes deliveries again", self._name)
            self._failures = 0
        else:
            if not self._failures:
                _log.warning("%s fails, deliveries are tried again: %s", self._name, answer.error)
            self._failures += 1
            if self._failures > PATIENCE:
                self._rest(self._settings.first_retry_s)

    def _rest(self, seconds: float) -> None:
        self._rests_until = max(self._rests_until, self._clock.monotonic() + seconds)


def _host(url: str) -> str:
    try:
        return URL(url).raw_host or "no host"
    except ValueError:
        return "no host"
