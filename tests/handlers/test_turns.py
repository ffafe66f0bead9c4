"""Whose turn it is: nobody holds up the loop, and nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.virtual_time import settle, virtual_time
from webmacs.handlers.turns import Turns
from webmacs.tasks import end

SLICE_S = 0.005
WORK_S = 0.001


class Work:
    """Senders that have always something to do, each time for a millisecond, and the clock that they move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(SLICE_S, lambda: self.now)
        self.done = Counter[str]()

    async def endless(self, name: str) -> None:
        while True:
            await self.turns.take()
            self.now += WORK_S
            self.done[name] += 1

    async def longest_turn(self, turns: int) -> float:
        """How long the loop was kept, at most, in so many of its turns."""
        longest = 0.0
        for _ in range(turns):
            began = self.now
            await asyncio.sleep(0)
            longest = max(longest, self.now - began)
        return longest


@virtual_time
async def test_who_needs_little_does_not_wait() -> None:
    work = Work()
    others: list[str] = []
    asyncio.get_running_loop().call_soon(others.append, "came")
    for _ in range(1000):
        await work.turns.take()
    assert others == []


@virtual_time
async def test_who_has_always_something_to_do_keeps_nobody_for_longer_than_a_slice() -> None:
    work = Work()
    task = asyncio.create_task(work.endless("a"))
    assert await work.longest_turn(100) <= SLICE_S + WORK_S
    await end(task)
    assert work.done["a"] > 100


@pytest.mark.promise("P8")
@virtual_time
async def test_many_together_keep_nobody_for_longer_than_a_slice_and_one_step_each_at_first() -> None:
    work = Work()
    tasks = [asyncio.create_task(work.endless(str(number))) for number in range(50)]
    await work.longest_turn(3)
    assert await work.longest_turn(1000) <= SLICE_S + WORK_S
    await end(*tasks)


@virtual_time
async def test_all_have_the_same() -> None:
    work = Work()
    tasks = [asyncio.create_task(work.endless(name)) for name in "abcde"]
    await work.longest_turn(500)
    await end(*tasks)
    assert min(work.done.values()) >= 0.9 * max(work.done.values()) > 100


@virtual_time
async def test_who_leaves_while_waiting_holds_up_nobody() -> None:
    work = Work()
    tasks = [asyncio.create_task(work.endless(name)) for name in "abcd"]
    await work.longest_turn(5)
    await end(*tasks[1:])
    done = work.done.copy()
    await work.longest_turn(50)
    assert work.done - done == Counter(a=work.done["a"] - done["a"])
    assert work.done["a"] > done["a"] + 50
    await end(tasks[0])


@virtual_time
async def test_a_turn_of_the_loop_that_is_over_is_no_debt() -> None:
    work = Work()
    await work.turns.take()
    work.now += 60  # somebody took very long
    await settle()
    came: list[str] = []
    asyncio.get_running_loop().call_soon(came.append, "others")
    await work.turns.take()
    assert came == []
