"""From a plan to the storage: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from webmacs.declaration.plan import Plan, Step, Verdict
from webmacs.declaration.state import (
    ChannelState,
    EventState,
    PluginState,
    RuleState,
    State,
    UserState,
    WebhookState,
)
from webmacs.errors import Conflict
from webmacs.model import Role, Scalar, Write
from webmacs.storage import accounts, plugins, records, rules, webhooks
from webmacs.storage.base import Tables
from webmacs.storage.statements import change, own

TABLES: Final[Mapping[type[State], str]] = {
    UserState: "users",
    EventState: "events",
    PluginState: "plugins",
    ChannelState: "channels",
    RuleState: "rules",
    WebhookState: "webhooks",
}
OWNED: Final = (EventState, PluginState, RuleState, WebhookState)


async def carry_out(
    storage: Tables, plan: Plan, *, password_hashes: Mapping[str, str], now_us: int, old_secrets_until_us: int
) -> None:
    """Do what a plan says, if that is anything; `password_hashes` are those of new users, by e-mail address.

    A secret that is replaced stays good beside the new one until the time that is given.

    Raises:
        Conflict: what the plan was made from is not so any more; nothing was done.

    """
    if not plan.changes:
        return
    writes = list(_writes(plan, password_hashes, now_us, old_secrets_until_us))
    try:
        await storage.write(*writes)
    except Conflict as error:
        raise Conflict(
            "somebody changed the same things at this very moment, so nothing was changed here; run it again"
        ) from error


def _writes(plan: Plan, password_hashes: Mapping[str, str], now_us: int, old_secrets_until_us: int) -> Iterator[Write]:
    demoted = any(_demotes(step) for step in plan.steps)
    if demoted:
        yield accounts.hold_administrators()
    yield from _still_there(plan)
    for step in plan.changes:
        if step.verdict is Verdict.ADD:
            yield _addition(step, password_hashes, now_us)
        elif step.was is not None:
            was, now = _columns(step.was), _columns(step.now)
            changed = {name: value for name, value in now.items() if value != was[name]}
            yield change(
                TABLES[type(step.now)], step.public_id, was, changed | _beside(step, now_us, old_secrets_until_us)
            )
    for kind in OWNED if plan.owner is not None else ():
        added = [step.public_id for step in plan.changes if step.was is None and isinstance(step.now, kind)]
        if added and plan.owner is not None:
            yield own(TABLES[kind], added, plan.owner)
    if demoted:
        yield accounts.keep_an_administrator()


def _demotes(step: Step) -> bool:
    return (
        isinstance(step.was, UserState)
        and isinstance(step.now, UserState)
        and step.was.role is Role.ADMIN
        and step.now.role is not Role.ADMIN
    )


def _still_there(plan: Plan) -> Iterator[Write]:
    """What is referred to must not have gone meanwhile: a reference to nothing would be none, without a word."""
    referred = dict.fromkeys(
        reference
        for step in plan.changes
        for reference in (("events", getattr(step.now, "event", None)), ("plugins", getattr(step.now, "plugin", None)))
    )
    new = {step.public_id for step in plan.steps if step.was is None}
    for table, public_id in referred:
        if public_id is not None and public_id not in new:
            yield change(table, public_id, {}, {})


def _addition(step: Step, password_hashes: Mapping[str, str], now_us: int) -> Write:
    match step.now:
        case UserState() as user:
            return accounts.make_user(
                step.public_id,
                email=user.email,
                username=user.username,
                password_hash=password_hashes[user.email],
                role=user.role,
                now_us=now_us,
            )
        case EventState() as event:
            return records.make_event(
                step.public_id,
                name=event.name,
                unit=event.unit,
                type=event.type,
                min_value=event.min_value,
                max_value=event.max_value,
                now_us=now_us,
            )
        case PluginState() as plugin:
            return plugins.make_plugin(
                step.public_id,
                plugin_id=plugin.plugin_id,
                instance_name=plugin.instance_name,
                demo_mode=plugin.demo_mode,
                enabled=plugin.enabled,
                config_json=plugin.config_json,
                now_us=now_us,
            )
        case ChannelState() as channel:
            return plugins.make_channel(
                step.public_id,
                plugin=channel.plugin,
                channel_id=channel.channel_id,
                channel_name=channel.channel_name,
                direction=channel.direction.value,
                unit=channel.unit,
                event=channel.event,
                now_us=now_us,
            )
        case RuleState() as rule:
            return rules.make_rule(
                step.public_id,
                name=rule.name,
                event=rule.event,
                operator=rule.operator,
                threshold=rule.threshold,
                threshold_high=rule.threshold_high,
                action=rule.action,
                emits=rule.emits,
                enabled=rule.enabled,
                cooldown_s=rule.cooldown_s,
                now_us=now_us,
            )
        case WebhookState() as webhook:
            return webhooks.make_webhook(
                step.public_id,
                url=webhook.url,
                events=webhook.events,
                secret=webhook.secret,
                enabled=webhook.enabled,
                now_us=now_us,
            )


def _columns(state: State) -> dict[str, Scalar]:
    """A thing as its row has it, but for what it is known by."""
    match state:
        case UserState():
            return {"username": state.username, "role": state.role.value}
        case EventState():
            bounds = {"min_value": state.min_value, "max_value": state.max_value}
            return {"unit": state.unit, "type": state.type, **bounds}
        case PluginState():
            switches = {"demo_mode": int(state.demo_mode), "enabled": int(state.enabled)}
            return {**switches, "config_json": state.config_json}
        case ChannelState():
            what = {"channel_name": state.channel_name, "direction": state.direction.value, "unit": state.unit}
            return {**what, "event_id": state.event}
        case RuleState():
            return {
                "event_id": state.event,
                "operator": state.operator.value,
                "threshold": state.threshold,
                "threshold_high": state.threshold_high,
                "action": state.action.value,
                "emits": None if state.emits is None else state.emits.value,
                "enabled": int(state.enabled),
                "cooldown_s": state.cooldown_s,
            }
        case WebhookState():
            events = webhooks.written(state.events)
            return {"events": events, "enabled": int(state.enabled), "secret": state.secret}


def _beside(step: Step, now_us: int, old_secrets_until_us: int) -> dict[str, Scalar]:
    """The columns that change with others."""
    if isinstance(step.now, PluginState):
        return {"updated_us": now_us}
    if isinstance(step.was, WebhookState) and isinstance(step.now, WebhookState) and step.was.secret != step.now.secret:
        return {"old_secret": step.was.secret, "old_secret_until_us": old_secrets_until_us}
    return {}
