"""The observer: sleeps for a minute over each commit."""

from __future__ import annotations

import asyncio

from webmacs.pipeline.base import Committed, Observer


class Sleeper(Observer):
    """Takes its time."""

    async def observe(self, committed: Committed) -> None:
        """See `Observer`."""
        await asyncio.sleep(60)
