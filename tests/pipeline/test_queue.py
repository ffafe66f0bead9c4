"""The queue: its bound, its order, and what becomes of senders when it is full."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.pipeline.fakes import EVENTS
from tests.virtual_time import SkippingLoop, settle, virtual_time
from webmacs.config import PipelineSettings
from webmacs.errors import Overloaded, ShuttingDown
from webmacs.model import Reading
from webmacs.pipeline.base import Batch
from webmacs.pipeline.queue import NOT_STORED, RowQueue

LIMIT = 10
TIMEOUT_S = 5.0


def batch(rows: int = 1, batch_id: str | None = None, user_id: int = 1) -> Batch:
    return Batch(None, user_id, 0, readings=[Reading(EVENTS["a"], 0, 0.0, None)] * rows, batch_id=batch_id)


def new_queue(dropped: list[Batch] | None = None, interval_ms: int = 0) -> RowQueue:
    limits = PipelineSettings(queue_rows=LIMIT, overload_timeout_s=TIMEOUT_S, commit_interval_ms=interval_ms)
    return RowQueue(limits, ([] if dropped is None else dropped).append)


async def full_queue(dropped: list[Batch] | None = None) -> tuple[RowQueue, Batch]:
    queue, held = new_queue(dropped), batch(LIMIT)
    await queue.put(held)
    return queue, held


def now() -> float:
    return asyncio.get_running_loop().time()


# -- taking ----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_batches_come_out_in_the_order_they_went_in() -> None:
    queue, batches = new_queue(), [batch() for _ in range(5)]
    for one in batches:
        await queue.put(one)
    assert await queue.take(3) == batches[:3]
    assert await queue.take(3) == batches[3:]


@virtual_time
async def test_a_batch_is_never_split() -> None:
    queue = new_queue()
    for rows in (2, 2, 2):
        await queue.put(batch(rows))
    assert [len(await queue.take(5)), len(await queue.take(5))] == [2, 1]


@virtual_time
async def test_a_batch_larger_than_may_be_taken_is_taken_alone() -> None:
    queue = new_queue()
    await queue.put(batch(8))
    await queue.put(batch(1))
    assert [len(await queue.take(5)), len(await queue.take(5))] == [1, 1]


@virtual_time
async def test_a_batch_without_rows_is_not_free() -> None:
    queue = new_queue()
    for _ in range(LIMIT):
        await queue.put(batch(0))
    assert queue.rows == LIMIT


@virtual_time
async def test_taking_ends_before_an_identity_that_is_among_the_taken() -> None:
    queue = new_queue()
    first, other_user, again = batch(batch_id="x"), batch(batch_id="x", user_id=2), batch(batch_id="x")
    for one in (first, other_user, again, batch()):
        await queue.put(one)
    assert await queue.take(100) == [first, other_user]
    assert (await queue.take(100))[0] is again


@virtual_time
async def test_taking_waits_for_the_first_batch() -> None:
    queue = new_queue()
    taker = asyncio.create_task(queue.take(10))
    await asyncio.sleep(1000)
    assert not taker.done()
    one = batch()
    await queue.put(one)
    assert await taker == [one]


# -- company ---------------------------------------------------------------------------------------------------------


async def resting_queue() -> RowQueue:
    """Something was taken just now, and its fate is decided."""
    queue = new_queue(interval_ms=1000)
    await queue.put(batch())
    queue.done(await queue.take(LIMIT))
    return queue


@virtual_time
async def test_what_comes_soon_after_the_last_time_is_taken_when_the_interval_is_over() -> None:
    queue = await resting_queue()
    taken = asyncio.create_task(queue.take(LIMIT))
    batches = [batch(), batch(), batch()]
    for one in batches:
        await asyncio.sleep(0.3)
        await queue.put(one)
    assert await taken == batches
    assert now() == pytest.approx(1.0)


@virtual_time
async def test_the_interval_begins_with_the_taking_and_not_with_its_end() -> None:
    queue = new_queue(interval_ms=1000)
    await queue.put(batch())
    taken = await queue.take(LIMIT)
    await asyncio.sleep(0.75)  # a commit that takes long
    queue.done(taken)
    await queue.put(batch())
    await queue.take(LIMIT)
    assert now() == pytest.approx(1.0)


@virtual_time
async def test_what_comes_after_the_interval_is_taken_at_once() -> None:
    queue = await resting_queue()
    taken = asyncio.create_task(queue.take(LIMIT))
    await asyncio.sleep(7.0)
    await queue.put(batch())
    assert len(await taken) == 1
    assert now() == pytest.approx(7.0)


@virtual_time
async def test_as_many_rows_as_are_taken_at_once_wait_for_no_company() -> None:
    queue = await resting_queue()
    taken = asyncio.create_task(queue.take(3))
    await queue.put(batch(2))
    await settle()
    assert not taken.done()
    await queue.put(batch(1))
    assert len(await taken) == 2
    assert now() == 0.0


@virtual_time
async def test_who_waits_for_room_does_not_wait_for_company() -> None:
    queue = await resting_queue()
    taken = asyncio.create_task(queue.take(100))
    await queue.put(batch(LIMIT - 1))
    await settle()
    assert not taken.done()
    sender = asyncio.create_task(queue.put(batch(2)))
    queue.done(await taken)
    await sender
    assert now() == 0.0


@virtual_time
async def test_a_stop_does_not_wait_for_company() -> None:
    queue = await resting_queue()
    taken = asyncio.create_task(queue.take(LIMIT))
    await queue.put(batch())
    await settle()
    queue.close()
    assert len(await taken) == 1
    assert await queue.take(LIMIT) == []
    assert now() == 0.0


@virtual_time
async def test_taking_goes_on_when_what_waited_for_company_is_withdrawn() -> None:
    queue, one, other = await resting_queue(), batch(), batch()
    taken = asyncio.create_task(queue.take(LIMIT))
    await queue.put(one)
    await settle()
    assert queue.withdraw(one)
    await asyncio.sleep(5.0)
    assert not taken.done()
    await queue.put(other)
    assert await taken == [other]


# -- room ------------------------------------------------------------------------------------------------------------


@virtual_time
async def test_rows_count_until_the_fate_of_their_batch_is_decided() -> None:
    queue = new_queue()
    await queue.put(batch(4))
    taken = await queue.take(10)
    assert queue.rows == 4
    queue.done(taken)
    assert queue.rows == 0


@virtual_time
async def test_what_somebody_does_to_a_queued_batch_does_not_change_what_it_counts() -> None:
    queue = new_queue()
    await queue.put(batch(4))
    taken = await queue.take(10)
    taken[0].readings.clear()
    queue.done(taken)
    assert queue.rows == 0


@virtual_time
async def test_a_batch_larger_than_the_queue_gets_in_when_it_is_empty_and_alone() -> None:
    queue, held = await full_queue()
    giant = asyncio.create_task(queue.put(batch(3 * LIMIT)))
    await settle()
    assert not giant.done()
    queue.done(await queue.take(100))
    await giant
    assert queue.rows == 3 * LIMIT
    late = asyncio.create_task(queue.put(batch(1)))
    await settle()
    assert not late.done()
    late.cancel()
    assert held.cost == LIMIT


@virtual_time
async def test_senders_that_wait_get_in_in_the_order_they_came() -> None:
    queue, held = await full_queue()
    entered: list[int] = []

    async def enter(number: int, rows: int) -> None:
        await queue.put(batch(rows))
        entered.append(number)

    senders = [asyncio.create_task(enter(number, rows)) for number, rows in enumerate((LIMIT, 1, 2))]
    await settle()
    queue.done(await queue.take(100))
    await settle()
    assert entered == [0]  # the small ones do not overtake
    queue.done(await queue.take(100))
    await asyncio.gather(*senders)
    assert entered == [0, 1, 2]
    assert held.settled is False


@virtual_time
async def test_nobody_overtakes_those_who_wait() -> None:
    queue = new_queue()
    await queue.put(batch(6))
    large = asyncio.create_task(queue.put(batch(5)))
    await settle()
    small = asyncio.create_task(queue.put(batch(1)))
    await settle()
    assert not small.done()
    queue.done(await queue.take(100))
    await asyncio.gather(large, small)
    assert [one.cost for one in await queue.take(100)] == [5, 1]


# -- overload --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_sender_is_refused_when_no_room_has_come_for_too_long() -> None:
    queue, _ = await full_queue()
    with pytest.raises(Overloaded, match=NOT_STORED):
        await queue.put(batch())
    assert (now(), queue.overloaded) == (TIMEOUT_S, True)


@virtual_time
async def test_all_that_wait_are_refused_with_the_first() -> None:
    queue, _ = await full_queue()
    senders = [asyncio.create_task(queue.put(batch())) for _ in range(2)]
    await asyncio.sleep(4.0)
    senders.append(asyncio.create_task(queue.put(batch())))
    outcomes = await asyncio.gather(*senders, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Overloaded] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3  # an error of one's own: its trace grows where it is raised
    assert now() == TIMEOUT_S


@virtual_time
async def test_while_overloaded_senders_are_refused_at_once() -> None:
    queue, _ = await full_queue()
    for _ in range(2):
        with pytest.raises(Overloaded, match=NOT_STORED):
            await queue.put(batch())
    assert now() == TIMEOUT_S


@virtual_time
async def test_room_ends_the_overload() -> None:
    queue, _ = await full_queue()
    with pytest.raises(Overloaded):
        await queue.put(batch())
    queue.done(await queue.take(100))
    assert not queue.overloaded
    await queue.put(batch())
    assert queue.rows == 1


@virtual_time
async def test_while_there_is_progress_those_who_wait_are_patient() -> None:
    queue = new_queue()
    for _ in range(LIMIT):
        await queue.put(batch())
    large = asyncio.create_task(queue.put(batch(3)))
    for _ in range(3):
        await asyncio.sleep(4.0)
        assert not large.done()
        queue.done(await queue.take(1))
    await large
    assert now() == 12.0


@virtual_time
async def test_progress_that_makes_too_little_room_buys_no_more_than_its_time() -> None:
    queue = new_queue()
    for rows in (1, LIMIT - 1):
        await queue.put(batch(rows))
    large = asyncio.create_task(queue.put(batch(3)))
    await asyncio.sleep(4.0)
    queue.done(await queue.take(1))
    with pytest.raises(Overloaded):
        await large
    assert now() == 4.0 + TIMEOUT_S


@virtual_time
async def test_a_sender_that_gives_up_lets_in_those_behind_it() -> None:
    queue = new_queue()
    await queue.put(batch(6))
    large = asyncio.create_task(queue.put(batch(5)))
    await settle()
    small = asyncio.create_task(queue.put(batch(4)))
    await settle()
    large.cancel()
    await small
    assert (queue.rows, now()) == (10, 0.0)


@virtual_time
async def test_a_sender_that_gave_up_is_no_overload() -> None:
    queue, _ = await full_queue()
    sender = asyncio.create_task(queue.put(batch()))
    await settle()
    sender.cancel()
    await asyncio.sleep(2 * TIMEOUT_S)
    assert not queue.overloaded


@virtual_time
async def test_a_sender_cancelled_in_the_moment_of_its_turn_takes_no_room_it_does_not_use() -> None:
    queue, _ = await full_queue()
    first, second = (asyncio.create_task(queue.put(batch(LIMIT))) for _ in range(2))
    await settle()
    first.cancel()
    queue.done(await queue.take(100))
    await settle()
    assert (first.cancelled(), second.done(), queue.rows) == (True, True, LIMIT)


@virtual_time
async def test_a_sender_cancelled_in_the_moment_it_is_refused_is_cancelled() -> None:
    queue, _ = await full_queue()
    sender = asyncio.create_task(queue.put(batch()))
    await settle()
    sender.cancel()
    queue.close()
    await settle()
    assert sender.cancelled()


# -- withdrawing, closing --------------------------------------------------------------------------------------------


@virtual_time
async def test_a_withdrawn_batch_gives_back_its_room() -> None:
    queue, held = await full_queue()
    waiting = asyncio.create_task(queue.put(batch(2)))
    await settle()
    assert queue.withdraw(held)
    await waiting
    assert [one.cost for one in await queue.take(100)] == [2]
    assert not queue.withdraw(held)


@virtual_time
async def test_closing_refuses_who_waits_and_who_comes_and_gives_out_what_is_there() -> None:
    queue, held = await full_queue()
    waiting = asyncio.create_task(queue.put(batch()))
    await settle()
    queue.close()
    for refused in (waiting, queue.put(batch())):
        with pytest.raises(ShuttingDown, match=NOT_STORED):
            await refused
    assert await queue.take(100) == [held]
    assert await queue.take(100) == []


@virtual_time
async def test_closing_ends_the_wait_of_who_takes() -> None:
    queue = new_queue()
    taker = asyncio.create_task(queue.take(10))
    await settle()
    queue.close()
    assert await taker == []


@virtual_time
async def test_what_is_abandoned_is_handed_back() -> None:
    queue, held = await full_queue()
    queue.close()
    assert (queue.abandon(), queue.rows, await queue.take(10)) == ([held], 0, [])


@virtual_time
async def test_each_batch_that_nobody_will_commit_is_told_once() -> None:
    dropped: list[Batch] = []
    queue, held = await full_queue(dropped)
    gone, late, refused, withdrawn, left, after = (batch() for _ in range(6))
    senders = [asyncio.create_task(queue.put(one)) for one in (gone, late)]
    await settle()
    senders[0].cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    with pytest.raises(Overloaded):
        await queue.put(refused)
    queue.done(await queue.take(100))
    for one in (withdrawn, left):
        await queue.put(one)
    queue.withdraw(withdrawn)
    queue.close()
    queue.abandon()
    with pytest.raises(ShuttingDown):
        await queue.put(after)
    assert dropped == [gone, late, refused, withdrawn, left, after]
    assert held not in dropped


@virtual_time
async def test_so_is_one_whose_sender_gave_up_in_the_moment_of_its_turn() -> None:
    dropped: list[Batch] = []
    for ended_by in ("room", "close"):
        queue, _ = await full_queue(dropped)
        sender = asyncio.create_task(queue.put(batch()))
        await settle()
        sender.cancel()
        if ended_by == "room":
            queue.done(await queue.take(100))
        else:
            queue.close()
        await settle()
    assert len(dropped) == len(set(map(id, dropped))) == 2


# -- whatever happens ------------------------------------------------------------------------------------------------


class QueueMachine(RuleBasedStateMachine):
    """Senders of batches of any size that come, wait, give up; a taker that is quick or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SkippingLoop()
        self.dropped: list[Batch] = []
        self.queue = new_queue(self.dropped)
        self.made = self.stored = 0
        self.sent: dict[asyncio.Task[None], Batch] = {}
        self.labels: dict[int, int] = {}
        self.queued: list[Batch] = []
        self.taken: list[Batch] = []
        self.last_label = 0
        self.room_at = 0.0
        self.waits_since: dict[asyncio.Task[None], float] = {}

    def teardown(self) -> None:
        """Whatever happened: when all is taken, everyone has an answer and the accounts are even."""
        try:
            while self.sent or self.queued or self.taken:
                if self.queued:
                    self.take(7)
                self.done()
            assert self.queue.rows == 0
            assert not self.queue._waiting
        finally:
            self.loop.close()

    def turn(self) -> None:
        self.loop.run_until_complete(settle(5))
        for task in [task for task in self.sent if task.done()]:
            one = self.sent.pop(task)
            self.waits_since.pop(task, None)
            if task.cancelled():
                if one in self.queue._batches and one not in self.queued:
                    self.queued.append(one)
            elif task.exception() is None:
                self.queued.append(one)
            else:
                assert isinstance(task.exception(), Overloaded)
                assert self.queue.overloaded
                assert self.loop.time() - self.room_at >= TIMEOUT_S

    @rule(rows=st.integers(0, LIMIT + 4))
    def put(self, rows: int) -> None:
        one = batch(rows)
        self.made += 1
        self.labels[id(one)] = self.made
        task = self.loop.create_task(self.queue.put(one))
        self.sent[task] = one
        self.waits_since[task] = self.loop.time()
        self.turn()

    @precondition(lambda self: self.queued)
    @rule(max_rows=st.integers(1, LIMIT + 4))
    def take(self, max_rows: int) -> None:
        taken = self.loop.run_until_complete(self.queue.take(max_rows))
        assert len(taken) == 1 or sum(one.cost for one in taken) <= max_rows
        for one in taken:
            assert self.queued.pop(0) is one
            assert self.labels[id(one)] > self.last_label  # first come, first served
            self.last_label = self.labels[id(one)]
        self.taken.extend(taken)

    @precondition(lambda self: self.taken)
    @rule()
    def done(self) -> None:
        self.room_at = self.loop.time()
        self.stored += len(self.taken)
        self.loop.call_soon(self.queue.done, self.taken)
        self.taken = []
        self.turn()

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.queued))
        self.room_at = self.loop.time()
        self.loop.call_soon(self.queue.withdraw, one)
        self.queued.remove(one)
        self.turn()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(list(self.sent))).cancel()
        self.turn()

    @rule(seconds=st.sampled_from([1.0, 2.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.turn()

    @invariant()
    def the_accounts_are_right_and_the_bound_holds(self) -> None:
        held = [*self.queued, *self.taken]
        assert self.queue.rows == sum(one.cost for one in held)
        assert self.queue.rows <= LIMIT or len(held) == 1

    @invariant()
    def what_is_not_there_and_not_stored_was_dropped_once(self) -> None:
        there = len(self.sent) + len(self.queued) + len(self.taken)
        assert self.made == self.stored + there + len(self.dropped)
        assert len(set(map(id, self.dropped))) == len(self.dropped)

    @invariant()
    def nobody_waits_where_there_is_room_or_for_too_long(self) -> None:
        if self.sent:
            assert self.queue.rows + (len(next(iter(self.sent.values())).readings) or 1) > LIMIT
            for since in self.waits_since.values():
                assert self.loop.time() - max(since, self.room_at) < TIMEOUT_S


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
