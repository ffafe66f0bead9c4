"""How those who commit deliveries wake the one who makes them."""

from __future__ import annotations

import asyncio


class Outbox:
    """A bell beside the table `deliveries`: whoever has committed a delivery rings it."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is something to deliver, or may be."""
        self._rung.set()

    async def wait(self, timeout_s: float) -> None:
        """Until somebody rings, or has rung since the last wait, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
