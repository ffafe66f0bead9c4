"""The gate that keeps the readings of events which an enabled plugin instance is linked to, or the sender's own one."""

from __future__ import annotations

from webmacs.model import Reading
from webmacs.pipeline.base import Batch, Gate


class Filter(Gate):
    """Look up each item's event and experiment in the catalog; drop and count what is not linked."""

    essential = True

    def process(self, batch: Batch) -> None:
        """See `Gate`. Never refuses a message: a batch of which nothing is left is acknowledged as such."""
        catalog = self.context.catalog.current
        known = catalog.linked
        linked = known if batch.plugin_id is None else catalog.linked_by_plugin.get(batch.plugin_id, {})
        received_us = batch.received_us
        current = catalog.experiment_at(received_us)
        readings = []
        for event_public_id, value, time_us in batch.items:
            event = linked.get(event_public_id)
            if event is None:
                batch.unlinked += 1
                if event_public_id not in known:  # else it is only not this sender's
                    self.context.catalog.unlinked.saw(event_public_id, value, received_us)
            else:
                experiment = current if time_us == received_us else catalog.experiment_at(time_us)
                readings.append(Reading(event, time_us, value, experiment))
        if batch.unlinked and batch.wrong_clocks:  # skewed ones are among those that are kept
            batch.skewed -= sum(event_public_id not in linked for event_public_id in batch.wrong_clocks)
        batch.readings = readings
        batch.judged_by = catalog
