"""Observers that hang: `pipeline.stages` may name them as `tests.faults.hanging:Sleeping`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar, Literal

from webmacs.pipeline.base import Committed, Observer


class Sleeping(Observer):
    """Sleeps until it is cancelled, and misses the oldest commits."""

    async def observe(self, committed: Committed) -> None:
        """See `Observer`."""
        await asyncio.Event().wait()


class Stubborn(Observer):
    """Sleeps, and does not hear that it is cancelled."""

    async def observe(self, committed: Committed) -> None:
        """See `Observer`."""
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class SleepingNewest(Sleeping):
    """The same; while it sleeps, the newest values are kept for it."""

    overflow: ClassVar[Literal["coalesce", "drop"]] = "coalesce"
