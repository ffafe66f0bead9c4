"""The deliveries to one receiver, on each storage in turn: what the receiver does, and what becomes of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from email.utils import format_datetime

import pytest

from tests.webhooks.posting import Held, Moody, Trouble, at_work, got, ids, until
from tests.webhooks.receivers import OK, Connection, closing, hanging, listening, reply
from webmacs.errors import InvalidRows
from webmacs.model import Delivery, DeliveryStatus, Write, to_datetime
from webmacs.storage import webhooks
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import redeliver
from webmacs.testing import START_US
from webmacs.webhooks.lane import PATIENCE

DELIVERED, PENDING, DEAD = DeliveryStatus.DELIVERED, DeliveryStatus.PENDING, DeliveryStatus.DEAD_LETTER
SECOND = 1_000_000


def all_delivered(rows: Sequence[Delivery]) -> bool:
    return all(row.status is DELIVERED for row in rows)


def statuses(rows: Sequence[Delivery]) -> list[DeliveryStatus]:
    return [row.status for row in rows]


# -- success and failure ---------------------------------------------------------------------------------------------


async def test_what_is_delivered_is_recorded(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        (public_id,) = await post.ask_for(webhook)
        row = await post.until_attempted(webhook)
        assert (row.public_id, row.status, row.attempts) == (public_id, DELIVERED, 1)
        assert (row.last_error, row.response_code, row.delivered_us) == (None, 200, START_US)
        assert ids(receiver) == [public_id]
        assert receiver.requests[0].body == row.payload.encode()
        await until(lambda: post.counted("delivered") == 1)


@pytest.mark.parametrize("status", [199, 301, 400, 404, 500, 503])
async def test_any_other_answer_is_a_failure_and_it_waits_for_the_next_attempt(storage: Storage, status: int) -> None:
    """(199 is a status that only says what comes before the answer, which does not come.)"""
    async with listening(Moody(reply(status))) as receiver, at_work(storage, timeout_s=0.3) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        row = await post.until_attempted(webhook)
        assert (row.status, row.attempts, row.delivered_us) == (PENDING, 1, None)
        expected = (None, "Timeout") if status == 199 else (status, f"HTTP {status}")
        assert (row.response_code, row.last_error) == expected
        assert START_US + 3.75 * SECOND <= row.due_us <= START_US + 6.25 * SECOND
        await until(lambda: post.counted("failed") == 1)


async def test_without_an_answer_there_is_no_code_but_a_reason(storage: Storage) -> None:
    async with AsyncExitStack() as stack:
        closes = await stack.enter_async_context(listening(closing))
        hangs = await stack.enter_async_context(listening(hanging))
        async with listening(OK) as refuses:
            pass
        post = await stack.enter_async_context(at_work(storage, timeout_s=0.3))
        found = {}
        for name, receiver in (("closes", closes), ("hangs", hangs), ("refuses", refuses)):
            webhook = await post.webhook(receiver.url())
            await post.ask_for(webhook)
            row = await post.until_attempted(webhook)
            assert (row.status, row.response_code) == (PENDING, None)
            found[name] = row.last_error or ""
    refused = found.pop("refuses")
    assert refused.startswith(f"no connection to 127.0.0.1:{refuses.port}: ")
    assert found == {"closes": "the connection was closed without an answer", "hangs": "Timeout"}


async def test_it_is_attempted_again_when_it_is_due_and_success_clears_the_error(storage: Storage) -> None:
    moody = Moody(reply(500))
    async with listening(moody) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await post.until_attempted(webhook)
        post.pass_time(3.7)
        await post.until_attempted(webhook)
        moody.answer = reply(204)
        post.pass_time(2.6)
        row = await post.until_attempted(webhook, 2)
        assert (row.status, row.last_error, row.response_code) == (DELIVERED, None, 204)
        assert len(receiver.requests) == 2


@pytest.mark.promise("F10")
async def test_the_id_and_the_body_are_the_same_at_every_attempt_and_the_pauses_grow(storage: Storage) -> None:
    async with listening(Moody(reply(500))) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        (public_id,) = await post.ask_for(webhook)
        pauses = []
        for attempt in range(1, 6):
            row = await post.until_attempted(webhook, attempt)
            pauses.append((row.due_us - post.clock.now_us()) / SECOND)
            post.pass_time(pauses[-1])
        assert set(ids(receiver)) == {public_id}
        assert len({request.body for request in receiver.requests}) == 1
        middles = [5.0 * 4**number for number in range(5)]
        assert all(0.75 * middle <= pause <= 1.25 * middle for pause, middle in zip(pauses, middles, strict=True))


@pytest.mark.promise("F10")
async def test_after_the_last_attempt_it_is_a_dead_letter(storage: Storage) -> None:
    async with listening(Moody(reply(500))) as receiver, at_work(storage, attempts=3) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        for attempt in (1, 2, 3):
            await post.until_attempted(webhook, attempt)
            post.pass_time(10_000)
        row = await post.until_attempted(webhook, 3)
        assert (row.status, row.attempts, row.last_error) == (DEAD, 3, "HTTP 500")
        await until(lambda: post.counted("given_up") == 1)
        await post.ask_for(webhook)
        await got(receiver, 4)  # of the other one
        assert (await post.rows(webhook))[0].attempts == 3


async def test_a_receiver_that_does_nothing_but_fail_is_asked_a_few_times_now_and_then(storage: Storage) -> None:
    """However many wait for it; and when it is well again, they come at once."""
    moody = Moody(reply(500))
    async with listening(moody) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 50)
        await until(lambda: post.counted("failed") >= PATIENCE + 1 and not post.dispatcher._busy)
        asked = len(receiver.requests)
        assert asked <= PATIENCE + 2
        for more in (2, 4):
            post.pass_time(4.9)
            await asyncio.sleep(0.1)
            assert len(receiver.requests) == asked + more - 2
            post.pass_time(0.2)
            await got(receiver, asked + more)
            await until(lambda: not post.dispatcher._busy)
        moody.answer = reply(200)
        post.pass_time(6.3)
        await post.until(webhook, lambda rows: statuses(rows).count(DELIVERED) >= 40)


async def test_failures_with_successes_between_them_slow_nothing_down(storage: Storage) -> None:
    answers = itertools.cycle([reply(500)] * (PATIENCE - 1) + [reply(200)])

    async def behave(connection: Connection) -> None:
        await connection.send(next(answers))

    async with listening(behave) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 5 * PATIENCE)
        rows = await post.until(webhook, lambda rows: all(row.attempts for row in rows))
        assert statuses(rows).count(DELIVERED) == 5


async def test_a_dead_letter_that_is_asked_for_again_is_delivered_under_the_same_id(storage: Storage) -> None:
    moody = Moody(reply(500))
    async with listening(moody) as receiver, at_work(storage, attempts=1) as post:
        webhook = await post.webhook(receiver.url())
        (public_id,) = await post.ask_for(webhook)
        await post.until_attempted(webhook)
        moody.answer = reply(200)
        await redeliver(storage, public_id, post.clock.now_us())
        post.outbox.ring()
        (row,) = await post.until(webhook, all_delivered)
        assert (row.attempts, row.last_error) == (1, None)
        assert ids(receiver) == [public_id] * 2


async def test_redelivery_that_is_asked_for_during_an_attempt_follows_it(storage: Storage) -> None:
    held = Held(reply(500))
    async with listening(held) as receiver, at_work(storage, attempts=2) as post:
        webhook = await post.webhook(receiver.url())
        (public_id,) = await post.ask_for(webhook)
        held.let_one_go()
        await post.until_attempted(webhook)
        post.pass_time(10)
        await got(receiver, 2)  # the last attempt is under way
        await redeliver(storage, public_id, post.clock.now_us())
        held.answer = reply(500)
        held.let_go()
        await got(receiver, 3)
        (row,) = await post.until(webhook, lambda rows: rows[0].attempts == 1)
        assert row.status is PENDING
        assert ids(receiver) == [public_id] * 3


# -- one after the other, and beside each other ----------------------------------------------------------------------


async def test_what_has_waited_longest_comes_first(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        asked = await post.ask_for(webhook, 30)
        await post.until(webhook, all_delivered)
        assert ids(receiver) == asked


async def test_more_than_are_fetched_at_a_time_are_delivered(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage, concurrency=8) as post:
        webhook = await post.webhook(receiver.url())
        asked = await post.ask_for(webhook, 250)
        await post.until(webhook, all_delivered)
        assert sorted(ids(receiver)) == sorted(asked)


async def test_no_more_than_so_many_are_under_way_at_a_time(storage: Storage) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=3) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 10)
        await got(receiver, 3)
        await post.ask_for(webhook)
        await post.catalog.reload()
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 3
        held.let_go()
        rows = await post.until(webhook, all_delivered)
        assert len(rows) == len(receiver.requests) == 11


async def test_one_that_takes_long_does_not_hold_up_what_comes_after_it(storage: Storage) -> None:
    """There are places beside it, and what is committed meanwhile gets one at once."""
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=3) as post:
        webhook = await post.webhook(receiver.url())
        asked = []
        for number in (1, 2, 3):
            asked += await post.ask_for(webhook)
            await got(receiver, number)
        assert ids(receiver) == asked
        held.let_go()
        await post.until(webhook, all_delivered)


async def test_while_one_takes_long_nobody_looks_again_and_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await post.until(webhook, all_delivered)
        receiver._behave = held = Held()
        trouble = Trouble(storage, monkeypatch)
        await post.ask_for(webhook)
        await got(receiver, 2)
        await asyncio.sleep(0.1)
        looks = trouble.fetches
        await asyncio.sleep(0.3)
        assert trouble.fetches - looks <= 2
        held.let_go()
        await post.until(webhook, all_delivered)


async def test_one_that_takes_long_does_not_hold_up_the_retries_of_others(storage: Storage) -> None:
    async with listening(Moody(reply(500))) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await post.until_attempted(webhook)
        receiver._behave = held = Held()
        await post.ask_for(webhook)
        await got(receiver, 2)
        post.pass_time(10)
        await got(receiver, 3)
        held.let_go()
        await post.until(webhook, all_delivered)


# -- Retry-After -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_that_asks_for_a_pause_gets_it_whatever_waits(
    storage: Storage, status: int, form: str
) -> None:
    until_us = START_US + 100 * SECOND
    pause = "100" if form == "seconds" else format_datetime(to_datetime(until_us), usegmt=True)
    moody = Moody(reply(status, f"Retry-After: {pause}"))
    async with listening(moody) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 3)
        rows = await post.until(webhook, lambda rows: rows[0].attempts == 1)
        assert rows[0].due_us == until_us
        moody.answer = reply(200)
        await post.ask_for(webhook)
        post.pass_time(99)
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 1
        post.pass_time(1.1)
        await post.until(webhook, all_delivered)
        assert len(receiver.requests) == 5


async def test_the_end_of_a_pause_wakes_the_one_who_delivers(storage: Storage) -> None:
    """Nobody rings: those that wait were due before, and nothing comes due."""
    moody = Moody(reply(429, "Retry-After: 100"))
    async with listening(moody) as receiver, at_work(storage, concurrency=1, attempts=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 2)
        await post.until(webhook, lambda rows: rows[0].attempts == 1)
        moody.answer = reply(200)
        post.pass_time(99.9)
        await asyncio.sleep(0.05)
        assert len(receiver.requests) == 1
        post.clock.advance(0.1)
        await post.until(webhook, lambda rows: statuses(rows) == [DEAD, DELIVERED])


async def test_a_pause_is_no_longer_than_the_longest(storage: Storage) -> None:
    moody = Moody(reply(429, "Retry-After: 999999999"))
    async with listening(moody) as receiver, at_work(storage, max_retry_s=60, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 2)
        rows = await post.until(webhook, lambda rows: rows[0].attempts == 1)
        assert rows[0].due_us == START_US + 60 * SECOND
        moody.answer = reply(200)
        post.pass_time(61)
        await post.until(webhook, all_delivered)


# -- 410 -------------------------------------------------------------------------------------------------------------


async def test_a_receiver_that_is_gone_is_switched_off_and_the_rest_waits_until_it_is_switched_on(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    moody = Moody(reply(410))
    async with listening(moody) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 5)
        rows = await post.until(webhook, lambda rows: rows[0].attempts == 1)
        await until(lambda: not post.known(webhook.public_id).enabled)
        assert statuses(rows) == [DEAD, *[PENDING] * 4]
        assert (rows[0].last_error, rows[0].response_code) == ("HTTP 410", 410)
        assert [row.attempts for row in await post.rows(webhook)] == [1, 0, 0, 0, 0]
        assert len(receiver.requests) == 1
        entries = await storage.fetch("SELECT content FROM logs")
        assert entries == [(f"webhook {webhook.public_id} is switched off: its receiver is gone (HTTP 410)",)]
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [entries[0][0]]
        moody.answer = reply(200)
        await post.enable(webhook, enabled=True)
        rows = await post.until(webhook, lambda rows: all_delivered(rows[1:]))
        assert len(receiver.requests) == 5
        assert rows[0].status is DEAD


async def test_after_410_nothing_begins_though_the_catalog_does_not_know_it_yet(storage: Storage) -> None:
    async with listening(Moody(reply(410))) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        post.catalog.changed = lambda: None  # type: ignore[method-assign] # it learns nothing by itself
        await post.ask_for(webhook, 5)
        await post.until(webhook, lambda rows: rows[0].attempts == 1)
        await post.ask_for(webhook)
        await asyncio.sleep(0.1)
        assert post.known(webhook.public_id).enabled
        assert len(receiver.requests) == 1


# -- a webhook that is changed meanwhile -----------------------------------------------------------------------------


async def test_switched_off_it_begins_nothing_more_and_switched_on_it_goes_on_at_once(storage: Storage) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 6)
        await got(receiver, 2)
        await post.enable(webhook, enabled=False)
        held.let_go()
        rows = await post.until(webhook, lambda rows: statuses(rows).count(DELIVERED) == 2)
        post.outbox.ring()
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 2
        assert statuses(rows).count(PENDING) == 4
        await post.enable(webhook, enabled=True)
        await post.until(webhook, all_delivered)


async def test_switched_off_what_is_under_way_goes_on_to_its_end(storage: Storage) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 3)
        await got(receiver, 2)
        await post.enable(webhook, enabled=False)
        held.let_one_go()
        await post.until(webhook, lambda rows: statuses(rows).count(DELIVERED) == 1)
        await asyncio.sleep(0.05)
        held.let_one_go()
        await post.until(webhook, lambda rows: statuses(rows).count(DELIVERED) == 2)
        assert len(receiver.requests) == 2


async def test_removed_it_is_not_called_any_more(storage: Storage) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 5)
        await got(receiver, 1)
        await webhooks.remove_webhook(storage, webhook.public_id)
        await post.catalog.reload()
        held.let_go()
        await until(lambda: post.counted("delivered"))
        post.outbox.ring()
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == 1
        assert await post.rows(webhook) == []


@pytest.mark.parametrize("removed", [True, False])
async def test_removed_or_switched_off_nothing_more_is_fetched_though_the_catalog_does_not_know_it_yet(
    storage: Storage, removed: bool
) -> None:
    async with listening(OK) as receiver, listening(OK) as other, at_work(storage) as post:
        webhook, bystander = await post.webhook(receiver.url()), await post.webhook(other.url())
        if removed:
            await webhooks.remove_webhook(storage, webhook.public_id)
        else:
            await webhooks.enable_webhook(storage, webhook.public_id, enabled=False)
        for _ in range(2):
            await post.ask_for(webhook)
            await post.ask_for(bystander)
            await post.until(bystander, all_delivered)
        assert receiver.requests == []


async def test_switched_off_while_one_is_under_way_nothing_follows_it_though_the_catalog_does_not_know_it_yet(
    storage: Storage,
) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await got(receiver, 1)
        await webhooks.enable_webhook(storage, webhook.public_id, enabled=False)
        await post.ask_for(webhook)
        held.let_go()
        await until(lambda: not post.dispatcher._busy)
        assert len(receiver.requests) == 1


async def change_url(storage: Storage, public_id: str, url: str) -> None:
    row = {"url": url, "public_id": public_id}
    await storage.write(Write("UPDATE webhooks SET url = :url WHERE public_id = :public_id", (row,)))


async def test_with_another_address_the_next_attempt_goes_there(storage: Storage) -> None:
    async with listening(Moody(reply(500))) as old, listening(OK) as new, at_work(storage) as post:
        webhook = await post.webhook(old.url())
        await post.ask_for(webhook)
        await post.until_attempted(webhook)
        await change_url(storage, webhook.public_id, new.url())
        await post.catalog.reload()
        post.pass_time(10)
        await post.until(webhook, all_delivered)
        assert ids(old) == ids(new)


async def test_with_another_address_the_pause_of_the_old_one_is_over(storage: Storage) -> None:
    moody = Moody(reply(429, "Retry-After: 10000"))
    async with listening(moody) as old, listening(OK) as new, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(old.url())
        await post.ask_for(webhook, 2)
        await post.until(webhook, lambda rows: rows[0].attempts == 1)
        await change_url(storage, webhook.public_id, new.url())
        await post.catalog.reload()
        await post.until(webhook, lambda rows: rows[1].status is DELIVERED)


async def test_with_another_address_while_one_is_under_way_the_others_go_there(storage: Storage) -> None:
    held = Held()
    async with listening(held) as old, listening(OK) as new, at_work(storage, concurrency=1) as post:
        webhook = await post.webhook(old.url())
        first, *others = await post.ask_for(webhook, 3)
        await got(old, 1)
        await change_url(storage, webhook.public_id, new.url())
        await post.catalog.reload()
        held.let_go()
        await post.until(webhook, all_delivered)
        assert (ids(old), ids(new)) == ([first], others)


async def test_two_secrets_are_used_while_one_takes_over_from_the_other(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url(), secret="the first secret")
        until_us = post.clock.now_us() + 60 * SECOND
        for change in (False, True):
            if change:
                await webhooks.change_secret(storage, webhook.public_id, "the second", old_until_us=until_us)
                await post.catalog.reload()
            await post.ask_for(webhook)
            await post.until(webhook, all_delivered)
        post.pass_time(61)
        await post.ask_for(webhook)
        await post.until(webhook, all_delivered)
        signatures = [request.headers["webhook-signature"].split() for request in receiver.requests]
        assert [len(each) for each in signatures] == [1, 2, 1]


# -- what should not happen ------------------------------------------------------------------------------------------


async def test_a_storage_that_refuses_an_outcome_does_not_have_it_made_again_and_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        trouble = Trouble(storage, monkeypatch)
        with trouble.writing(InvalidRows("as told"), lambda write: write.statement.startswith("UPDATE")):
            (public_id,) = await post.ask_for(webhook)
            for number, pause in ((1, 5), (2, 20), (3, 80)):
                await got(receiver, number)
                await until(lambda: trouble.refused == len(receiver.requests))
                post.pass_time(0.7 * pause)
                await asyncio.sleep(0.1)
                assert trouble.refused == len(receiver.requests) == number
                post.pass_time(0.6 * pause)
        await got(receiver, 4)
        await post.until(webhook, all_delivered)
        assert set(ids(receiver)) == {public_id}
        with trouble.writing(InvalidRows("as told"), lambda write: write.statement.startswith("UPDATE")):
            await post.ask_for(webhook)
            await until(lambda: trouble.refused == 4)
        post.pass_time(6.3)  # the pauses begin from the beginning
        await post.until(webhook, all_delivered)
    assert f"what became of delivery {public_id} is lost" in caplog.text


async def test_outcomes_that_are_refused_together_make_one_pause(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 4)
        await got(receiver, 4)
        trouble = Trouble(storage, monkeypatch)
        with trouble.writing(InvalidRows("as told"), lambda write: write.statement.startswith("UPDATE")):
            held.let_go()
            await until(lambda: trouble.refused >= 4)
            await until(lambda: not post.dispatcher._busy)
        post.pass_time(6.3)
        await post.until(webhook, all_delivered)


async def test_while_outcomes_wait_for_the_storage_nothing_more_begins_than_may_be_under_way(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(OK) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 10)
        trouble = Trouble(storage, monkeypatch)
        with trouble.writing():
            await until(lambda: trouble.refused)
            begun = len(receiver.requests)
            post.outbox.ring()
            await asyncio.sleep(0.1)
            assert len(receiver.requests) <= begun + 2
        await post.until(webhook, all_delivered)
        assert len(set(ids(receiver))) == len(receiver.requests) == 10


async def test_a_storage_that_cannot_be_read_leaves_what_is_under_way_alone(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 2)
        await got(receiver, 2)
        trouble = Trouble(storage, monkeypatch)
        with trouble.reading():
            await post.ask_for(webhook)
            await until(lambda: trouble.fetches)
            held.let_go()
            await until(lambda: post.counted("delivered") == 2)
        post.pass_time(10)
        await post.until(webhook, all_delivered)
        assert len(receiver.requests) == 3


@pytest.mark.parametrize("error", [None, ZeroDivisionError("a bug")])
async def test_a_lane_that_cannot_read_what_is_due_rests(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        trouble = Trouble(storage, monkeypatch)
        with trouble.reading(error, "ORDER BY due_us"):
            await post.ask_for(webhook)
            await until(lambda: trouble.unread)
            post.outbox.ring()
            await asyncio.sleep(0.1)
            assert trouble.unread == 1
        post.pass_time(6)
        await post.until(webhook, all_delivered)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("url", ["http://[bad/path", "http://", "ftp://a.example/x", "//a.example", "http://a b/", ""])
async def test_an_address_that_is_none_is_a_failure_as_any_other(storage: Storage, url: str) -> None:
    async with at_work(storage) as post:
        webhook = await post.webhook(url)
        await post.ask_for(webhook)
        row = await post.until_attempted(webhook)
        await asyncio.sleep(0.05)
        assert await post.rows(webhook) == [row]
        assert (row.status, row.attempts, row.response_code) == (PENDING, 1, None)


# -- what is said ----------------------------------------------------------------------------------------------------


async def test_that_a_receiver_fails_is_said_once_and_that_it_is_well_again(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webmacs")
    moody = Moody(reply(500))
    async with listening(moody) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 3)
        await post.until(webhook, lambda rows: all(row.attempts for row in rows))
        moody.answer = reply(200)
        post.pass_time(10)
        await post.until(webhook, all_delivered)
        name = f"webhook {webhook.public_id} (127.0.0.1)"
    assert [record.message for record in caplog.records if "webhook" in record.message] == [
        f"{name} fails, deliveries are tried again: HTTP 500",
        f"{name} takes deliveries again",
    ]


async def test_the_log_says_nothing_of_path_query_password_or_secret(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    moody = Moody()
    async with listening(moody) as receiver, at_work(storage) as post:
        url = f"http://user:canary0@127.0.0.1:{receiver.port}/canary1/path?key=canary2#canary3"
        webhook = await post.webhook(url, secret="canary4 is the secret")
        await post.webhook("http://[canary5/canary6")
        await post.webhook("http://127.0.0.1:1/canary7?canary8")
        for answer in (reply(500), reply(302, "Location: /canary9"), b"canary10\r\n\r\n", reply(200), reply(410)):
            moody.answer = answer
            for each in post.catalog.current.webhooks:
                await post.ask_for(each)
                await post.until(each, lambda rows: all(row.attempts for row in rows))
        await post.enable(webhook, enabled=True)
        moody.answer = reply(200)
        trouble = Trouble(storage, monkeypatch)
        with trouble.writing(InvalidRows("as told"), lambda write: write.statement.startswith("UPDATE")):
            await post.ask_for(webhook)
            await until(lambda: trouble.refused)
    assert len(receiver.requests) > 4
    assert "fails" in caplog.text
    assert "is lost" in caplog.text
    said = [record.getMessage() + str(record.exc_info) for record in caplog.records if record.name != "asyncio"]
    assert not [line for line in said if "canary" in line]
    assert "canary" not in caplog.text
