"""Who delivers what, and when: receivers beside each other, restarts, ends, a storage that is away. On each storage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop

from tests.plant import settings_for
from tests.webhooks.posting import NEVER_S, Held, Moody, Post, Trouble, at_work, got, ids, until
from tests.webhooks.receivers import OK, hanging, listening, reply
from tests.webhooks.test_lane import all_delivered
from webmacs.extensions import load_storage
from webmacs.model import DeliveryStatus, Write
from webmacs.storage import webhooks
from webmacs.storage.base import Storage
from webmacs.tasks import end
from webmacs.webhooks import dispatcher as module
from webmacs.webhooks import ledger

DELIVERED, PENDING = DeliveryStatus.DELIVERED, DeliveryStatus.PENDING
AGENDAS = "AS waiting"  # in the statement by which the dispatcher finds out what is due, and in no other


# -- receivers beside each other -------------------------------------------------------------------------------------


@pytest.mark.promise("F10")
async def test_a_receiver_that_hangs_delays_nobody_else(storage: Storage) -> None:
    async with listening(hanging) as stuck, listening(OK) as well, at_work(storage) as post:
        hung, healthy = await post.webhook(stuck.url()), await post.webhook(well.url())
        await post.ask_for(hung, 50)
        await got(stuck, post.settings.concurrency)
        for _ in range(3):
            await post.ask_for(healthy, 20)
            await post.until(healthy, all_delivered)
        assert {row.attempts for row in await post.rows(hung)} == {0}
        assert len(stuck.requests) == post.settings.concurrency


async def test_a_pause_is_that_receivers_alone(storage: Storage) -> None:
    async with (
        listening(Moody(reply(429, "Retry-After: 1000"))) as busy,
        listening(OK) as well,
        at_work(storage, concurrency=1) as post,
    ):
        pausing, healthy = await post.webhook(busy.url()), await post.webhook(well.url())
        await post.ask_for(pausing, 5)
        await post.until(pausing, lambda rows: rows[0].attempts == 1)
        await post.ask_for(healthy, 5)
        await post.ask_for(pausing, 5)
        await post.until(healthy, all_delivered)
        assert len(busy.requests) == 1


async def test_a_hundred_receivers_are_served_beside_each_other(storage: Storage) -> None:
    """On one socket: what counts are the webhooks."""
    held = Held()
    async with listening(held) as receiver, at_work(storage) as post:
        hooks = [await post.webhook(receiver.url(f"/{number}")) for number in range(100)]
        for hook in hooks:
            await post.ask_for(hook)
        await got(receiver, 100)
        held.let_go()
        for hook in hooks:
            await post.until(hook, all_delivered)


# -- when nobody has anything to do ----------------------------------------------------------------------------------


async def test_it_does_not_look_for_what_is_not_there(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits: a pause, a retry, a webhook that is off, or one of which only the storage knows that it is on,
    that it is there at all, that it is gone."""
    moody = Moody(reply(429, "Retry-After: 1000"))
    async with listening(moody) as receiver, at_work(storage, concurrency=1) as post:
        pausing = await post.webhook(receiver.url("/pausing"))
        await post.ask_for(pausing, 2)
        await post.until(pausing, lambda rows: rows[0].attempts == 1)
        moody.answer = reply(500)
        failing = await post.webhook(receiver.url("/failing"))
        await post.ask_for(failing)
        await post.until_attempted(failing)
        off = await post.webhook(receiver.url("/off"), enabled=False)
        await post.ask_for(off)
        again = await post.webhook(receiver.url("/again"), enabled=False)
        await post.ask_for(again)
        gone = await post.webhook(receiver.url("/gone"))
        await storage.write(Write("DELETE FROM webhooks WHERE id = :id", ({"id": gone.id},)))
        await post.ask_for(gone)
        await webhooks.enable_webhook(storage, again.public_id, enabled=True)
        await webhooks.add_webhook(storage, url=receiver.url("/new"), events=["sensor.reading"], now_us=0)
        ((new_id,),) = await storage.fetch("SELECT max(id) FROM webhooks")
        await storage.write(
            Write(
                "INSERT INTO deliveries (public_id, webhook_id, event_type, payload, due_us, created_us)"
                " VALUES ('new', :id, 'sensor.reading', '{}', 0, 0)",
                ({"id": new_id},),
            )
        )
        trouble = Trouble(storage, monkeypatch)
        post.outbox.ring()
        await until(lambda: trouble.fetches)
        await asyncio.sleep(0.1)
        looks = trouble.fetches
        await asyncio.sleep(0.5)
        assert trouble.fetches - looks <= 3
        assert len(receiver.requests) == 2
        moody.answer = reply(200)
        await post.catalog.reload()
        await receiver.until(lambda: "new" in ids(receiver))
        await post.until(again, all_delivered)


