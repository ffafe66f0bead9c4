"""The pipeline at work: gates for each message, one transaction for all that waits, observers after it.

    submit: gates ─> queue ─> take all that waits ─> recall ─> recorders ─> append ─> latest, replies, observers

Nothing outside hears of a reading that is not committed. Order is kept from the queue on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from webmacs.errors import InvalidRows
from webmacs.model import BatchKey
from webmacs.pauses import Pauses
from webmacs.pipeline.base import Batch, Committed, Gate, Observer, Recorder, Refused, Stage, StageContext, Stored
from webmacs.pipeline.counts import Counts, Failures
from webmacs.pipeline.culprits import fewer, halves
from webmacs.pipeline.draft import Draft
from webmacs.pipeline.gates import Gates
from webmacs.pipeline.observers import Listener
from webmacs.pipeline.queue import NOT_STORED, RowQueue
from webmacs.pipeline.retry import Retry
from webmacs.storage.base import Storage
from webmacs.tasks import end

_log = logging.getLogger(__name__)

REUSED: Final = "batch_id was used before with other contents"
REFUSED: Final = "Batch refused by the storage"


class Pipeline:
    """Runs the stages, of which the first recorder is persist. One task commits; `submit` is what handlers call."""

    def __init__(self, stages: Sequence[Stage], storage: Storage, context: StageContext) -> None:
        self._stages, self._storage, self._context = stages, storage, context
        self._catalog, self._latest, self._limits = context.catalog, context.latest, (limits := context.limits)
        self._started: list[Stage] = []
        self._persist, *self._others = [stage for stage in stages if isinstance(stage, Recorder)]
        self._seq = 0
        self._retry = Retry(limits.max_retry_delay_s, context.metrics)
        self._counts, self._failures = Counts(context.metrics), Failures(context.metrics, context.clock)
        self._gates = Gates([stage for stage in stages if isinstance(stage, Gate)], self._counts, self._failures)
        self._queue = RowQueue(limits, self._counts.drop)
        context.metrics.gauge("queue_rows", "Rows that wait to be committed", lambda: self.waiting)
        self._listeners = [
            Listener(stage, limits.observer_queue_rows, limits.observer_deadline_s, context.metrics, self._failures)
            for stage in stages
            if isinstance(stage, Observer)
        ]
        self._worker: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        """Whether the storage took what it was last given, and there is room in the queue."""
        return self._retry.available and not self._queue.overloaded

    @property
    def waiting(self) -> int:
        """Rows that wait to be committed, or are being."""
        return self._queue.rows

    async def start(self) -> None:
        """Start the stages in order, then begin to commit and to tell the observers."""
        for stage in self._stages:
            self._started.append(stage)
            await stage.start(self._context)
        for listener in self._listeners:
            listener.start()
        self._worker = asyncio.create_task(self._run(), name="pipeline")

    async def close(self, timeout_s: float) -> None:
        """Take no more, commit what waits for at most `timeout_s`, let the observers hear of it, close the stages."""
        self._queue.close()
        if self._worker is not None:
            _done, late = await asyncio.wait([self._worker], timeout=timeout_s)
            for task in late:
                _log.error("stopping with %d rows that could not be stored", self._queue.rows)
                await end(task)
        for batch in self._queue.abandon():
            batch.settle(Refused(NOT_STORED, retry=True))
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        while self._started:
            stage = self._started.pop()
            with self._failures.of(stage, "could not be closed"):
                async with asyncio.timeout(timeout_s):
                    await stage.close()

    async def submit(self, batch: Batch) -> None:
        """Send a message through the gates and queue what is left, waiting for room but not for the commit.

        Raises:
            InvalidMessage: a gate refused it.
            Overloaded: there has been no room for too long, the server is stopping, or a gate failed that it needs.

        """
        self._gates.judge(batch)
        batch.prepared = self._storage.prepare(batch.readings)
        await self._queue.put(batch)

    def withdraw(self, batch: Batch) -> bool:
        """Take a submitted batch back; False when it is being committed, or has been."""
        return self._queue.withdraw(batch)

    async def _run(self) -> None:
        while batches := await self._queue.take(self._limits.commit_rows):
            try:
                await self._store(await self._unanswered(batches))
            except Exception:  # noqa: BLE001 - the one task that commits must not end
                _log.exception("a commit failed in a way nobody expected; its batches are refused")
                self._refuse(batches)
            self._queue.done(batches)

    async def _unanswered(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Answer the batches whose identity is stored already as the first time; return the others."""
        keys = [BatchKey(batch.user_id, batch.batch_id) for batch in batches if batch.batch_id is not None]
        if not keys:
            return batches
        known = await self._retry.until_available(lambda: self._storage.recall(keys))
        new = []
        for batch in batches:
            record = batch.batch_id and known.get(BatchKey(batch.user_id, batch.batch_id))
            if not record:
                new.append(batch)
            elif record.digest != batch.digest:
                self._refuse([batch], REUSED)
            else:
                batch.settle(Stored(record.accepted, record.invalid, record.unlinked, record.skewed, duplicate=True))
        return new

    async def _store(self, batches: Sequence[Batch]) -> None:
        """One transaction, and what follows from it."""
        if batches:
            try:
                await self._commit(batches, self._others)
            except InvalidRows as error:
                await self._isolate(batches, error)

    async def _isolate(self, batches: Sequence[Batch], error: InvalidRows) -> None:
        """The data is at fault: halve until the offender stands alone, and leave out or refuse only that."""
        suspects = await self._unanswered(batches)  # another server may have stored the same identity just now
        if len(batches) > 1 or not suspects:
            for half in halves(suspects):
                await self._store(half)
            return
        _log.error("a batch of user %d cannot be stored: %s", suspects[0].user_id, error)
        for others in fewer(self._others):  # the readings are not lost for the rows of another recorder
            with suppress(InvalidRows):
                await self._commit(suspects, others)
                self._failures.left_out([stage for stage in self._others if stage not in others])
                return
        self._refuse(suspects)

    async def _commit(self, batches: Sequence[Batch], others: Sequence[Recorder]) -> None:
        """One attempt at a transaction, repeated as it is while the storage is away; then, and only then, tell."""
        recorders, pauses = (self._persist, *others), Pauses()
        try:
            draft = Draft(self._catalog.current, self._latest, self._failures)
            for batch in batches:
                draft.record(batch, self._persist, others)
                await pauses.between()
            draft.conclude(others)
            committed = await self._append(draft)
        except Exception:
            for recorder in recorders:
                with self._failures.of(recorder, "could not forget"):
                    recorder.forget()
            raise
        for recorder in recorders:
            with self._failures.of(recorder, "could not keep"):
                recorder.keep()
        self._tell(draft, committed)

    async def _append(self, draft: Draft) -> Committed:
        if draft.empty:
            return draft.committed(0)
        first_id = await self._retry.until_available(lambda: self._storage.reserve(len(draft.readings)))
        self._seq += 1
        commit = draft.commit(self._seq, first_id)
        await self._retry.until_available(lambda: self._storage.append(commit))
        return draft.committed(first_id)

    def _tell(self, draft: Draft, committed: Committed) -> None:
        """It is stored: now everyone may know, the latest values first."""
        self._latest.apply(committed.newest)
        for batch, outcome in draft.outcomes:
            self._counts.stored(outcome)
            batch.settle(outcome)
        if committed.readings:
            for listener in self._listeners:
                listener.tell(committed)

    def _refuse(self, batches: Sequence[Batch], why: str = REFUSED) -> None:
        for batch in [batch for batch in batches if batch.settle(Refused(why, retry=False))]:
            self._counts.refuse(batch)
