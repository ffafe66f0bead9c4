"""What flows through the pipeline, and the three kinds of stage it flows through.

- A **gate** works on one message in its sender's own receive loop: it may change readings, drop some, or refuse the
  message with `InvalidMessage`; the reply goes to that sender.
- A **recorder** adds rows to the transaction in which the readings commit.
- An **observer** hears of what is committed, in order, at its own pace.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from webmacs.catalog import Catalog, Snapshot
from webmacs.clock import Clock
from webmacs.config import PipelineSettings
from webmacs.hub import Hub
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.model import Actor, Datapoint, Reading, Write
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)


class Item(NamedTuple):
    """One valid value of a message, its event not yet looked up."""

    event_public_id: str
    value: float
    time_us: int


class Stored(NamedTuple):
    """A batch is committed. `duplicate`: it had been before, and these are the numbers of the first time.

    (A tuple, as `Contribution` is: there is one for each message.)
    """

    accepted: int
    invalid: int
    unlinked: int
    skewed: int
    duplicate: bool = False

    @property
    def rejected(self) -> int:
        """Items that were not stored."""
        return self.invalid + self.unlinked

    def numbers(self) -> dict[str, int | bool]:
        """As an acknowledgement shows them."""
        numbers: dict[str, int | bool] = {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "invalid": self.invalid,
            "unlinked": self.unlinked,
            "skewed": self.skewed,
        }
        return numbers | {"duplicate": True} if self.duplicate else numbers


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch is not stored. `retry`: sending it again later may help."""

    message: str
    retry: bool


Outcome = Stored | Refused


@dataclass(slots=True, eq=False)
class Batch:
    """One message on its way. The gates fill it in, one after the other; after them nobody changes it.

    `payload` is the text of a WebSocket message, or the parsed body of an HTTP request with `lax` set, as such clients
    send numbers in quotes. `reply` is called once for a batch that was queued, when its fate is decided. (That of a
    batch which was being committed when the server gave up stopping in good order is known to nobody.)
    `plugin_id` is given for a sender who speaks for one plugin instance alone, `actor` for one who may give setpoints.
    """

    payload: object
    user_id: int
    received_us: int
    lax: bool = False
    plugin_id: int | None = None
    actor: Actor | None = None
    reply: Callable[[Batch, Outcome], None] | None = None
    batch_id: str | None = None
    digest: str = ""
    items: list[Item] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    judged_by: Snapshot | None = None
    invalid: int = 0
    unlinked: int = 0
    skewed: int = 0
    wrong_clocks: list[str] = field(default_factory=list)
    """The events of the items that were counted as skewed."""
    timed: Collection[str] = ()
    """The events of the items that had a time of their own; of a sender who may give setpoints, else nobody looks."""
    newest: Mapping[int, Reading] = field(default_factory=dict)
    """For the recorders after persist: by event id, the last reading of this batch that is newer than any before it."""
    cost: int = 1
    """What it takes of the queue's bound, in rows: a batch of which nothing is left is not free. Set when queued."""
    prepared: object | None = None
    """What the storage has made of `readings` already, while it stored others. Set when queued."""
    settled: bool = False

    def keep_finite(self) -> None:
        """Drop and count readings whose value is not a finite number. Gates compute: with what libraries call numbers,
        too, which become floats here, as the storages and the stream expect them.
        """
        finite = [reading for reading in self.readings if type(reading.value) is float and isfinite(reading.value)]
        if len(finite) != len(self.readings):
            finite = [reading for reading in map(_as_float, self.readings) if reading is not None]
            self.invalid += len(self.readings) - len(finite)
        self.readings = finite

    def settle(self, outcome: Outcome) -> bool:
        """Tell the sender what became of it; False when the sender has been told before, and nothing is said."""
        if self.settled:
            return False
        self.settled = True
        if self.reply is not None:
            try:
                self.reply(self, outcome)
            except Exception:  # noqa: BLE001 - what is committed stays committed, and others wait for their answer
                _log.exception("a sender could not be told what became of its batch")
        return True


