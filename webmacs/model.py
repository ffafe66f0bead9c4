"""The domain's nouns, frozen. Imports the standard library only.

Times are integers of microseconds since 1970-01-01T00:00:00 UTC, in names that end in `_us`: exact, cheap to compare,
and the same in every storage.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Scalar = str | int | float | bool | None


def to_datetime(time_us: int) -> datetime:
    """Microseconds since the epoch as an aware UTC datetime."""
    return EPOCH + timedelta(microseconds=time_us)


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds since the epoch, exactly."""
    span = moment - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


class Role(enum.StrEnum):
    """What a user may do; each role may do all that the ones below it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class User:
    """A person or a controller with an account. `session_version` rises with each change of password."""

    id: int
    public_id: str
    email: str
    username: str
    role: Role
    session_version: int
    created_us: int


class Scope(enum.StrEnum):
    """What an API token is good for: to send readings, to look at what its owner may see, or all that its owner may."""

    INGEST = "ingest"
    READ = "read"
    FULL = "full"

    def covers(self, needed: Scope) -> bool:
        """Whether a token of this scope does where that one is needed. Those who read send nothing, and the reverse."""
        return self is Scope.FULL or self is needed


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A long-lived credential (`wm_…`); only its SHA-256 is kept. `expires_us` None: never.

    `plugin_id`, with the scope `ingest`: it sends the readings of that plugin instance and no others.
    """

    id: int
    public_id: str
    name: str
    digest: str
    user_id: int
    expires_us: int | None
    created_us: int
    scope: Scope = Scope.FULL
    plugin_id: int | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, as the audit log says it for ever: a user by e-mail and id, and the name of the API token
    if it came by one; or somebody at the machine's own command line.
    """

    name: str
    user_public_id: str | None = None
    token_name: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end, and by which credential. `expires_us` None: never.

    Exactly one of `jti` (a JWT) and `token_id` (an API token) is given; `token_name`, `scope` and `plugin_id` are the
    API token's. `session_version` is that of the credential.
    """

    user: User
    expires_us: int | None
    jti: str | None = None
    token_id: int | None = None
    scope: Scope = Scope.FULL
    plugin_id: int | None = None
    token_name: str | None = None

    @property
    def actor(self) -> Actor:
        """What the audit log calls who it is."""
        return Actor(self.user.email, self.user.public_id, self.token_name)


@dataclass(frozen=True, slots=True)
class Event:
    """One measured or controlled quantity, as the specification calls it. `id` is never reused."""

    id: int
    public_id: str
    name: str
    unit: str
    type: str
    min_value: float
    max_value: float
    user_public_id: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """An instance of a plugin: one device, or one program that reads some. `plugin_id` says which plugin it is of."""

    id: int
    public_id: str
    plugin_id: str
    instance_name: str
    demo_mode: bool
    enabled: bool
    config_json: str | None
    user_id: int | None
    created_us: int
    updated_us: int | None = None


