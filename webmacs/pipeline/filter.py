"""The gate that keeps the readings of events which an enabled plugin instance is linked to, or the sender's own one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webmacs.model import Event, Reading
from webmacs.pipeline.base import Batch, Gate, Item

_tuple = tuple.__new__  # what the class of a named tuple calls, without the call


class Filter(Gate):
    """Look up each item's event and experiment in the catalog; drop and count what is not linked."""

    essential = True
    computes = False

    def process(self, batch: Batch) -> None:
        """See `Gate`. Never refuses a message: a batch of which nothing is left is acknowledged as such."""
        catalog = self.context.catalog.current
        known = catalog.linked
        linked = known if batch.plugin_id is None else catalog.linked_by_plugin.get(batch.plugin_id, {})
        received_us = batch.received_us
        current = catalog.experiment_at(received_us)
        batch.readings = [
            _tuple(
                Reading, (event, time_us, value, current if time_us == received_us else catalog.experiment_at(time_us))
            )
            for event_public_id, value, time_us in batch.items
            if (event := linked.get(event_public_id)) is not None
        ]
        if len(batch.readings) < len(batch.items):
            self._leave_out([item for item in batch.items if item.event_public_id not in linked], batch, known)
        batch.judged_by = catalog

    def _leave_out(self, items: Sequence[Item], batch: Batch, known: Mapping[str, Event]) -> None:
        """Count what is not stored; of what is linked to nothing the catalog is told, else it is only another's."""
        batch.unlinked += len(items)
        for event_public_id, value, _ in items:
            if event_public_id not in known:
                self.context.catalog.unlinked.saw(event_public_id, value, batch.received_us)
        if batch.wrong_clocks:  # skewed ones are among those that are kept
            left_out = {item.event_public_id for item in items}
            batch.skewed -= sum(event_public_id in left_out for event_public_id in batch.wrong_clocks)
