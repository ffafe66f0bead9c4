"""The recorder that writes down who gave an actuator which value. It is always there: no list of stages has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.model import Actor
from webmacs.pipeline.base import Batch, Contribution, Recorder
from webmacs.storage.audit import Setpoint, setpoints

MEASURED: Final = "sensor"


class Setpoints(Recorder):
    """A value for an event that is no sensor, sent over HTTP by who may do more than send readings, is a setpoint.

    An entry in the audit log commits with it. Of many at once, as some controllers send all they know, only those that
    change something.
    """

    name = "setpoints"

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`."""
        if batch.actor is None:
            return Contribution()
        given = list(self._given(batch, batch.actor, catalog))
        return Contribution(writes=[setpoints(given)] if given else [])

    def _given(self, batch: Batch, actor: Actor, catalog: Snapshot) -> Iterator[Setpoint]:
        values: dict[int, float] = {}
        latest = self.context.latest.all()
        for event, _, value, _ in batch.readings:
            if event.type == MEASURED or event.id not in catalog.events_by_id:
                continue
            last = latest.get(event.id)
            was = values.get(event.id, last.value if last else None)
            values[event.id] = value
            if was != value or len(batch.readings) == 1:
                yield Setpoint(actor, batch.received_us, event.public_id, event.name, was, value)
