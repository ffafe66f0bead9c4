"""How tasks are ended."""

from __future__ import annotations

import asyncio

import pytest

from webmacs import tasks


async def test_a_task_that_is_ended_has_ended() -> None:
    sleeper = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    await tasks.end(sleeper)
    assert sleeper.cancelled()


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    answer = asyncio.get_running_loop().create_future()

    async def ask_and_go_on() -> None:
        await asyncio.wait_for(answer, 10)
        await asyncio.sleep(3600)

    task = asyncio.create_task(ask_and_go_on())
    await asyncio.sleep(0)
    answer.set_result(None)
    async with asyncio.timeout(5):
        await tasks.end(task)
    assert task.cancelled()


async def test_a_task_that_will_not_hear_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    told = 0

    async def deaf() -> None:
        nonlocal told
        while told < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                told += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.end(task)
    assert told == 3


async def test_what_has_ended_already_is_left_alone() -> None:
    async def fail() -> None:
        raise ValueError

    failed = asyncio.create_task(fail())
    await asyncio.wait([failed])
    await tasks.end(failed)
    assert isinstance(failed.exception(), ValueError)
    await tasks.end()


async def test_a_task_that_never_ends_is_left_behind_by_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)
    enough = asyncio.Event()

    async def stubborn() -> None:
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn(), name="the stubborn one")
    other = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await tasks.end(task, other) == {task}
    assert other.cancelled()
    assert "the stubborn one does not end when it is cancelled" in caplog.text
    enough.set()
    await task
