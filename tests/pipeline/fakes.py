"""A pipeline on a storage in memory, and stages that remember what they were told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal, Self, cast

from tests.virtual_time import LoopClock
from webmacs.catalog import Catalog, Snapshot
from webmacs.config import PipelineSettings
from webmacs.errors import InvalidRows, StorageUnavailable
from webmacs.hub import Hub
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.model import BatchKey, BatchRecord, Event, Reading, Write
from webmacs.pipeline.base import (
    Batch,
    Committed,
    Contribution,
    Gate,
    Observer,
    Outcome,
    Recorder,
    Stage,
    StageContext,
    StageSettings,
    Stored,
)
from webmacs.pipeline.filter import Filter
from webmacs.pipeline.persist import Persist
from webmacs.pipeline.runner import Pipeline
from webmacs.pipeline.validate import Validate
from webmacs.storage.base import Commit, Storage
from webmacs.webhooks.outbox import Outbox

LINKED = ("a", "b", "c")
UNLINKED = "spare"
BAD = 666.0
"""A value that a storage may be told to refuse."""


def event(number: int, public_id: str) -> Event:
    return Event(number, public_id, f"Sensor {public_id}", "V", "sensor", 0.0, 100.0)


EVENTS = {public_id: event(number, public_id) for number, public_id in enumerate((*LINKED, UNLINKED), 1)}
SNAPSHOT = Snapshot(events=EVENTS, linked={public_id: EVENTS[public_id] for public_id in LINKED})


def stored(accepted: int, invalid: int = 0, unlinked: int = 0) -> Stored:
    return Stored(accepted, invalid, unlinked, skewed=0)


class MemoryStorage:
    """What the pipeline asks of a storage, kept in memory, failing as told."""

    def __init__(self) -> None:
        self.attempts: list[Commit] = []
        self.commits: list[Commit] = []
        self.batches: dict[BatchKey, BatchRecord] = {}
        self.fails: deque[Exception] = deque()
        """Raised by the next calls of `append`, one each, before anything is stored."""
        self.lost_answers = 0
        """So many of the next calls of `append` store, and say that they do not know."""
        self.bug_after: int | None = None
        """The `append` after so many commits meets a bug, whatever it is given."""
        self.bad_values: set[float] = set()
        self.bad_statements: set[str] = set()
        self._next_id = 1
        self._released = asyncio.Event()
        self._released.set()

    def hold(self) -> None:
        """Let no `append` come to an end until `release`."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    @property
    def rows(self) -> list[tuple[str, float]]:
        return [(reading.event.public_id, reading.value) for commit in self.commits for reading in commit.readings]

    @property
    def statements(self) -> list[str]:
        return [write.statement for commit in self.commits for write in commit.writes]

    def prepare(self, readings: Sequence[Reading]) -> object | None:
        return f"prepared {[reading.value for reading in readings]}" if len(readings) > 1 else None

    async def reserve(self, count: int) -> int:
        first_id = self._next_id
        self._next_id += count
        return first_id

    async def recall(self, keys: Collection[BatchKey]) -> Mapping[BatchKey, BatchRecord]:
        return {key: self.batches[key] for key in keys if key in self.batches}

    async def append(self, commit: Commit) -> None:
        self.attempts.append(commit)
        await self._released.wait()
        if self.fails:
            raise self.fails.popleft()
        if len(self.commits) == self.bug_after:
            raise ZeroDivisionError("a bug")
        if any(done.seq == commit.seq for done in self.commits):
            return
        if any(reading.value in self.bad_values for reading in commit.readings):
            raise InvalidRows("a bad reading")
        if any(write.statement in self.bad_statements for write in commit.writes):
            raise InvalidRows("a bad write")
        if any(record.key in self.batches for record in commit.batches):
            raise InvalidRows("a batch that is stored already")
        self.commits.append(commit)
        self.batches |= {record.key: record for record in commit.batches}
        if self.lost_answers:
            self.lost_answers -= 1
            raise StorageUnavailable("the answer was lost")


class Noted(Recorder):
    """A recorder that writes one statement a batch, named for its values, and notes what it is told."""

    name = "noted"

    def __init__(self, settings: StageSettings | None = None) -> None:
        super().__init__(settings or StageSettings())
        self.notes: list[str] = []
        self.fails_on: set[float] = set()
        self.newest: list[dict[str, float]] = []

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        values = [reading.value for reading in batch.readings]
        self.notes.append(f"record {values}")
        self.newest.append({reading.event.public_id: reading.value for reading in batch.newest.values()})
        if self.fails_on & set(values):
            raise RuntimeError("as told")
        return Contribution(writes=[Write(f"note {values}")])

    def keep(self) -> None:
        self.notes.append("keep")

    def forget(self) -> None:
        self.notes.append("forget")