class Direction(enum.StrEnum):
    """Which way the values of a channel go, seen from the device."""

    INPUT = "input"
    OUTPUT = "output"
    BIDIRECTIONAL = "bidirectional"


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity of a plugin instance, linked to an event or to none. The ids of both are surrogate ones."""

    id: int
    public_id: str
    plugin_id: int
    channel_id: str
    channel_name: str
    direction: Direction
    unit: str
    event_id: int | None
    created_us: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """An interval of time under a name. `stopped_us` None: it is running."""

    id: int
    public_id: str
    name: str
    started_us: int
    stopped_us: int | None
    user_id: int | None = None


class Operator(enum.StrEnum):
    """How a rule compares a value with its threshold; `webmacs.pipeline.thresholds` says what each means."""

    GT = "gt"
    LT = "lt"
    EQ = "eq"
    GTE = "gte"
    LTE = "lte"
    BETWEEN = "between"
    NOT_BETWEEN = "not_between"


class Action(enum.StrEnum):
    """What a rule does when it fires."""

    WEBHOOK = "webhook"
    LOG = "log"


class WebhookEvent(enum.StrEnum):
    """What a webhook may be told of. Receivers may also subscribe to the spelling with an underscore for the dot."""

    THRESHOLD_EXCEEDED = "sensor.threshold_exceeded"
    READING = "sensor.reading"
    EXPERIMENT_STARTED = "experiment.started"
    EXPERIMENT_STOPPED = "experiment.stopped"
    HEALTH_CHANGED = "system.health_changed"

    @property
    def spellings(self) -> tuple[str, str]:
        """Both ways to write it."""
        return (self.value, self.value.replace(".", "_", 1))

    @classmethod
    def spelled(cls, text: str) -> WebhookEvent:
        """The event of either spelling. Raises `ValueError` when there is none."""
        for event in cls:
            if text in event.spellings:
                return event
        raise ValueError(f"{text!r} is no event of webhooks; there are {', '.join(cls)}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A threshold on one event. It fires for each value that is beyond it, but not again within its cooldown.

    `emits` None: `sensor.threshold_exceeded`; of use with the action `webhook` only. `last_triggered_us` is as of the
    time when the rule was read.
    """

    id: int
    public_id: str
    name: str
    event_id: int
    operator: Operator
    threshold: float
    threshold_high: float | None
    action: Action
    emits: WebhookEvent | None
    enabled: bool
    cooldown_s: int
    user_id: int | None
    created_us: int
    last_triggered_us: int | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver and what it wants to hear of, each event as it spells it. Secrets are the newest first."""

    id: int
    public_id: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    user_id: int | None
    created_us: int
    secret: str | None = field(default=None, repr=False)
    old_secret: str | None = field(default=None, repr=False)
    old_secret_until_us: int = 0

    def spelling(self, event: WebhookEvent) -> str | None:
        """How it calls the event; None when it does not want to hear of it."""
        return next((text for text in self.events if text in event.spellings), None)

    def secrets(self, now_us: int) -> tuple[str, ...]:
        """Those that are good now: two for a while after a change."""
        old = self.old_secret if now_us < self.old_secret_until_us else None
        return tuple(secret for secret in (self.secret, old) if secret)


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A call to make. `public_id` is what the receiver knows it by, however often it is attempted."""

    public_id: str
    webhook_id: int
    event_type: str
    payload: str
    created_us: int


class DeliveryStatus(enum.StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call that was asked for, and what became of it so far. `due_us`: not to be attempted before."""

    id: int
    public_id: str
    webhook_id: int
    event_type: str
    payload: str
    status: DeliveryStatus
    attempts: int
    due_us: int
    last_error: str | None
    response_code: int | None
    created_us: int
    delivered_us: int | None


class Reading(NamedTuple):
    """One value of one event, on its way to the storage. (A tuple: the hot path makes one for each value.)"""

    event: Event
    time_us: int
    value: float
    experiment: Experiment | None


class Datapoint(NamedTuple):
    """A stored reading. `id` rises with each reading stored."""

    id: int
    event: Event
    time_us: int
    value: float
    experiment: Experiment | None

    @property
    def public_id(self) -> str:
        """Opaque to clients; holds all that finds the row, so that it needs no index of its own."""
        return f"{self.id:08x}-{self.event.id:x}-{self.time_us:x}"


class BatchKey(NamedTuple):
    """The identity a sender gave a batch; unique per user."""

    user_id: int
    batch_id: str


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What is remembered of a batch with an identity: a digest of its contents and the answer that was given."""

    key: BatchKey
    digest: str
    accepted: int
    invalid: int
    unlinked: int
    skewed: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Write:
    """One statement with `:name` placeholders, run once for each of `rows`, in the transaction it is part of.

    `bulk`: it is a plain `INSERT INTO table (columns) VALUES (:names)`, which a storage may run once for many rows.
    `changes`: how many rows it changes in all, or else nothing of the transaction is to happen; of a configuration that
    was read before, it says what must still be so. For `Storage.write`; `Storage.append` does not look at it.
    """

    statement: str
    rows: tuple[Mapping[str, Scalar], ...] = ({},)
    bulk: bool = False
    changes: int | None = None
