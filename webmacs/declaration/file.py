"""The file: users, events, plugin instances with channels, rules and webhooks, as TOML.

What is not said is None: of what is there already it stays as it is, and what is new gets a default or is asked for it.
The limits are those of the API.
"""

from __future__ import annotations

import json
import tomllib
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from webmacs.declaration.problem import Problem, Refused, choice, shown
from webmacs.handlers.channels import ChannelId, Unit
from webmacs.handlers.events import EventType
from webmacs.handlers.plugins import MAX_CONFIG_LENGTH, PluginId
from webmacs.handlers.resource import Number, Text
from webmacs.handlers.rules import Seconds
from webmacs.handlers.users import Email, Username
from webmacs.handlers.webhooks import EventType as WebhookEventType
from webmacs.handlers.webhooks import Url
from webmacs.model import Action, Direction, Operator, Role, WebhookEvent
from webmacs.pipeline.thresholds import fault
from webmacs.plugins.base import MAX_CHANNELS, MAX_ID, MAX_NAME
from webmacs.storage.accounts import normal_email

UNLINKED: Final = "unlinked"  # which no event can be called by, as this is a route of its own
MAX_BYTES: Final = 8 * 2**20
SECRET: Final = frozenset({"url", "config", "secret", "password"})  # what may be in there is not repeated
CONDITIONS: Final = {
    "above": Operator.GT,
    "below": Operator.LT,
    "at_least": Operator.GTE,
    "at_most": Operator.LTE,
    "equals": Operator.EQ,
    "between": Operator.BETWEEN,
    "outside": Operator.NOT_BETWEEN,
}


def _reachable(public_id: str) -> str:
    if public_id == UNLINKED:
        raise ValueError("is not free; choose another one")
    return public_id


