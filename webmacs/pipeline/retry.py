"""Trying again while the storage is away."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from webmacs.errors import StorageUnavailable
from webmacs.metrics import Metrics

_log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY_S: Final = 0.05


class Retry:
    """Repeats a request until the storage is available, with exponential back-off and jitter.

    The request must be the same every time: an attempt that failed may have succeeded without our hearing of it.
    """

    def __init__(self, max_delay_s: float, metrics: Metrics) -> None:
        self._max_delay_s = max_delay_s
        self._retries = metrics.counter("storage_retries", "Attempts that found the storage unavailable")
        self.available = True

    async def until_available(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that finds the storage available; other errors pass through."""
        delay_s = FIRST_DELAY_S
        while True:
            try:
                result = await attempt()
            except StorageUnavailable as error:
                if self.available:
                    _log.warning("storage unavailable, readings wait: %s", error)
                self.available = False
                self._retries.add()
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                delay_s = min(delay_s * 2, self._max_delay_s)
            else:
                if not self.available:
                    _log.info("the storage is back")
                self.available = True
                return result
