"""The recorder that writes down who gave an actuator which value, and tells of it. No list of stages has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.given import Given, NewestGiven
from webmacs.model import Actor
from webmacs.pipeline.base import Batch, Contribution, Recorder
from webmacs.storage.audit import Setpoint, setpoints

MEASURED: Final = "sensor"


class Setpoints(Recorder):
    """A value for an event that is no sensor or that an output follows, sent over HTTP by who may do more than send
    readings, is one that somebody has to answer for.

    An entry in the audit log commits with it. Of many at once, as some controllers send all they know, only those that
    change something. If an output follows the event and the value has no time of its own, as what was measured has, it
    is what that output is to be: `given` hears of it when it is stored.
    """

    name = "setpoints"

    def __init__(self, given: NewestGiven) -> None:
        super().__init__(self.Settings())
        self._given = given
        self._tentative: dict[str, Given] = {}  # by the public id of the event

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`."""
        if batch.actor is None:
            return Contribution()
        entries = list(self._entries(batch, batch.actor, catalog))
        self._tentative |= {
            event.public_id: Given(event.public_id, value, batch.received_us)
            for event, _, value, _ in batch.readings
            if event.public_id in catalog.outputs and event.public_id not in batch.timed
        }
        return Contribution(writes=[setpoints(entries)] if entries else [])

    def keep(self) -> None:
        """See `Recorder`."""
        if self._tentative:
            stored, self._tentative = self._tentative, {}
            self._given.take(stored)

    def forget(self) -> None:
        """See `Recorder`."""
        self._tentative = {}

    def _last(self, event_public_id: str) -> float | None:
        """What the event was given last, also by a batch of the same transaction."""
        last = self._tentative.get(event_public_id) or self._given.last(event_public_id)
        return None if last is None else last.value

    def _entries(self, batch: Batch, actor: Actor, catalog: Snapshot) -> Iterator[Setpoint]:
        values: dict[int, float] = {}
        latest = self.context.latest.all()
        for event, time_us, value, _ in batch.readings:
            moves = event.type != MEASURED or event.public_id in catalog.outputs
            if not moves or event.id not in catalog.events_by_id:
                continue
            last = latest.get(event.id)
            was = values.get(event.id, last.value if last else None)
            measured_us = time_us if event.public_id in batch.timed else None
            # What the device has by itself may be told to it nevertheless, after it was told something else.
            told = None if event.id in values or measured_us is not None else self._last(event.public_id)
            values[event.id] = value
            if was != value or told not in {None, value} or len(batch.readings) == 1:
                yield Setpoint(actor, batch.received_us, event.public_id, event.name, was, value, measured_us)