def _json(config: dict[str, Any]) -> dict[str, Any]:
    try:
        length = len(json.dumps(config, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError):
        raise ValueError("holds a date, a time or a number that JSON does not have; write it as a text") from None
    if length > MAX_CONFIG_LENGTH:
        raise ValueError(f"has {length:,} characters as JSON; {MAX_CONFIG_LENGTH:,} are the most")
    return config


PublicId = Annotated[
    str, Field(max_length=MAX_ID, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$"), AfterValidator(_reachable)
]
EventName = Annotated[str, Field(max_length=MAX_NAME, pattern=r"^[^\x00]*$")]
Range = Annotated[tuple[Number, Number], Field(strict=False)]
SourceName = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]


class Entry(BaseModel):
    """One thing. Unknown keys are refused; a number is a number and no text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class UserEntry(Entry):
    """`[[users]]`. The password is where the file says, and is asked for when the user is new."""

    email: Annotated[Email, AfterValidator(normal_email)]
    username: Username | None = None
    role: Annotated[Role | None, Field(strict=False)] = None
    password_file: SourceName | None = None
    password_env: SourceName | None = None


class EventEntry(Entry):
    """`[[events]]`. A `public_id` is chosen once, so that controllers can be told of it beforehand."""

    name: Text
    unit: Text | None = None
    type: EventType | None = None
    min_value: Number | None = None
    max_value: Number | None = None
    public_id: PublicId | None = None


class ChannelEntry(Entry):
    """`[[plugins.channels]]`. `event` is the name of an event, empty for none."""

    channel_id: ChannelId
    channel_name: Text | None = None
    direction: Annotated[Direction | None, Field(strict=False)] = None
    unit: Unit | None = None
    event: EventName | None = None


class PluginEntry(Entry):
    """`[[plugins]]`: an instance. The channels of the plugin's catalogue come with a new one, and events for them."""

    instance_name: Text
    plugin_id: PluginId | None = None
    demo_mode: bool | None = None
    enabled: bool | None = None
    config: Annotated[dict[str, Any], AfterValidator(_json)] | None = None
    catalog_channels: bool = True
    auto_create_events: bool = True
    channels: Annotated[tuple[ChannelEntry, ...], Field(max_length=MAX_CHANNELS, strict=False)] = ()

    @property
    def config_json(self) -> str | None:
        """The configuration as it is stored."""
        return None if self.config is None else json.dumps(self.config, ensure_ascii=False)


class Condition(NamedTuple):
    """An operator with its threshold, or with both where it has two."""

    operator: Operator
    threshold: float
    threshold_high: float | None


class RuleEntry(Entry):
    """`[[rules]]`. One of the conditions is given, or none for a rule that has one already."""

    name: Text
    event: Text | None = None
    above: Number | None = None
    below: Number | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    equals: Number | None = None
    between: Range | None = None
    outside: Range | None = None
    action: Annotated[Action | None, Field(strict=False)] = None
    emits: Annotated[WebhookEventType, AfterValidator(WebhookEvent.spelled)] | None = None
    enabled: bool | None = None
    cooldown_s: Seconds | None = None

    @property
    def condition(self) -> Condition | None:
        """When it fires; None when nothing is said."""
        for word, operator in CONDITIONS.items():
            value = getattr(self, word)
            if value is not None:
                low, high = value if isinstance(value, tuple) else (value, None)
                return Condition(operator, float(low), None if high is None else float(high))
        return None

    @model_validator(mode="after")
    def _one_condition_that_makes_sense(self) -> RuleEntry:
        given = [word for word in CONDITIONS if getattr(self, word) is not None]
        if len(given) > 1:
            raise ValueError(f"a rule has one condition, and there are {' and '.join(given)}: give one of them")
        if self.condition is not None and fault(*self.condition) is not None:
            _, low, high = self.condition
            raise ValueError(f"{given[0]} = [{low:.15g}, {high:.15g}]: the lower bound comes first")
        return self


class WebhookEntry(Entry):
    """`[[webhooks]]`. The secret is where the file says; where it says nothing, there is none or it stays."""

    url: Url
    events: Annotated[tuple[WebhookEventType, ...] | None, Field(min_length=1, max_length=20, strict=False)] = None
    enabled: bool | None = None
    secret_file: SourceName | None = None
    secret_env: SourceName | None = None


class Declaration(Entry):
    """A whole file."""

    users: Annotated[tuple[UserEntry, ...], Field(strict=False)] = ()
    events: Annotated[tuple[EventEntry, ...], Field(strict=False)] = ()
    plugins: Annotated[tuple[PluginEntry, ...], Field(strict=False)] = ()
    rules: Annotated[tuple[RuleEntry, ...], Field(strict=False)] = ()
    webhooks: Annotated[tuple[WebhookEntry, ...], Field(strict=False)] = ()


_TABLES: Final[dict[str, type[Entry]]] = {
    "users": UserEntry,
    "events": EventEntry,
    "plugins": PluginEntry,
    "channels": ChannelEntry,
    "rules": RuleEntry,
    "webhooks": WebhookEntry,
}


def read(data: bytes) -> Declaration:
    """A file's contents. Raises `Refused`."""
    if len(data) > MAX_BYTES:
        raise Refused([Problem("", f"has {len(data):,} bytes; {MAX_BYTES:,} are the most")])
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # of which TOMLDecodeError and UnicodeDecodeError are some
        raise Refused([Problem("", f"is not valid TOML: {error}")]) from error
    try:
        return Declaration.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise Refused([_problem(one["type"], one["loc"], one["msg"], one["input"]) for one in found]) from None


def place(*parts: str | int) -> str:
    """Where something is in the file: `rules[2].event`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _problem(kind: str, where: tuple[str | int, ...], message: str, value: object) -> Problem:
    names = [part for part in where if isinstance(part, str)]
    if kind == "extra_forbidden":
        return Problem(place(*where), _unknown(names))
    if kind == "missing":
        return Problem(place(*where), "is missing")
    text = message.removeprefix("Value error, ")
    if isinstance(value, (dict, list)) or SECRET & set(names):
        return Problem(place(*where), text)
    return Problem(place(*where), f"{text}; it is {shown(value)}")


def _unknown(names: list[str]) -> str:
    """What to say of a key that there is not. Its value may be anything."""
    *tables, key = names
    if key in {"password", "secret"}:
        return f"is not written into the file: give {key}_file or {key}_env, the name of a file or variable that has it"
    known = (_TABLES[tables[-1]] if tables else Declaration).model_fields
    return f"unknown key; {choice(key, known)}"
