"""Tasks that run beside the requests: how they are ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

_log = logging.getLogger(__name__)

AGAIN_S: Final = 0.5
ATTEMPTS: Final = 10


async def end(*tasks: asyncio.Task[Any]) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait until they have ended, however they do; those that will not are left, and returned.

    Those that go on are cancelled again: `wait_for` of Python 3.11, by which aiopg waits for each answer, loses a
    cancellation that arrives in the same turn of the loop as the answer (python/cpython#86296).
    """
    pending = {task for task in tasks if not task.done()}
    for _ in range(ATTEMPTS):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _done, pending = await asyncio.wait(pending, timeout=AGAIN_S)
    for task in pending:
        _log.error("%s does not end when it is cancelled, and is left behind", task.get_name())
    return pending


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Some work that goes on meanwhile, and is cancelled at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await end(task)
