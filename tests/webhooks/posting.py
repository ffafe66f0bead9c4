"""A dispatcher at work on a storage, and receivers that change their mind."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.webhooks.receivers import DEADLINE_S, LOOPBACK, Connection, Done, Receiver, reply
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.errors import StorageUnavailable
from webmacs.metrics import Metrics
from webmacs.model import Actor, Delivery, NewDelivery, Webhook, Write
from webmacs.storage import records, webhooks
from webmacs.storage.base import Row, Storage
from webmacs.storage.deliveries import deliver, deliveries
from webmacs.tasks import end
from webmacs.testing import ManualClock
from webmacs.webhooks.attempt import Courier
from webmacs.webhooks.dispatcher import Dispatcher
from webmacs.webhooks.outbox import Outbox

READING = "sensor.reading"
NEVER_S = 3600.0


class Post:
    """A dispatcher with its catalog and bell, as the server has them; the clock stands still until it is moved.

    It does not poll unless told to, so what comes about comes about because somebody was woken.
    """

    def __init__(self, storage: Storage, clock: Clock | None = None, **settings: Any) -> None:
        self.storage = storage
        self.clock = ManualClock()
        document = {"allowed_networks": LOOPBACK, "timeout_s": DEADLINE_S, "poll_interval_s": NEVER_S, **settings}
        self.settings = WebhookSettings.model_validate(document)
        self.catalog = Catalog(lambda: records.snapshot(storage, self.clock.now_us()))
        self.outbox = Outbox()
        self.metrics = Metrics()
        clock = clock or self.clock
        courier = Courier(self.settings, clock)
        self.dispatcher = Dispatcher(storage, self.catalog, self.outbox, courier, clock, self.settings, self.metrics)

    async def webhook(self, url: str, **options: Any) -> Webhook:
        """A new webhook, known to the catalog."""
        options = {"events": [READING], "now_us": self.clock.now_us(), **options}
        public_id = await webhooks.add_webhook(self.storage, url=url, **options)
        await self.catalog.reload()
        return self.known(public_id)

    def known(self, public_id: str) -> Webhook:
        """A webhook as the catalog has it."""
        (found,) = [webhook for webhook in self.catalog.current.webhooks if webhook.public_id == public_id]
        return found

    async def enable(self, webhook: Webhook, *, enabled: bool) -> None:
        """Switch a webhook on or off, seen by the catalog."""
        await webhooks.enable_webhook(self.storage, webhook.public_id, enabled=enabled)
        await self.catalog.reload()

    async def ask_for(self, webhook: Webhook, count: int = 1) -> list[str]:
        """Commit deliveries, as a recorder does; their ids."""
        made = new_deliveries(webhook, count, self.clock.now_us())
        await self.storage.write(deliver(made))
        self.outbox.ring()
        return [delivery.public_id for delivery in made]

    async def rows(self, webhook: Webhook) -> list[Delivery]:
        """The deliveries of a webhook, the oldest first."""
        return (await deliveries(self.storage, webhook.id, limit=10_000))[::-1]

    async def until(self, webhook: Webhook, holds: Callable[[Sequence[Delivery]], bool]) -> list[Delivery]:
        """The deliveries of a webhook, when something holds of them."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds(rows := await self.rows(webhook)):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            return rows

    async def until_attempted(self, webhook: Webhook, attempts: int = 1) -> Delivery:
        """The only delivery of a webhook, when it is stored that so many attempts were made."""
        (row,) = await self.until(webhook, lambda rows: rows[0].attempts >= attempts)
        return row

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and somebody look."""
        self.clock.advance(seconds)
        self.outbox.ring()

    def counted(self, result: str) -> int:
        """Attempts that came to that."""
        return self.metrics.counter("webhook_attempts", "", result=result).value


@asynccontextmanager
async def at_work(storage: Storage, *, grace_s: float = 0.0, **options: Any) -> AsyncIterator[Post]:
    """A dispatcher that is running."""
    post = Post(storage, **options)
    await post.catalog.reload()
    following = asyncio.create_task(post.catalog.follow())
    await post.dispatcher.start()
    try:
        yield post
    finally:
        await post.dispatcher.close(grace_s)
        await end(following)


def new_deliveries(webhook: Webhook, count: int, now_us: int) -> list[NewDelivery]:
    return [
        NewDelivery(str(uuid.uuid4()), webhook.id, READING, json.dumps({"number": number}), now_us)
        for number in range(count)
    ]


async def got(receiver: Receiver, number: int) -> None:
    """Wait until a receiver has got so many requests in all."""
    await receiver.until(lambda: len(receiver.requests) >= number)
    assert len(receiver.requests) == number


def ids(receiver: Receiver) -> list[str]:
    """What a receiver got, by id, in order."""
    return [request.headers["webhook-id"] for request in receiver.requests]


class Moody:
    """Gives the answer that it was last told to give."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer or reply(200)

    async def __call__(self, connection: Connection) -> None:
        await connection.send(self.answer)


