"""For those who write stages: one stage at work, with a clock that moves when told to, and no server or database.

`docs/stages.md` shows it in use. What the stage raises reaches the test, which the pipeline would count and log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from webmacs.catalog import Catalog, Snapshot
from webmacs.config import PipelineSettings
from webmacs.hub import Hub
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.model import Action, Event, Experiment, Operator, Reading, Rule, Webhook, WebhookEvent, Write
from webmacs.pipeline.base import Batch, Committed, Contribution, Gate, Item, Observer, Recorder, Stage, StageContext
from webmacs.pipeline.counts import Failures
from webmacs.pipeline.draft import Draft
from webmacs.pipeline.filter import Filter
from webmacs.pipeline.persist import Persist
from webmacs.webhooks.outbox import Outbox

S = TypeVar("S", bound=Stage)

Value = tuple[str, float] | Item
"""What a sender measured: an event's public id and the value, taken now; or an `Item`, which has its own time."""

START_US: Final = 1_767_225_600_000_000  # the beginning of 2026
USER_ID: Final = 1


class ManualClock:
    """A `Clock` that stands still until it is told to move."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us
        self._elapsed_us = 0

    def now_us(self) -> int:
        """Wall time in microseconds."""
        return self._now_us

    def monotonic(self) -> float:
        """Seconds since the clock was made; steps of the wall time are not seen here."""
        return self._elapsed_us / 1e6

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_us += round(seconds * 1e6)
        self._elapsed_us += round(seconds * 1e6)

    def step(self, seconds: float) -> None:
        """Set the wall time forward, or back, as when a machine's clock is corrected."""
        self._now_us += round(seconds * 1e6)


