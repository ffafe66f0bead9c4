"""What is there, in the terms of a file: each thing by what it is known by; events are referred to by public id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from webmacs.catalog import Snapshot
from webmacs.model import Action, Direction, Operator, Role, WebhookEvent


@dataclass(frozen=True, slots=True)
class UserState:
    """A user, known by the e-mail address. The password is none of what is compared."""

    email: str
    username: str
    role: Role


@dataclass(frozen=True, slots=True)
class EventState:
    """An event, known by its name."""

    name: str
    unit: str
    type: str
    min_value: float
    max_value: float


@dataclass(frozen=True, slots=True)
class PluginState:
    """A plugin instance, known by its name."""

    instance_name: str
    plugin_id: str
    demo_mode: bool
    enabled: bool
    config_json: str | None


@dataclass(frozen=True, slots=True)
class ChannelState:
    """A channel, known by its id within its plugin instance. `plugin` and `event` are public ids."""

    plugin: str
    channel_id: str
    channel_name: str
    direction: Direction
    unit: str
    event: str | None


@dataclass(frozen=True, slots=True)
class RuleState:
    """A rule, known by its name. `event` is a public id."""

    name: str
    event: str
    operator: Operator
    threshold: float
    threshold_high: float | None
    action: Action
    emits: WebhookEvent | None
    enabled: bool
    cooldown_s: int


@dataclass(frozen=True, slots=True)
class WebhookState:
    """A webhook, known by its URL."""

    url: str
    events: tuple[str, ...]
    enabled: bool
    secret: str | None = field(repr=False)


State = UserState | EventState | PluginState | ChannelState | RuleState | WebhookState
S_co = TypeVar("S_co", bound=State, covariant=True)


@dataclass(frozen=True, slots=True)
class Thing(Generic[S_co]):
    """What is there under a public id."""

    public_id: str
    state: S_co


@dataclass(frozen=True)
class Present:
    """All that is there, in the order in which it was made."""

    users: Mapping[str, Thing[UserState]] = field(default_factory=dict)
    events: Mapping[str, Thing[EventState]] = field(default_factory=dict)
    plugins: Mapping[str, Thing[PluginState]] = field(default_factory=dict)
    channels: Mapping[tuple[str, str], Thing[ChannelState]] = field(default_factory=dict)
    rules: Mapping[str, Thing[RuleState]] = field(default_factory=dict)
    webhooks: Mapping[str, Thing[WebhookState]] = field(default_factory=dict)


def present(catalog: Snapshot) -> Present:
    """What a snapshot of the configuration holds."""
    ids = {event.id: event.public_id for event in catalog.events.values()}
    instances = {plugin.id: plugin for plugin in catalog.plugins}
    return Present(
        users={
            user.email: Thing(user.public_id, UserState(user.email, user.username, user.role))
            for user in catalog.users.values()
        },
        events={
            event.name: Thing(
                event.public_id, EventState(event.name, event.unit, event.type, event.min_value, event.max_value)
            )
            for event in catalog.events.values()
        },
        plugins={
            plugin.instance_name: Thing(
                plugin.public_id,
                PluginState(
                    plugin.instance_name, plugin.plugin_id, plugin.demo_mode, plugin.enabled, plugin.config_json
                ),
            )
            for plugin in catalog.plugins
        },
        channels={
            (instances[channel.plugin_id].instance_name, channel.channel_id): Thing(
                channel.public_id,
                ChannelState(
                    instances[channel.plugin_id].public_id,
                    channel.channel_id,
                    channel.channel_name,
                    channel.direction,
                    channel.unit,
                    ids.get(channel.event_id or 0),
                ),
            )
            for channel in catalog.channels
            if channel.plugin_id in instances
        },
        rules={
            rule.name: Thing(
                rule.public_id,
                RuleState(
                    rule.name,
                    ids[rule.event_id],
                    rule.operator,
                    rule.threshold,
                    rule.threshold_high,
                    rule.action,
                    rule.emits,
                    rule.enabled,
                    rule.cooldown_s,
                ),
            )
            for rule in catalog.rules
            if rule.event_id in ids
        },
        webhooks={
            webhook.url: Thing(
                webhook.public_id, WebhookState(webhook.url, webhook.events, webhook.enabled, webhook.secret)
            )
            for webhook in catalog.webhooks
        },
    )