class Held:
    """Keeps every request until it is let go of, or its sender leaves."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer or reply(200)
        self._all = asyncio.Event()
        self._places = asyncio.Semaphore(0)

    def let_go(self) -> None:
        """Of all that are kept and all that come."""
        self._all.set()

    def let_one_go(self) -> None:
        self._places.release()

    async def __call__(self, connection: Connection) -> None:
        ways = [self._all.wait(), self._places.acquire(), _ended(connection)]
        waits = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        ended = waits[-1].done()
        await end(*waits)
        if ended:
            raise Done
        await connection.send(self.answer)


async def _ended(connection: Connection) -> None:
    while await connection.reader.read(65_536):
        pass


class Trouble:
    """Stands between the dispatcher and its storage, and fails what it is told to fail."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetches = self.writes = self.refused = self.unread = self.waiting = 0
        self._unreadable = ""
        self._reading: Exception | None = None
        self._writing: Exception | None = None
        self._refuses: Callable[[Write], bool] = lambda _: True
        self._late: str | None = None
        self.late = 0
        self._arrive = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        fetch, write = storage.fetch, storage.write

        async def guarded_fetch(statement: str, **parameters: Any) -> list[Row]:
            self.fetches += 1
            if self._reading is not None and self._unreadable in statement:
                self.unread += 1
                raise self._reading
            rows = await fetch(statement, **parameters)
            if self._late is not None and self._late in statement:
                self.late += 1
                await self._arrive.wait()
            return rows

        async def guarded_write(*writes: Write, actor: Actor | None = None) -> int:
            self.writes += 1
            self.waiting += 1
            await self._open.wait()
            self.waiting -= 1
            if self._writing is not None and any(map(self._refuses, writes)):
                self.refused += 1
                raise self._writing
            return await write(*writes, actor=actor)

        async def guarded_ping() -> None:
            await guarded_fetch("SELECT 1")

        monkeypatch.setattr(storage, "fetch", guarded_fetch)
        monkeypatch.setattr(storage, "ping", guarded_ping)
        monkeypatch.setattr(storage, "write", guarded_write)

    @contextmanager
    def reading(self, error: Exception | None = None, what: str = "") -> Iterator[None]:
        """Nothing can be read meanwhile, or only what has that in its statement cannot."""
        self._reading, self._unreadable = error or StorageUnavailable("away, as told by the test"), what
        try:
            yield
        finally:
            self._reading = None

    @contextmanager
    def arriving_late(self, what: str) -> Iterator[None]:
        """What is read by such a statement is as it was, but arrives only in the end."""
        self._late = what
        try:
            yield
        finally:
            self._late = None
            self._arrive.set()

    @contextmanager
    def writing(
        self, error: Exception | None = None, refuses: Callable[[Write], bool] = lambda _: True
    ) -> Iterator[None]:
        """Nothing can be written meanwhile, or only some things cannot."""
        self._writing, self._refuses = error or StorageUnavailable("away, as told by the test"), refuses
        try:
            yield
        finally:
            self._writing = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """No write comes to an end meanwhile."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()


async def until(happened: Callable[[], object]) -> None:
    """Wait for something of which nobody is told."""
    async with asyncio.timeout(DEADLINE_S):
        while not happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)
