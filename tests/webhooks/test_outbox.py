"""The bell that wakes the one who delivers."""

from __future__ import annotations

import asyncio

from tests.virtual_time import settle, virtual_time
from webmacs.webhooks.outbox import Outbox


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_whoever_waits_is_woken_at_once() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.wait(60))
    await settle()
    outbox.ring()
    await waiting
    assert now() == 0


@virtual_time
async def test_what_was_rung_before_the_wait_counts() -> None:
    outbox = Outbox()
    outbox.ring()
    await outbox.wait(60)
    assert now() == 0


@virtual_time
async def test_it_is_heard_once_however_often_it_was_rung() -> None:
    outbox = Outbox()
    outbox.ring()
    outbox.ring()
    await outbox.wait(60)
    await outbox.wait(60)
    assert now() == 60


@virtual_time
async def test_a_wait_without_it_ends_with_its_time() -> None:
    outbox = Outbox()
    await outbox.wait(2.5)
    assert now() == 2.5


@virtual_time
async def test_a_wait_for_no_time_at_all_ends() -> None:
    outbox = Outbox()
    await outbox.wait(0)
    await outbox.wait(-1)
    assert now() == 0
