"""Tasks that run beside the requests: how they are ended."""

from __future__ import annotations

import asyncio
from typing import Any, Final

AGAIN_S: Final = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they do.

    Those that go on are cancelled again: `wait_for` of Python 3.11, by which aiopg waits for each answer, loses a
    cancellation that arrives in the same turn of the loop as the answer (python/cpython#86296).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _done, pending = await asyncio.wait(pending, timeout=AGAIN_S)
