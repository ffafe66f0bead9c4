"""What waits to be committed: a queue bounded in rows, how often it is emptied, and what happens when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from webmacs.config import PipelineSettings
from webmacs.errors import Overloaded, ShuttingDown
from webmacs.pipeline.base import Batch

NOT_STORED: Final = "Storage unavailable, batch not stored"


class RowQueue:
    """Batches in order, bounded by the rows they hold; a batch counts until its fate is decided.

    Senders wait for room in the order they came, which stops their receive loops and so pushes back over TCP. When
    no room has come for `overload_timeout_s`, those that wait are refused, and so are all that come, at once, until
    there is room again: a sender that is not read for long would be dropped by its own heartbeats.

    What comes within `commit_interval_ms` of the last time something was taken waits for company until that is over.

    `dropped` hears of every batch that came and that nobody will commit, whatever the reason, once.
    """

    def __init__(self, limits: PipelineSettings, dropped: Callable[[Batch], None]) -> None:
        self._limit = limits.queue_rows
        self._timeout_s = limits.overload_timeout_s
        self._interval_s = limits.commit_interval_ms / 1000
        self._due = -inf
        self._dropped = dropped
        self._batches: deque[Batch] = deque()
        self._waiting: dict[asyncio.Future[None], Batch] = {}
        self._taker: asyncio.Future[None] | None = None
        self._wanted = 1
        self._overflow: asyncio.TimerHandle | None = None
        self._closed = False
        self.rows = 0
        self.overloaded = False

    async def put(self, batch: Batch) -> None:
        """Add a batch, waiting for room. If cancelled while waiting, the batch may or may not have been added.

        Raises:
            Overloaded: no room has come for too long.
            ShuttingDown: the queue is closed.

        """
        if self._closed:
            self._dropped(batch)
            raise ShuttingDown(NOT_STORED)
        batch.cost = len(batch.readings) or 1
        batch.items = []  # the readings are made of them: what waits is kept once
        if not self._waiting and self._fits(batch):
            self._add(batch)
            return
        if self.overloaded:
            self._dropped(batch)
            raise Overloaded(NOT_STORED)
        if self._overflow is None:
            self._overflow = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = batch
        self._wake()  # more company there cannot be
        try:
            await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, None):
                self._dropped(batch)
                self._admit()  # it may have been what those behind it waited for
                if not self._waiting:
                    self._calm()
            raise

    async def take(self, max_rows: int) -> list[Batch]:
        """All that waits, up to a number of rows (but at least one batch); empty when closed and drained.

        Before the interval is over it comes back only with so many rows, for want of room, or when closed.
        Ends before a batch whose identity it holds already: that one must be judged after the first is stored.
        """
        loop = asyncio.get_running_loop()
        while not self._batches or self._expects_company(max_rows):
            if self._closed:
                return []
            self._wanted = max_rows if self._batches else 1
            self._taker = loop.create_future()
            alarm = loop.call_at(self._due, self._wake) if self._batches else None
            await self._taker
            if alarm is not None:
                alarm.cancel()
        self._due = loop.time() + self._interval_s
        taken: list[Batch] = []
        identities = set[tuple[int, str]]()
        rows = 0
        while self._batches and (not taken or rows + self._batches[0].cost <= max_rows):
            batch = self._batches[0]
            if batch.batch_id is not None:
                if (batch.user_id, batch.batch_id) in identities:
                    break
                identities.add((batch.user_id, batch.batch_id))
            taken.append(self._batches.popleft())
            rows += batch.cost
        return taken

    def done(self, batches: Sequence[Batch]) -> None:
        """Give back the room of batches whose fate is decided, and let in whoever is first in line."""
        self.rows -= sum(batch.cost for batch in batches)
        self._calm()
        self._admit()
        if self._waiting:
            self._overflow = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up)

    def withdraw(self, batch: Batch) -> bool:
        """Take back a batch that nobody has taken yet; False: too late."""
        if batch not in self._batches:
            return False
        self._batches.remove(batch)
        self._dropped(batch)
        self.done([batch])
        return True

    def close(self) -> None:
        """Refuse what waits and what comes; what is in the queue can still be taken."""
        self._closed = True
        self._calm()
        self._refuse(ShuttingDown)
        self._wake()

    def abandon(self) -> list[Batch]:
        """All that nobody has taken, which nobody will take any more."""
        left = list(self._batches)
        self._batches.clear()
        self.rows -= sum(batch.cost for batch in left)
        for batch in left:
            self._dropped(batch)
        return left

    def _expects_company(self, max_rows: int) -> bool:
        if self._closed or self._waiting or self.rows >= max_rows:
            return False
        return asyncio.get_running_loop().time() < self._due

    def _fits(self, batch: Batch) -> bool:
        return self.rows == 0 or self.rows + batch.cost <= self._limit

    def _add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self.rows += batch.cost
        if self.rows >= self._wanted:
            self._wake()

    def _admit(self) -> None:
        while self._waiting:
            turn, batch = next(iter(self._waiting.items()))
            cancelled = turn.done()  # its sender, in this very turn of the loop
            if not cancelled and not self._fits(batch):
                return
            del self._waiting[turn]
            if cancelled:
                self._dropped(batch)
            else:
                self._add(batch)
                turn.set_result(None)

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def _give_up(self) -> None:
        self._overflow = None
        self.overloaded = True
        self._refuse(Overloaded)

    def _calm(self) -> None:
        self.overloaded = False
        if self._overflow is not None:
            self._overflow.cancel()
            self._overflow = None

    def _refuse(self, error: type[Overloaded]) -> None:
        waiting, self._waiting = self._waiting, {}
        for turn, batch in waiting.items():
            self._dropped(batch)
            if not turn.done():
                turn.set_exception(error(NOT_STORED))
