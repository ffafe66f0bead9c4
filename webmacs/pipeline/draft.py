"""A transaction in the making: what the recorders contribute for each batch, and what each sender will be told."""

from __future__ import annotations

from collections.abc import Sequence

from webmacs.catalog import Snapshot
from webmacs.errors import InvalidRows
from webmacs.latest import LatestValues
from webmacs.model import BatchKey, BatchRecord, Datapoint, Reading, Write
from webmacs.pipeline.base import Batch, Committed, Recorder, Stored
from webmacs.pipeline.counts import Failures
from webmacs.storage.base import Commit, Part


class Draft:
    """Batches recorded one after the other against one snapshot. Has no effect until it is committed."""

    def __init__(self, catalog: Snapshot, latest: LatestValues, failures: Failures) -> None:
        self._catalog, self._latest, self._failures = catalog, latest, failures
        self._newest: dict[int, Reading] = {}
        self._newest_at: dict[int, int] = {}  # where they stand in `readings`
        self._writes: list[Write] = []
        self._records: list[BatchRecord] = []
        self._parts: list[Part] = []
        self._begun = 0  # where in `readings` those begin that are in no part yet
        self.readings: list[Reading] = []
        self.outcomes: list[tuple[Batch, Stored]] = []

    def record(self, batch: Batch, persist: Recorder, others: Sequence[Recorder]) -> None:
        """Let each recorder contribute for one batch. One of `others` that raises adds nothing, and is reported.

        Raises:
            InvalidRows: there is something among the readings that is none.

        """
        try:
            contribution = persist.record(batch, self._catalog)
            readings = contribution.readings
            batch.newest = self._advance(readings, batch.received_us)
            self._writes.extend(contribution.writes)
        except Exception as error:
            raise InvalidRows(f"{persist.name}: {error!r}") from error
        useful = batch.prepared is not None and readings is batch.readings  # persist has left them as they were
        if useful:
            self._close_part()
        self.readings.extend(readings)
        if useful:
            self._close_part(batch.prepared)
        for recorder in others:
            try:
                contribution = recorder.record(batch, self._catalog)
                if contribution.readings:
                    raise TypeError("readings are added by a gate; a recorder adds writes")  # noqa: TRY301
                self._writes.extend(tuple(contribution.writes))
            except Exception:  # noqa: BLE001 - whatever a stage raises, the batch is stored
                self._failures.add(recorder, "failed; the batch is stored without its rows")
        stored = len(readings)
        unlinked = batch.unlinked + len(batch.readings) - stored
        self.outcomes.append((batch, Stored(stored, batch.invalid, unlinked, batch.skewed)))
        if batch.batch_id is not None:
            key = BatchKey(batch.user_id, batch.batch_id)
            numbers = (stored, batch.invalid, unlinked, batch.skewed)
            self._records.append(BatchRecord(key, batch.digest, *numbers, batch.received_us))

    def conclude(self, others: Sequence[Recorder]) -> None:
        """Let each recorder add what it has for the transaction as a whole."""
        for recorder in others:
            with self._failures.of(recorder, "failed; what it would have added to the transaction is left out"):
                self._writes.extend(tuple(recorder.conclude()))

    def _advance(self, readings: Sequence[Reading], received_us: int) -> dict[int, Reading]:
        begin = len(self.readings)
        if all(reading.time_us == received_us for reading in readings):  # timed by the server: the last one is newest
            advanced = {reading.event.id: reading for reading in readings}
            self._newest |= advanced
            self._newest_at |= {reading.event.id: index for index, reading in enumerate(readings, begin)}
            return advanced
        advanced = {}
        for index, reading in enumerate(readings, begin):
            if self._latest.advances(reading, received_us, self._newest):
                event_id = reading.event.id
                advanced[event_id] = self._newest[event_id] = reading
                self._newest_at[event_id] = index
        return advanced

    def _close_part(self, prepared: object | None = None) -> None:
        """What has come since the last part is one; what was prepared is of those readings and no others."""
        readings = self.readings[self._begun :]
        if readings:
            self._parts.append(Part(readings, prepared))
        self._begun = len(self.readings)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.readings or self._records or self._writes)

    def commit(self, seq: int, first_id: int) -> Commit:
        """What the storage is given."""
        if self._parts:
            self._close_part()
        return Commit(seq, first_id, self.readings, self._records, self._writes, self._parts)

    def committed(self, first_id: int) -> Committed:
        """What the observers are told once it is stored."""
        newest = {event_id: Datapoint(first_id + at, *self.readings[at]) for event_id, at in self._newest_at.items()}
        return Committed(first_id, self.readings, newest)
