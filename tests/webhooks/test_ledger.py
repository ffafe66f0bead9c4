"""What became of attempts, stored: on each storage in turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from tests.webhooks.posting import READING, Trouble, new_deliveries, until
from webmacs.catalog import Catalog
from webmacs.errors import InvalidRows, StorageUnavailable
from webmacs.metrics import Metrics
from webmacs.model import Actor, Delivery, DeliveryStatus, Webhook, Write
from webmacs.storage import records, webhooks
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import Outcome, deliver, deliveries, redeliver
from webmacs.tasks import end
from webmacs.testing import START_US, ManualClock
from webmacs.webhooks import ledger as module
from webmacs.webhooks.ledger import Ledger

NOW_US = START_US
FAILED = DeliveryStatus.PENDING


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that was away is asked again soon."""
    monkeypatch.setattr(module, "AGAIN_S", 0.01)


class Book:
    """A ledger at work, with deliveries to one webhook."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.metrics = Metrics()
        self.catalog = Catalog(lambda: records.snapshot(storage, NOW_US))
        self.ledger = Ledger(storage, self.catalog, ManualClock(), self.metrics)

    async def webhook(self) -> Webhook:
        await webhooks.add_webhook(self.storage, url="https://a.example/secret", events=[READING], now_us=NOW_US)
        await self.catalog.reload()
        return self.catalog.current.webhooks[0]

    async def waiting(self, count: int = 1) -> list[Delivery]:
        """Deliveries that wait for the webhook."""
        webhook = (self.catalog.current.webhooks or [await self.webhook()])[0]
        await self.storage.write(deliver(new_deliveries(webhook, count, NOW_US)))
        return await self.rows()

    async def rows(self) -> list[Delivery]:
        return (await deliveries(self.storage, 1, limit=1000))[::-1]

    async def logged(self) -> list[tuple[object, ...]]:
        return await self.storage.fetch("SELECT content, logging_type FROM logs ORDER BY id")

    async def enabled(self) -> bool:
        await self.catalog.reload()
        return self.catalog.current.webhooks[0].enabled

    def counted(self) -> dict[str, int]:
        results = ("delivered", "failed", "given_up")
        return {result: self.metrics.counter("webhook_attempts", "", result=result).value for result in results}


@pytest.fixture
async def book(storage: Storage) -> AsyncIterator[Book]:
    made = Book(storage)
    running = asyncio.create_task(made.ledger.run())
    yield made
    await end(running)


def came_to(delivery: Delivery, status: DeliveryStatus, error: str | None = None, code: int | None = 200) -> Outcome:
    return Outcome(delivery, status, error, code, NOW_US + 7, NOW_US + 5)


async def test_what_is_entered_is_stored(book: Book) -> None:
    first, second, third = await book.waiting(3)
    await book.ledger.enter(came_to(first, DeliveryStatus.DELIVERED), gone=False)
    await book.ledger.enter(came_to(second, FAILED, "HTTP 500", 500), gone=False)
    await book.ledger.enter(came_to(third, DeliveryStatus.DEAD_LETTER, "Timeout", None), gone=False)
    assert [
        (row.status, row.attempts, row.last_error, row.response_code, row.due_us, row.delivered_us)
        for row in await book.rows()
    ] == [
        (DeliveryStatus.DELIVERED, 1, None, 200, NOW_US + 7, NOW_US + 5),
        (FAILED, 1, "HTTP 500", 500, NOW_US + 7, None),
        (DeliveryStatus.DEAD_LETTER, 1, "Timeout", None, NOW_US + 7, None),
    ]
    assert book.counted() == {"delivered": 1, "failed": 1, "given_up": 1}


async def test_what_comes_while_a_transaction_is_under_way_shares_the_next_one(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = await book.waiting(50)
    trouble = Trouble(book.storage, monkeypatch)
    async with asyncio.TaskGroup() as group:
        with trouble.held():
            group.create_task(book.ledger.enter(came_to(first, DeliveryStatus.DELIVERED), gone=False))
            await until(lambda: trouble.writes == 1)
            for other in others:
                group.create_task(book.ledger.enter(came_to(other, DeliveryStatus.DELIVERED), gone=False))
            await asyncio.sleep(0)
    assert trouble.writes == 2
    assert {row.status for row in await book.rows()} == {DeliveryStatus.DELIVERED}


async def test_while_the_storage_is_away_it_is_kept(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    (delivery,) = await book.waiting()
    trouble = Trouble(book.storage, monkeypatch)
    with trouble.writing():
        entering = asyncio.create_task(book.ledger.enter(came_to(delivery, DeliveryStatus.DELIVERED), gone=False))
        await until(lambda: trouble.refused >= 3)
        assert not entering.done()
        assert book.counted()["delivered"] == 0
    await entering
    assert (await book.rows())[0].status is DeliveryStatus.DELIVERED
    assert book.counted()["delivered"] == 1


async def test_it_does_not_hammer_a_storage_that_is_away(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    (delivery,) = await book.waiting()
    monkeypatch.setattr(module, "AGAIN_S", 3600.0)
    trouble = Trouble(book.storage, monkeypatch)
    with trouble.writing():
        entering = asyncio.create_task(book.ledger.enter(came_to(delivery, DeliveryStatus.DELIVERED), gone=False))
        await until(lambda: trouble.refused)
        await asyncio.sleep(0.05)
        assert trouble.refused == 1
    await end(entering)


async def test_an_answer_to_commit_that_is_lost_counts_no_attempt_twice(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    (delivery,) = await book.waiting()
    write = book.storage.write
    answers = iter([True, False])

    async def lose_the_first_answer(*writes: Write, actor: Actor | None = None) -> int:
        changed = await write(*writes, actor=actor)
        if next(answers):
            raise StorageUnavailable("the answer was lost")
        return changed

    monkeypatch.setattr(book.storage, "write", lose_the_first_answer)
    await book.ledger.enter(came_to(delivery, FAILED, "HTTP 500", 500), gone=False)
    assert (await book.rows())[0].attempts == 1


async def test_what_is_refused_is_told_and_holds_up_nobody_else(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    first, bad, *others = await book.waiting(5)
    trouble = Trouble(book.storage, monkeypatch)

    def is_bad(write: Write) -> bool:
        return any(row.get("id") == bad.id for row in write.rows)

    with trouble.writing(InvalidRows("as told"), is_bad):
        with trouble.held():
            entering = [asyncio.create_task(book.ledger.enter(came_to(first, DeliveryStatus.DELIVERED), gone=False))]
            await until(lambda: trouble.writes == 1)
            for delivery in (bad, *others):
                outcome = came_to(delivery, DeliveryStatus.DELIVERED)
                entering.append(asyncio.create_task(book.ledger.enter(outcome, gone=False)))
            await asyncio.sleep(0)
        found = await asyncio.gather(*entering, return_exceptions=True)
    assert [type(one) for one in found] == [type(None), InvalidRows, type(None), type(None), type(None)]
    assert [row.status is DeliveryStatus.DELIVERED for row in await book.rows()] == [True, False, True, True, True]
    assert book.counted()["delivered"] == 4


async def test_a_bug_in_a_storage_does_not_end_it(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    (delivery,) = await book.waiting()
    with Trouble(book.storage, monkeypatch).writing(ZeroDivisionError("a bug")), pytest.raises(ZeroDivisionError):
        await book.ledger.enter(came_to(delivery, DeliveryStatus.DELIVERED), gone=False)
    await book.ledger.enter(came_to(delivery, DeliveryStatus.DELIVERED), gone=False)
    assert (await book.rows())[0].status is DeliveryStatus.DELIVERED


async def test_it_is_settled_when_all_is_stored_also_what_nobody_waits_for_any_more(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await book.waiting(2)
    await book.ledger.settled()
    trouble = Trouble(book.storage, monkeypatch)
    with trouble.held():
        entering = asyncio.create_task(book.ledger.enter(came_to(first, DeliveryStatus.DELIVERED), gone=False))
        await until(lambda: trouble.writes)
        given_up = asyncio.create_task(book.ledger.enter(came_to(second, DeliveryStatus.DELIVERED), gone=False))
        await asyncio.sleep(0)
        await end(entering, given_up)
        settled = asyncio.create_task(book.ledger.settled())
        await asyncio.sleep(0.02)
        assert not settled.done()
    await settled
    assert {row.status for row in await book.rows()} == {DeliveryStatus.DELIVERED}


async def test_a_delivery_that_was_asked_for_again_during_its_attempt_begins_from_the_beginning(book: Book) -> None:
    (delivery,) = await book.waiting()
    await book.ledger.enter(came_to(delivery, FAILED, "HTTP 500", 500), gone=False)
    (under_way,) = await book.rows()
    await redeliver(book.storage, delivery.public_id, NOW_US + 1)
    await book.ledger.enter(came_to(under_way, DeliveryStatus.DEAD_LETTER, "HTTP 500", 500), gone=False)
    (row,) = await book.rows()
    assert (row.status, row.attempts, row.due_us) == (DeliveryStatus.PENDING, 0, NOW_US + 1)


# -- a receiver that wants no more -----------------------------------------------------------------------------------


async def test_a_receiver_that_is_gone_is_switched_off_with_the_outcome(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    gone, _ = await book.waiting(2)
    await book.ledger.enter(came_to(gone, DeliveryStatus.DEAD_LETTER, "HTTP 410", 410), gone=True)
    webhook = book.catalog.current.webhooks[0]
    text = f"webhook {webhook.public_id} is switched off: its receiver is gone (HTTP 410)"
    assert await book.logged() == [(text, "warning")]
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [text]
    assert [row.status for row in await book.rows()] == [DeliveryStatus.DEAD_LETTER, DeliveryStatus.PENDING]
    assert not await book.enabled()


async def test_the_catalog_is_told(book: Book) -> None:
    (gone,) = await book.waiting()
    following = asyncio.create_task(book.catalog.follow())
    await book.ledger.enter(came_to(gone, DeliveryStatus.DEAD_LETTER, "HTTP 410", 410), gone=True)
    await until(lambda: not book.catalog.current.webhooks[0].enabled)
    await end(following)


async def test_that_it_is_switched_off_is_said_once_however_many_say_that_it_is_gone(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.TaskGroup() as group:
        for delivery in await book.waiting(4):
            outcome = came_to(delivery, DeliveryStatus.DEAD_LETTER, "HTTP 410", 410)
            group.create_task(book.ledger.enter(outcome, gone=True))
    assert len(await book.logged()) == 1
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert {row.status for row in await book.rows()} == {DeliveryStatus.DEAD_LETTER}


async def test_a_webhook_that_was_removed_meanwhile_is_not_switched_off(book: Book) -> None:
    (gone,) = await book.waiting()
    await webhooks.remove_webhook(book.storage, book.catalog.current.webhooks[0].public_id)
    await book.catalog.reload()
    await book.ledger.enter(came_to(gone, DeliveryStatus.DEAD_LETTER, "HTTP 410", 410), gone=True)
    assert await book.logged() == []
