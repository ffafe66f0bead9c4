"""The recorder of the readings themselves."""

from __future__ import annotations

from webmacs.catalog import Snapshot
from webmacs.pipeline.base import Batch, Contribution, Recorder


class Persist(Recorder):
    """Add a batch's readings to the transaction.

    An event that was deleted since the filter judged the batch is no error: its readings go with it.
    """

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`."""
        if batch.judged_by is catalog:
            return Contribution(batch.readings)
        return Contribution([reading for reading in batch.readings if reading.event.id in catalog.events_by_id])