class Contribution(NamedTuple):
    """What one recorder adds to the transaction for one batch. The readings are persist's; all others add writes."""

    readings: Sequence[Reading] = ()
    writes: Sequence[Write] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction has stored, in order: `readings[i]` has the id `first_id + i`.

    `newest` has, by event id, those that became the latest value of their event. Of commits that were coalesced for a
    slow observer only `newest` is left.
    """

    first_id: int
    readings: Sequence[Reading]
    newest: Mapping[int, Datapoint]

    def coalesced(self, later: Committed) -> Committed:
        """One commit and a later one, reduced to the newest value of each event."""
        return Committed(later.first_id, (), {**self.newest, **later.newest})


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage may use. It is complete before `start`."""

    clock: Clock
    catalog: Catalog
    latest: LatestValues
    hub: Hub
    metrics: Metrics
    outbox: Outbox
    limits: PipelineSettings
    logger: logging.Logger


class StageSettings(BaseModel):
    """The base of every stage's own settings, the table `[stages.NAME]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(abc.ABC):
    """What all stages have in common. Derive from `Gate`, `Recorder` or `Observer`."""

    kind: ClassVar[str]
    Settings: ClassVar[type[StageSettings]] = StageSettings
    name: str = ""
    """As in `pipeline.stages`; set when the pipeline is built."""

    def __init__(self, settings: Any) -> None:
        """`settings` is an instance of the stage's `Settings`."""
        self.settings = settings

    async def start(self, context: StageContext) -> None:
        """Called once, in order, before the first batch. An exception here stops the server from starting."""
        self.context = context

    async def close(self) -> None:  # noqa: B027 - most stages hold nothing
        """Called once, in reverse order, after the last batch; also when a `start`, its own or a later one, failed."""


class Gate(Stage):
    """Runs in the sender's receive loop, between two messages, so it must be quick and cannot wait."""

    kind = "gate"
    essential: ClassVar[bool] = False
    """Whether nobody knows what a message says where this gate has failed."""
    computes: ClassVar[bool] = True
    """Whether values may come out of it that did not go in; then each is looked at once more."""

    @abc.abstractmethod
    def process(self, batch: Batch) -> None:
        """Change the batch in place.

        Before `filter` a gate sees `batch.items`, after it `batch.readings`.

        Raises:
            InvalidMessage: the whole message is refused; its text goes to the sender.
        Any other exception is logged and counted, and the batch goes on as the gate left it; if the gate is essential,
        the message is refused, and may be sent again.

        """


class Recorder(Stage):
    """Adds rows to the transaction in which the readings commit; has no I/O of its own.

    `record` is called for each batch of a transaction, in order, then `conclude` once. State it keeps (a throttle, a
    cooldown) is tentative until `keep`; after `forget` it must be as it was at the last `keep`, because the same
    batches come again.
    """

    kind = "recorder"
    schema: ClassVar[Sequence[str]] = ()
    """Statements that make the stage's own tables, run at start; must be harmless when repeated."""

    @abc.abstractmethod
    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        """What this stage adds for one batch.

        An exception leaves out what this stage would have added for this batch; the batch is stored all the same.
        (An exception of persist, which comes first, refuses the batch.)
        """

    def conclude(self) -> Sequence[Write]:
        """What it adds to the transaction as a whole, after its last batch: rows of all batches in one statement.

        An exception leaves this out, and nothing else.
        """
        return ()

    def keep(self) -> None:
        """What was recorded since the last `keep` or `forget` has committed."""

    def forget(self) -> None:
        """What was recorded since the last `keep` or `forget` was rolled back."""


class Observer(Stage):
    """Hears of each commit on a bounded queue of its own; however slow it is, ingestion does not notice.

    `overflow` says what happens to commits that wait while the queue is full: `coalesce` keeps the newest value of
    each event, `drop` forgets the oldest commit. Both are counted.
    """

    kind = "observer"
    overflow: ClassVar[Literal["coalesce", "drop"]] = "drop"

    @abc.abstractmethod
    async def observe(self, committed: Committed) -> None:
        """Hear of one commit. Cancelled at the deadline `pipeline.observer_deadline_s`; exceptions are counted."""


def _as_float(reading: Reading) -> Reading | None:
    try:
        value = float(reading.value)
    except (TypeError, ValueError, OverflowError):
        return None
    return reading._replace(value=value) if isfinite(value) else None
