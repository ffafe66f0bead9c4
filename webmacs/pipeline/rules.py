"""The recorder that evaluates threshold rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from webmacs.catalog import Snapshot
from webmacs.model import Action, NewDelivery, Reading, Rule, WebhookEvent, Write
from webmacs.pipeline.base import Batch, Contribution, Recorder, StageContext
from webmacs.pipeline.cooldown import Cooldown
from webmacs.pipeline.thresholds import exceeds, quiet, words
from webmacs.storage.deliveries import deliver
from webmacs.storage.logbook import LogEntry, log_entries
from webmacs.storage.rules import fired
from webmacs.webhooks.message import announce


class Rules(Recorder):
    """Hold the last value of each event in a batch against the event's rules; what one that fires causes commits with
    the reading: a delivery to each webhook that wants to hear of it, or an entry in the log, and when it last fired.

    A rule that has fired does not fire again within its cooldown, also after a restart. A value that is older than the
    event's latest is not evaluated.
    """

    async def start(self, context: StageContext) -> None:
        """See `Stage`."""
        await super().start(context)
        self._cooldown: Cooldown[int] = Cooldown()
        self._catalog: Snapshot | None = None
        self._watched: dict[int, tuple[float, float, Sequence[Rule]]] = {}
        self._made: list[NewDelivery] = []
        self._entries: list[LogEntry] = []
        self._said: dict[int, tuple[int, str, int]] = {}
        context.catalog.watch(lambda snapshot: self._cooldown.retain({rule.id for rule in snapshot.rules}))

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """See `Recorder`. A rule that fails does so alone: those after it are evaluated before it is said."""
        if catalog is not self._catalog:
            self._catalog = catalog
            self._watched = {event_id: (*quiet(rules), rules) for event_id, rules in catalog.rules_by_event.items()}
        if self._watched:
            watched, now_us = self._watched, batch.received_us
            failed: list[Exception] = []
            for event_id, reading in batch.newest.items():
                watch = watched.get(event_id)
                if watch is not None and not watch[0] <= reading.value <= watch[1]:
                    self._hold(reading, watch[2], catalog, now_us, failed)
            if failed:
                raise ExceptionGroup("rules that cannot be evaluated; the others were", failed)
        return Contribution()

    def conclude(self) -> Sequence[Write]:
        """See `Recorder`."""
        if not self._cooldown.tentative:
            return ()
        writes = [fired(self._cooldown.tentative)]
        if self._made:
            writes.append(deliver(self._made))
        if self._entries:
            writes.append(log_entries(self._entries))
        return writes

    def keep(self) -> None:
        """See `Recorder`. Now that it is stored, it is said: of a rule that fired several times, the last time."""
        made, said = self._made, self._said
        self._cooldown.keep()
        self._clear()
        if made:
            self.context.outbox.ring()
        for level, text, times in said.values():
            self.context.logger.log(level, "%s%s", text, f" ({times} times)" if times > 1 else "")

    def forget(self) -> None:
        """See `Recorder`."""
        self._cooldown.forget()
        self._clear()

    def _hold(
        self, reading: Reading, rules: Sequence[Rule], catalog: Snapshot, now_us: int, failed: list[Exception]
    ) -> None:
        for rule in rules:
            try:
                if exceeds(rule, reading.value) and self._cooldown.passes(
                    rule.id, now_us, rule.cooldown_s * 1_000_000, rule.last_triggered_us
                ):
                    self._fire(rule, reading, catalog, now_us)
            except Exception as error:  # noqa: BLE001 - whatever one rule raises, the alarms of the others are stored
                error.add_note(f"in rule {rule.name!r} of event {reading.event.name!r}")
                failed.append(error)

    def _fire(self, rule: Rule, reading: Reading, catalog: Snapshot, now_us: int) -> None:
        event, time_us, value, _ = reading
        unit = f" {event.unit}" if event.unit else ""
        text = f"rule {rule.name!r}: {event.name} is {value:.10g}{unit}, {words(rule)}"
        if rule.action is Action.LOG:
            self._entries.append(LogEntry(text, now_us, rule.user_id, "warning"))
            self._say(rule, logging.WARNING, text)
            return
        happened = rule.emits or WebhookEvent.THRESHOLD_EXCEEDED
        self._made += announce(
            happened,
            catalog.subscribers[happened],
            time_us=time_us,
            now_us=now_us,
            sensor=event.public_id,
            value=value,
            rule=rule.name,
            operator=rule.operator.value,
            threshold=rule.threshold,
        )
        self._say(rule, logging.INFO, text)

    def _say(self, rule: Rule, level: int, text: str) -> None:
        _, _, times = self._said.get(rule.id, (level, text, 0))
        self._said[rule.id] = (level, text, times + 1)

    def _clear(self) -> None:
        self._made, self._entries, self._said = [], [], {}