class StageHarness(Generic[S]):
    """One stage, started as the server would start it, and one call for what the pipeline would do with it.

        async with StageHarness(Scale, {"factor": 2.0}) as harness:
            harness.event("temperature")
            batch = await harness.gate(("temperature", 21.5))

    `settings` is the table `[stages.NAME]`; what it must not hold raises pydantic's `ValidationError`.
    """

    def __init__(
        self, stage_class: type[S], settings: Mapping[str, object] | None = None, *, clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or ManualClock()
        self.metrics = Metrics()
        self.catalog = Catalog(self._snapshot)
        self.latest = LatestValues()
        self.hub = Hub(5.0, self.metrics)
        self.outbox = Outbox()
        self.stage: S = stage_class(stage_class.Settings.model_validate(settings or {}))
        self.stage.name = self.stage.name or stage_class.__name__.lower()
        self._events: list[tuple[Event, bool]] = []
        self._experiments: list[Experiment] = []
        self.rules: list[Rule] = []
        self.webhooks: list[Webhook] = []
        self._filter = Filter(Filter.Settings())
        self._persist = Persist(Persist.Settings())
        self._next_id = 1

    async def __aenter__(self) -> Self:
        """Start the stage."""
        await self.catalog.reload()
        logger = logging.getLogger("webmacs.stages")
        context = StageContext(
            self.clock, self.catalog, self.latest, self.hub, self.metrics, self.outbox, PipelineSettings(), logger
        )
        await self._filter.start(context)
        await self._persist.start(context)
        await self.stage.start(context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the stage."""
        await self.stage.close()

    def event(self, public_id: str, *, unit: str = "", linked: bool = True) -> Event:
        """Declare an event; readings of one that is not `linked` to a plugin instance stop at the filter."""
        event = Event(len(self._events) + 1, public_id, public_id, unit, "sensor", 0.0, 100.0)
        self._events.append((event, linked))
        return event

    def experiment(self, name: str) -> Experiment:
        """Start an experiment, which runs from now on."""
        experiment = Experiment(len(self._experiments) + 1, name, name, self.clock.now_us(), None)
        self._experiments.append(experiment)
        return experiment

    def rule(
        self,
        name: str,
        event: Event,
        operator: Operator,
        threshold: float,
        threshold_high: float | None = None,
        *,
        action: Action = Action.LOG,
        emits: WebhookEvent | None = None,
        enabled: bool = True,
        cooldown_s: int = 60,
        last_triggered_us: int | None = None,
    ) -> Rule:
        """Declare a rule; it is one of `rules` from now on, and gone when it is taken out of them."""
        number = len(self.rules) + 1
        limits = (operator, float(threshold), threshold_high, action, emits, enabled, cooldown_s)
        rule = Rule(number, name, name, event.id, *limits, USER_ID, self.clock.now_us(), last_triggered_us)
        self.rules.append(rule)
        return rule

    def webhook(self, *events: str, enabled: bool = True) -> Webhook:
        """Declare a webhook that wants to hear of these; it is one of `webhooks` from now on."""
        number = len(self.webhooks) + 1
        url = f"https://receiver-{number}.example"
        webhook = Webhook(number, f"webhook-{number}", url, events, enabled, USER_ID, self.clock.now_us())
        self.webhooks.append(webhook)
        return webhook

    async def gate(self, *values: Value, before_filter: bool = False) -> Batch:
        """One message through the gate, which stands after `filter` in the pipeline, or before it.

        `batch.readings` is what would be stored; `invalid` and `unlinked` count what was dropped.

        Raises:
            InvalidMessage: the gate refused the message.

        """
        gate = self.stage
        if not isinstance(gate, Gate):
            raise self._not_a(Gate.kind)
        await self.catalog.reload()  # what has been declared since
        batch = self._batch(values)
        for step in (gate, self._filter) if before_filter else (self._filter, gate):
            step.process(batch)
        batch.keep_finite()
        return batch

    async def record(self, *values: Value, commits: bool = True) -> Contribution:
        """One batch, alone in its transaction, through the recorder; what it adds.

        The transaction commits and the recorder keeps, or is rolled back and the recorder forgets: then the same
        batch comes again and must be given the same.
        """
        return await self.transact(values, commits=commits)

    async def transact(self, *batches: Sequence[Value], commits: bool = True) -> Contribution:
        """The same for several batches of one transaction."""
        recorder = self.stage
        if not isinstance(recorder, Recorder):
            raise self._not_a(Recorder.kind)
        draft = await self._draft()
        readings: list[Reading] = []
        writes: list[Write] = []
        for values in batches:
            contribution = recorder.record(self._recorded(values, draft), self.catalog.current)
            readings += contribution.readings
            writes += contribution.writes
        writes += recorder.conclude()
        if commits:
            self._committed(draft)
            recorder.keep()
        else:
            recorder.forget()
        return Contribution(tuple(readings), tuple(writes))

    async def observe(self, *values: Value) -> Committed:
        """One batch, committed, to the observer; returns when it has been heard, without a deadline."""
        observer = self.stage
        if not isinstance(observer, Observer):
            raise self._not_a(Observer.kind)
        draft = await self._draft()
        self._recorded(values, draft)
        committed = self._committed(draft)
        await observer.observe(committed)
        return committed

    def _not_a(self, kind: str) -> TypeError:
        return TypeError(f"{type(self.stage).__name__} is no {kind} but a {self.stage.kind}")

    async def _snapshot(self) -> Snapshot:
        return Snapshot(
            events={event.public_id: event for event, _ in self._events},
            linked={event.public_id: event for event, linked in self._events if linked},
            experiments=tuple(self._experiments),
            rules=tuple(self.rules),
            webhooks=tuple(self.webhooks),
        )

    def _batch(self, values: Sequence[Value]) -> Batch:
        now_us = self.clock.now_us()
        items = [value if isinstance(value, Item) else Item(value[0], float(value[1]), now_us) for value in values]
        return Batch(None, USER_ID, now_us, items=items)

    async def _draft(self) -> Draft:
        await self.catalog.reload()
        return Draft(self.catalog.current, self.latest, Failures(self.metrics, self.clock))

    def _recorded(self, values: Sequence[Value], draft: Draft) -> Batch:
        batch = self._batch(values)
        self._filter.process(batch)
        draft.record(batch, self._persist, ())
        return batch

    def _committed(self, draft: Draft) -> Committed:
        committed = draft.committed(self._next_id)
        self._next_id += len(committed.readings)
        self.latest.apply(committed.newest)
        return committed
