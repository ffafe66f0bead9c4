"""The recorder: a line in a ledger for each batch."""

from __future__ import annotations

from webmacs.catalog import Snapshot
from webmacs.model import Write
from webmacs.pipeline.base import Batch, Contribution, Recorder

TABLE = """
CREATE TABLE IF NOT EXISTS ledger (
    user_id INTEGER NOT NULL,
    readings INTEGER NOT NULL CHECK (readings < 4),
    highest DOUBLE PRECISION NOT NULL
)
"""
INSERT = "INSERT INTO ledger (user_id, readings, highest) VALUES (:user_id, :readings, :highest)"


class Ledger(Recorder):
    """Write down who sent how many readings, and the highest of them. Its table has room for three, by mistake."""

    schema = (TABLE,)

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`."""
        if not batch.readings:
            return Contribution()
        highest = max(reading.value for reading in batch.readings)
        row = {"user_id": batch.user_id, "readings": len(batch.readings), "highest": highest}
        return Contribution(writes=[Write(INSERT, (row,))])
