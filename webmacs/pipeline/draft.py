"""A transaction in the making: what the recorders contribute for each batch, and what each sender will be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webmacs.catalog import Snapshot
from webmacs.latest import LatestValues
from webmacs.model import BatchKey, BatchRecord, Datapoint, Reading, Write
from webmacs.pipeline.base import Batch, Committed, Contribution, Recorder, Stored
from webmacs.storage.base import Commit


class Draft:
    """Batches recorded one after the other against one snapshot. Has no effect until it is committed."""

    def __init__(self, catalog: Snapshot, latest: LatestValues, failed: Callable[[Recorder], None]) -> None:
        self._catalog, self._latest, self._failed = catalog, latest, failed
        self._newest: dict[int, Reading] = {}
        self._newest_at: dict[int, int] = {}  # where they stand in `readings`
        self._writes: list[Write] = []
        self._records: list[BatchRecord] = []
        self.readings: list[Reading] = []
        self.outcomes: list[tuple[Batch, Stored]] = []

    def record(self, batch: Batch, recorders: Sequence[Recorder]) -> None:
        """Let each recorder contribute for one batch. One that raises contributes nothing, and is reported."""
        before = len(self.readings)
        for recorder in recorders:
            try:
                contribution = recorder.record(batch, self._catalog)
            except Exception:  # noqa: BLE001 - whatever a stage raises, the batch is stored
                self._failed(recorder)
                contribution = Contribution()
            self._writes.extend(contribution.writes)
            if contribution.readings:
                batch.newest = self._advance(contribution.readings, batch.received_us)
                self.readings.extend(contribution.readings)
        stored = len(self.readings) - before
        unlinked = batch.unlinked + len(batch.readings) - stored
        self.outcomes.append((batch, Stored(stored, batch.invalid, unlinked, batch.skewed)))
        if batch.batch_id is not None:
            key = BatchKey(batch.user_id, batch.batch_id)
            numbers = (stored, batch.invalid, unlinked, batch.skewed)
            self._records.append(BatchRecord(key, batch.digest, *numbers, batch.received_us))

    def _advance(self, readings: Sequence[Reading], received_us: int) -> dict[int, Reading]:
        advanced = {}
        for index, reading in enumerate(readings, len(self.readings)):
            if self._latest.advances(reading, received_us, self._newest):
                event_id = reading.event.id
                advanced[event_id] = self._newest[event_id] = reading
                self._newest_at[event_id] = index
        return advanced

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.readings or self._records or self._writes)

    def commit(self, seq: int, first_id: int) -> Commit:
        """What the storage is given."""
        return Commit(seq, first_id, self.readings, self._records, self._writes)

    def committed(self, first_id: int) -> Committed:
        """What the observers are told once it is stored."""
        newest = {event_id: Datapoint(first_id + at, *self.readings[at]) for event_id, at in self._newest_at.items()}
        return Committed(first_id, self.readings, newest)