async def test_what_another_process_has_asked_for_is_found_by_looking_now_and_then(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage, poll_interval_s=0.05) as post:
        webhook = await post.webhook(receiver.url())
        post.outbox.ring = lambda: None  # type: ignore[method-assign] # the bell of another process
        await post.ask_for(webhook)
        await post.until(webhook, all_delivered)


async def test_what_is_committed_in_the_moment_in_which_there_was_nothing_more_is_not_forgotten(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(storage, monkeypatch)
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await got(receiver, 1)
        with trouble.arriving_late("ORDER BY due_us"):
            await until(lambda: trouble.late)  # it has looked for more, and does not know yet that there is none
            await post.ask_for(webhook)
            looks = trouble.fetches
            await until(lambda: trouble.fetches > looks)
        await post.until(webhook, all_delivered)


async def test_what_is_due_later_wakes_it_by_itself(storage: Storage) -> None:
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        row = {"id": webhook.id, "due_us": post.clock.now_us() + 200_000}
        await storage.write(
            Write(
                "INSERT INTO deliveries (public_id, webhook_id, event_type, payload, due_us, created_us)"
                " VALUES ('later', :id, 'sensor.reading', '{}', :due_us, 0)",
                (row,),
            )
        )
        post.outbox.ring()
        await asyncio.sleep(0.1)
        assert receiver.requests == []
        post.clock.advance(0.2)
        await post.until(webhook, all_delivered)


# -- one run after the other -----------------------------------------------------------------------------------------


async def test_what_waited_at_the_end_of_a_run_is_delivered_by_the_next(storage: Storage) -> None:
    async with listening(OK) as receiver:
        async with at_work(storage) as post:
            webhook = await post.webhook(receiver.url(), enabled=False)
            asked = await post.ask_for(webhook, 3)
            await webhooks.enable_webhook(storage, webhook.public_id, enabled=True)
        assert receiver.requests == []
        async with at_work(storage) as post:
            await post.until(webhook, all_delivered)
        assert sorted(ids(receiver)) == sorted(asked)


@pytest.mark.promise("F10")
async def test_what_was_under_way_when_a_run_ended_is_made_again_under_the_same_id(storage: Storage) -> None:
    async with listening(hanging) as receiver:
        async with at_work(storage, concurrency=2) as post:
            webhook = await post.webhook(receiver.url())
            asked = await post.ask_for(webhook, 3)
            await got(receiver, 2)
        assert {row.attempts for row in await post.rows(webhook)} == {0}
        receiver._behave = OK
        async with at_work(storage) as post:
            await post.until(webhook, all_delivered)
        assert set(ids(receiver)) == set(asked)
        assert len(receiver.requests) == 5


async def test_a_run_that_ends_between_an_answer_and_its_record_is_repeated_under_the_same_id(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(OK) as receiver:
        with monkeypatch.context() as patch:
            trouble = Trouble(storage, patch)
            async with at_work(storage) as post:
                webhook = await post.webhook(receiver.url())
                (public_id,) = await post.ask_for(webhook)
                with trouble.writing():
                    await until(lambda: trouble.refused)
                    await post.dispatcher.close(0)
        assert [row.status for row in await post.rows(webhook)] == [PENDING]
        async with at_work(storage) as post:
            await post.until(webhook, all_delivered)
        assert ids(receiver) == [public_id] * 2


async def test_retries_go_on_in_the_next_run_where_they_were(storage: Storage) -> None:
    moody = Moody(reply(500))
    async with listening(moody) as receiver:
        async with at_work(storage) as post:
            webhook = await post.webhook(receiver.url())
            await post.ask_for(webhook)
            before = await post.until_attempted(webhook)
        async with at_work(storage) as post:
            await asyncio.sleep(0.1)
            assert await post.rows(webhook) == [before]
            post.pass_time(10)
            after = await post.until_attempted(webhook, 2)
        pause_s = (after.due_us - post.clock.now_us()) / 1e6
        assert 15 <= pause_s <= 25


# -- the end of a run ------------------------------------------------------------------------------------------------


async def test_what_is_under_way_has_a_while_to_end_and_is_recorded(storage: Storage) -> None:
    held = Held()
    async with listening(held) as receiver, at_work(storage, concurrency=2) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 5)
        await got(receiver, 2)
        closing = asyncio.create_task(post.dispatcher.close(30))
        await asyncio.sleep(0.05)
        assert not closing.done()
        held.let_go()
        await closing
        rows = await post.rows(webhook)
        assert [row.status for row in rows].count(DELIVERED) == len(receiver.requests) == 2


async def test_an_outcome_is_recorded_also_of_an_attempt_that_nobody_waits_for_any_more(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the grace ends between an answer and its record."""
    trouble = Trouble(storage, monkeypatch)
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        with trouble.held():
            await until(lambda: trouble.waiting)
            await end(*post.dispatcher._busy.values())
            closing = asyncio.create_task(post.dispatcher.close(30))
            await asyncio.sleep(0.05)
            assert not closing.done()
        await closing
        assert [row.status for row in await post.rows(webhook)] == [DELIVERED]


async def test_an_end_without_a_storage_has_an_end(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble(storage, monkeypatch)
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        with trouble.writing():
            await until(lambda: trouble.refused)
            async with asyncio.timeout(10):
                await post.dispatcher.close(0.05)
        assert len(receiver.requests) == 1
    assert "they are attempted again" in caplog.text


async def test_after_the_end_nothing_runs_any_more(storage: Storage) -> None:
    before = asyncio.all_tasks()
    async with listening(hanging) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook, 20)
        await got(receiver, 4)
    await until(lambda: asyncio.all_tasks() == before)
    assert receiver.connections == 4


async def test_it_may_be_closed_twice_before_it_is_started_and_at_once_after_it(storage: Storage) -> None:
    post = Post(storage)
    await post.dispatcher.close(1)
    post = Post(storage)
    await post.dispatcher.start()
    await post.dispatcher.close(1)
    await post.dispatcher.close(1)


async def test_when_its_closing_is_cut_short_nothing_hangs(storage: Storage) -> None:
    async with listening(hanging) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        await post.ask_for(webhook)
        await got(receiver, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await post.dispatcher.close(NEVER_S)


# -- a storage that is away ------------------------------------------------------------------------------------------


async def test_a_storage_that_was_away_is_looked_into_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        trouble = Trouble(storage, monkeypatch)
        with trouble.reading(what=AGENDAS):
            await post.ask_for(webhook)
            await until(lambda: trouble.unread >= 3)
        await post.until(webhook, all_delivered)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]  # others say so


async def test_a_bug_does_not_end_it_and_is_said(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    async with listening(OK) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        trouble = Trouble(storage, monkeypatch)
        with trouble.reading(ZeroDivisionError("a bug"), AGENDAS):
            await post.ask_for(webhook)
            await until(lambda: trouble.unread >= 3)
        await post.until(webhook, all_delivered)
    assert "looking for deliveries failed; it goes on" in caplog.text


async def test_an_outcome_waits_for_the_storage_and_nothing_is_delivered_twice(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "AGAIN_S", 0.01)
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(listening(OK)) for _ in range(5)]
        post = await stack.enter_async_context(at_work(storage))
        hooks = [await post.webhook(receiver.url()) for receiver in receivers]
        trouble = Trouble(storage, monkeypatch)
        for hook in hooks:
            await post.ask_for(hook, 10)
        with trouble.writing():
            await until(lambda: trouble.refused >= 3)
        for hook in hooks:
            await post.until(hook, all_delivered)
        for receiver in receivers:
            assert len(ids(receiver)) == len(set(ids(receiver))) == 10


# -- on the loop that servers run on ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_on_either_loop_all_is_delivered_and_ended(
    factory: Callable[[], asyncio.AbstractEventLoop], storage_url: str, tmp_path: Path
) -> None:
    async def deliver_and_end() -> None:
        storage = load_storage(settings_for(storage_url, tmp_path))
        await storage.open()
        try:
            async with listening(OK) as well, listening(hanging) as stuck, at_work(storage) as post:
                healthy, hung = await post.webhook(well.url()), await post.webhook(stuck.url())
                await post.ask_for(hung, 10)
                await post.ask_for(healthy, 100)
                await post.until(healthy, all_delivered)
                await got(stuck, 4)
                await post.dispatcher.close(0.05)
            assert len(set(ids(well))) == len(well.requests) == 100
        finally:
            await storage.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(deliver_and_end())


async def test_busy_receivers_are_counted(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    held = Held()
    async with listening(held) as receiver, at_work(storage) as post:
        webhook = await post.webhook(receiver.url())
        assert b"webmacs_webhook_receivers_busy 0.0" in post.metrics.text()
        await post.ask_for(webhook)
        await got(receiver, 1)
        assert b"webmacs_webhook_receivers_busy 1.0" in post.metrics.text()
        held.let_go()
        await post.until(webhook, all_delivered)
        await until(lambda: b"webmacs_webhook_receivers_busy 0.0" in post.metrics.text())
