"""When the log of an SQLite file is folded into it.

SQLite does so by itself, but begins its log anew only at a moment in which nobody reads. On a busy server there is
none: the log grows, and with it the memory that maps its index, for as long as charts are looked at. So now and then
who wants to read waits outside until those who do have left and the log is folded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from webmacs.errors import StorageUnavailable

_log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
MAX_DELAY_S: Final = 60.0
PATIENCE_S: Final = 0.5  # for which readers wait, as long as the log is not very much too large
VERY: Final = 4
MB: Final = 1_000_000


class Door:
    """Many read at once; whoever wants to be alone waits until they have left, and nobody else comes in meanwhile."""

    def __init__(self) -> None:
        self._inside = 0
        self._open, self._empty = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._empty.set()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Come in when it is open."""
        await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self, patience_s: float) -> AsyncIterator[None]:
        """Wait until everyone has left. Raises `TimeoutError`. One at a time."""
        self._open.clear()
        try:
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
            yield
        finally:
            self._open.set()


class Folding:
    """Looks at the size of the log, and has it folded when it is too large."""

    def __init__(self, path: Path, limit_mb: int, longest_s: float) -> None:
        """No reader stays for longer than `longest_s`."""
        self._log_file, self._limit = path.with_name(f"{path.name}-wal"), limit_mb * MB
        self._longest_s = longest_s
        self.door = Door()

    async def run(self, fold: Callable[[], Awaitable[bool]]) -> None:
        """Until cancelled. `fold` says whether all of it was; if not, somebody else reads: again, later and later."""
        delay_s = EVERY_S
        while True:
            await asyncio.sleep(delay_s)
            size = await asyncio.to_thread(self._size)
            folded = size < self._limit or await self._fold(fold, size)
            if folded:
                delay_s = EVERY_S
            elif folded is False and delay_s < MAX_DELAY_S:
                delay_s = min(delay_s * 2, MAX_DELAY_S)
                if delay_s == MAX_DELAY_S:
                    _log.warning(
                        "%s has %d MB and cannot be begun anew: another process reads without a pause",
                        *(self._log_file, size // MB),
                    )

    async def _fold(self, fold: Callable[[], Awaitable[bool]], size: int) -> bool | None:
        """None: those who read are our own, and stay for a while."""
        patience_s = self._longest_s if size > VERY * self._limit else PATIENCE_S
        try:
            async with self.door.alone(patience_s):
                return await fold()
        except TimeoutError:
            return None
        except StorageUnavailable as error:
            _log.debug("%s could not be folded: %s", self._log_file, error)
            return False

    def _size(self) -> int:
        try:
            return self._log_file.stat().st_size
        except OSError:
            return 0