class Summing(Noted):
    """Notes the same; adds one statement a transaction, named for the values of all its batches."""

    name = "summing"

    def __init__(self, settings: StageSettings | None = None) -> None:
        super().__init__(settings)
        self.recorded: list[float] = []
        self.cannot_conclude: set[float] = set()

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        super().record(batch, catalog)
        self.recorded += [reading.value for reading in batch.readings]
        return Contribution()

    def conclude(self) -> Sequence[Write]:
        self.notes.append("conclude")
        if self.cannot_conclude & set(self.recorded):
            raise RuntimeError("as told")
        return [Write(f"sum {self.recorded}")]

    def keep(self) -> None:
        super().keep()
        self.recorded = []

    def forget(self) -> None:
        super().forget()
        self.recorded = []


class Heard(Observer):
    """An observer that remembers each commit, waits where told to, and raises what it is told to."""

    name = "heard"

    def __init__(self, settings: StageSettings | None = None) -> None:
        super().__init__(settings or StageSettings())
        self.commits: list[Committed] = []
        self.raises: deque[BaseException] = deque()
        self.busy_s = 0.0
        self.cancelled = 0
        self.closed = 0

    @property
    def values(self) -> list[float]:
        return [reading.value for committed in self.commits for reading in committed.readings]

    async def observe(self, committed: Committed) -> None:
        self.commits.append(committed)
        if self.raises:
            raise self.raises.popleft()
        try:
            await asyncio.sleep(self.busy_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def close(self) -> None:
        self.closed += 1


class HeardNewest(Heard):
    name = "heard-newest"
    overflow: ClassVar[Literal["coalesce", "drop"]] = "coalesce"


def context(**limits: object) -> StageContext:
    """What stages may use, for tests without a pipeline. Needs a running loop."""
    clock, metrics = LoopClock(), Metrics()

    async def fetch() -> Snapshot:
        return SNAPSHOT

    catalog = Catalog(fetch)
    catalog.current = SNAPSHOT
    settings = PipelineSettings.model_validate(limits)
    hub, logger = Hub(5.0, metrics), logging.getLogger("test")
    return StageContext(clock, catalog, LatestValues(), hub, metrics, Outbox(), settings, logger)


class Rig:
    """A pipeline of validate, filter, persist and the given stages, with senders that remember their answers."""

    def __init__(self, *stages: Stage, **limits: object) -> None:
        self.context = context(**limits)
        self.storage = MemoryStorage()
        ours: list[Stage] = [Validate(StageSettings()), Filter(StageSettings()), Persist(StageSettings())]
        for stage, name in zip(ours, ("validate", "filter", "persist"), strict=True):
            stage.name = name
        order = (Gate, Recorder, Observer)
        self.stages = sorted([*ours, *stages], key=lambda stage: [isinstance(stage, kind) for kind in order][::-1])
        self.pipeline = Pipeline(self.stages, cast("Storage", self.storage), self.context)
        self.answers: list[tuple[Batch, Outcome]] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.pipeline.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.pipeline.close(5.0)

    def batch(self, *values: tuple[str, object], batch_id: str | None = None, user_id: int = 1) -> Batch:
        message: dict[str, object] = {
            "datapoints": [{"event_public_id": public_id, "value": value} for public_id, value in values]
        }
        if batch_id is not None:
            message["batch_id"] = batch_id
        return Batch(json.dumps(message), user_id, self.context.clock.now_us(), reply=self._told)

    async def send(self, *values: tuple[str, object], batch_id: str | None = None, user_id: int = 1) -> Batch:
        """Submit a batch; its answer may come later."""
        batch = self.batch(*values, batch_id=batch_id, user_id=user_id)
        await self.pipeline.submit(batch)
        return batch

    async def ask(self, *values: tuple[str, object], batch_id: str | None = None, user_id: int = 1) -> Outcome:
        """Submit a batch and wait for its answer."""
        batch = await self.send(*values, batch_id=batch_id, user_id=user_id)
        return await self.answer(batch)

    async def answer(self, batch: Batch) -> Outcome:
        """The one answer to a batch, when it comes; at most a minute."""
        async with asyncio.timeout(60):
            while not (found := self.answers_to(batch)):
                self._news.clear()
                await self._news.wait()
        assert len(found) == 1
        return found[0]

    def answers_to(self, batch: Batch) -> list[Outcome]:
        return [outcome for asked, outcome in self.answers if asked is batch]

    def counted(self, name: str, **labels: str) -> int:
        return self.context.metrics.counter(name, "", **labels).value

    def _told(self, batch: Batch, outcome: Outcome) -> None:
        self.answers.append((batch, outcome))
        self._news.set()
