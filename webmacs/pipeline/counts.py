"""What the pipeline counts."""

from __future__ import annotations

from webmacs.metrics import Metrics
from webmacs.pipeline.base import Stage, Stored


class Counts:
    """Every number that says what became of readings."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.refused = metrics.counter("batches_refused", "Messages refused as a whole")
        self.left_out = metrics.counter("contributions_left_out", "Batches stored without the rows of other recorders")
        self._stored = metrics.counter("readings_stored", "Readings committed")
        self._invalid = metrics.counter("readings_invalid", "Items that were not valid readings")
        self._unlinked = metrics.counter("readings_unlinked", "Readings of events that nothing is linked to")
        self._skewed = metrics.counter("readings_skewed", "Readings whose own time could not be believed")

    def stored(self, outcome: Stored) -> None:
        """A batch is committed."""
        self._stored.add(outcome.accepted)
        self._invalid.add(outcome.invalid)
        self._unlinked.add(outcome.unlinked)
        self._skewed.add(outcome.skewed)

    def failed(self, stage: Stage) -> None:
        """A stage raised."""
        self._metrics.counter("stage_failures", "Exceptions and timeouts of stages", stage=stage.name).add()
