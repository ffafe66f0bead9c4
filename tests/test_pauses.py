"""Long work lets others have their turn."""

from __future__ import annotations

import asyncio

from webmacs.pauses import Pauses


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        return self.time_s


async def test_others_run_when_work_has_gone_on_for_a_slice_and_not_before() -> None:
    clock, ran = Clock(), list[float]()

    async def other() -> None:
        while True:
            ran.append(clock.time_s)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    pauses = Pauses(4.0, clock)
    for _ in range(10):
        clock.time_s += 1.5
        await pauses.between()
    task.cancel()
    assert ran == [4.5, 9.0, 13.5]
