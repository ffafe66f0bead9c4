"""What the pipeline counts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from webmacs.clock import Clock
from webmacs.metrics import Metrics
from webmacs.pipeline.base import Batch, Stage, Stored

_log = logging.getLogger(__name__)

SAY_AGAIN_S: Final = 1.0


class Counts:
    """Every number that says what became of readings."""

    def __init__(self, metrics: Metrics) -> None:
        self.refused = metrics.counter("batches_refused", "Messages refused as a whole")
        self._stored = metrics.counter("readings_stored", "Readings committed")
        self._invalid = metrics.counter("readings_invalid", "Items that were not valid readings")
        self._unlinked = metrics.counter("readings_unlinked", "Readings of events that nothing is linked to")
        self._dropped = metrics.counter("readings_refused", "Readings of batches that were not stored")
        self._skewed = metrics.counter("readings_skewed", "Readings whose own time could not be believed")

    def stored(self, outcome: Stored) -> None:
        """A batch is committed."""
        self._stored.add(outcome.accepted)
        self._invalid.add(outcome.invalid)
        self._unlinked.add(outcome.unlinked)
        self._skewed.add(outcome.skewed)

    def drop(self, batch: Batch) -> None:
        """A batch has passed the gates, and nobody will store it."""
        self._dropped.add(len(batch.readings))

    def refuse(self, batch: Batch) -> None:
        """A batch that the storage does not take."""
        self.refused.add()
        self.drop(batch)


class Failures:
    """Counts what stages raise, and says it in the log.

    The log hears of each stage at most once in `SAY_AGAIN_S`: one that fails for every message must not cost more than
    the message.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._said: dict[str, float] = {}
        self._left_out = metrics.counter("contributions_left_out", "Batches stored without the rows of other recorders")

    def add(self, stage: Stage, what: str) -> None:
        """A stage failed. Called where its exception is handled, which the log shows."""
        self._metrics.counter("stage_failures", "Exceptions and timeouts of stages", stage=stage.name).add()
        now = self._clock.monotonic()
        said = self._said.get(stage.name)
        if said is None or now - said >= SAY_AGAIN_S:
            self._said[stage.name] = now
            _log.exception("stage %s %s", stage.name, what)

    def left_out(self, stages: Iterable[Stage]) -> None:
        """A batch is stored without what these have added. Called where the storage's refusal is handled."""
        self._left_out.add()
        for stage in stages:
            self.add(stage, "added rows that the storage refuses; the batch is stored without them")

    @contextmanager
    def of(self, stage: Stage, what: str) -> Iterator[None]:
        """Let nothing that a stage raises go any further."""
        try:
            yield
        except Exception:  # noqa: BLE001 - whatever a stage raises, the pipeline goes on
            self.add(stage, what)
