"""The recorder that tells webhooks of readings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from webmacs.catalog import Snapshot
from webmacs.model import NewDelivery, WebhookEvent, Write
from webmacs.pipeline.base import Batch, Contribution, Recorder, StageContext, StageSettings
from webmacs.pipeline.cooldown import Cooldown
from webmacs.storage.deliveries import deliver
from webmacs.webhooks.message import announce


class WebhookStageSettings(StageSettings):
    """`[stages.webhook]`."""

    interval_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 5.0


class Webhook(Recorder):
    """Add a `sensor.reading` delivery for each subscription, at most one per event and interval.

    Of a batch, an event's first value is told. A batch whose values are all older than the event's latest is not.
    """

    Settings = WebhookStageSettings
    settings: WebhookStageSettings

    async def start(self, context: StageContext) -> None:
        """See `Stage`."""
        await super().start(context)
        self._interval_us = round(self.settings.interval_s * 1e6)
        self._cooldown: Cooldown[int] = Cooldown()
        self._made: list[NewDelivery] = []
        context.catalog.watch(lambda snapshot: self._cooldown.retain(snapshot.events_by_id))

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`."""
        subscribers = catalog.subscribers[WebhookEvent.READING]
        if not subscribers:
            return Contribution()
        now_us, interval_us, passes = batch.received_us, self._interval_us, self._cooldown.passes
        passing = [event_id for event_id in batch.newest if passes(event_id, now_us, interval_us)]
        first = {reading.event.id: reading for reading in reversed(batch.readings)} if passing else {}
        for event_id in passing:
            event, time_us, value, _ = first[event_id]
            self._made += announce(
                WebhookEvent.READING,
                subscribers,
                time_us=time_us,
                now_us=now_us,
                sensor=event.public_id,
                value=value,
            )
        return Contribution()

    def conclude(self) -> Sequence[Write]:
        """See `Recorder`."""
        return [deliver(self._made)] if self._made else ()

    def keep(self) -> None:
        """See `Recorder`."""
        self._cooldown.keep()
        if self._made:
            self._made = []
            self.context.outbox.ring()

    def forget(self) -> None:
        """See `Recorder`."""
        self._cooldown.forget()
        self._made = []
