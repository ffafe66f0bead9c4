"""When Python looks for garbage that refers to itself: at times of its own, not in the middle of what makes objects.

By itself the collector comes after so many new objects, so just when most readings wait, and walks all of them: 30 to
50 ms in which nothing else happens. Nearly all that the server makes is freed without it.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from webmacs.tasks import end

EVERY_S: Final = 1.0
OLD_EVERY: Final = 60  # of these, one that looks at everything
QUIET_ROWS: Final = 2_000
LOOK_EVERY_S: Final = 0.02
PATIENCE: Final = 250  # looks: who is never quiet is collected nevertheless
YOUNG, ALL = 1, 2


@asynccontextmanager
async def collected_apart(
    waiting: Callable[[], int], every_s: float = EVERY_S, old_every: int = OLD_EVERY
) -> AsyncIterator[None]:
    """Leave alone what there is already, and collect every so often what is new; every so many times, all of it.

    `waiting`: how many rows wait to be stored, each of which has to be walked. It is put off while there are many.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    task = asyncio.create_task(_collect(waiting, every_s, old_every), name="garbage")
    try:
        yield
    finally:
        await end(task)
        gc.enable()
        gc.unfreeze()


async def _collect(waiting: Callable[[], int], every_s: float, old_every: int) -> None:
    while True:
        for turn in range(1, old_every + 1):
            await asyncio.sleep(every_s)
            for _ in range(PATIENCE):
                if waiting() < QUIET_ROWS:
                    break
                await asyncio.sleep(LOOK_EVERY_S)
            gc.collect(YOUNG if turn < old_every else ALL)
