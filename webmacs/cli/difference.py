"""What a plan changes, for people at a terminal and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from webmacs.cli.listing import count
from webmacs.cli.printable import printable
from webmacs.cli.receiver import short_url
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
from webmacs.model import Action, WebhookEvent
from webmacs.pipeline.thresholds import words

KINDS: Final = {
    UserState: "user",
    EventState: "event",
    PluginState: "plugin instance",
    ChannelState: "channel",
    RuleState: "rule",
    WebhookState: "webhook",
}
MARKS: Final = {Verdict.ADD: ("+", "bold green"), Verdict.CHANGE: ("~", "bold yellow")}
ARROW: Final = "→"


def show_changes(plan: Plan, *, lines: bool) -> None:
    """Print each change: for people with a mark and, on a terminal, colours; as lines with tabs between."""
    if lines:
        for step in plan.changes:
            click.echo("\t".join((step.verdict, KINDS[type(step.now)], _name(step), _said(step, plan))))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for step in plan.changes:
        mark, kind = MARKS[step.verdict], KINDS[type(step.now)]
        console.print(Text.assemble(mark, f" {kind} ", (_name(step), "bold"), f": {_said(step, plan)}"))


def summary(plan: Plan, *, dry_run: bool) -> str:
    """All of it in one line."""
    added, changed, kept = (plan.count(verdict) for verdict in (Verdict.ADD, Verdict.CHANGE, Verdict.KEEP))
    if not plan.changes:
        return f"nothing to do: {count(kept, 'thing')}, all as they are to be"
    if dry_run:
        return f"would add {added}, change {changed}, leave {kept} as they are; a dry run changes nothing"
    return f"added {added}, changed {changed}, left {kept} as they were"


def _name(step: Step) -> str:
    return short_url(step.name) if isinstance(step.now, WebhookState) else printable(step.name)


def _said(step: Step, plan: Plan) -> str:
    if step.was is None:
        return printable(", ".join(_about(step.now, plan)))
    was, now = dict(_aspects(step.was, plan)), dict(_aspects(step.now, plan))
    differences = [f"{label} {was[label]} {ARROW} {now[label]}".strip() for label in now if was[label] != now[label]]
    return printable(", ".join([*differences, *_hidden(step)]))


def _about(state: State, plan: Plan) -> Iterator[str]:
    """What there is to say of something new."""
    match state:
        case UserState():
            yield state.role.value
        case EventState():
            yield from (text for text in (state.unit, _range(state)) if text)
            if state.type != "sensor":
                yield state.type
        case PluginState():
            yield state.plugin_id
            if state.demo_mode:
                yield "demo mode"
        case ChannelState():
            yield f"{ARROW} {_event(state.event, plan)}"
        case RuleState():
            yield f"{_event(state.event, plan)} {words(state)} {plan.events[state.event].unit}".rstrip()
            yield _does(state)
        case WebhookState():
            yield from state.events
            yield "signed" if state.secret else "not signed"
    if not getattr(state, "enabled", True):
        yield "off"


def _aspects(state: State, plan: Plan) -> Iterator[tuple[str, str]]:
    """All that may be different and may be seen."""
    match state:
        case UserState():
            yield "username", state.username
            yield "role", state.role.value
        case EventState():
            yield "unit", state.unit
            yield "range", _range(state)
            yield "type", state.type
        case PluginState():
            yield "demo mode", _switch(on=state.demo_mode)
        case ChannelState():
            yield "name", state.channel_name
            yield "direction", state.direction.value
            yield "unit", state.unit
            yield "event", _event(state.event, plan)
        case RuleState():
            yield "event", _event(state.event, plan)
            yield "", words(state)
            yield "action", _does(state)
            yield "cooldown", f"{state.cooldown_s} s"
        case WebhookState():
            yield "events", " ".join(state.events)
    if hasattr(state, "enabled"):
        yield "switched", _switch(on=state.enabled)


def _hidden(step: Step) -> Iterator[str]:
    """What is different and must not be seen."""
    match step.was, step.now:
        case WebhookState() as was, WebhookState() as now if was.secret != now.secret:
            yield "secret: changed"
        case PluginState() as before, PluginState() as after if before.config_json != after.config_json:
            yield "config: changed"


def _event(public_id: str | None, plan: Plan) -> str:
    return "no event" if public_id is None else plan.events[public_id].name


def _range(event: EventState) -> str:
    return f"{event.min_value:.15g} to {event.max_value:.15g}"


def _does(rule: RuleState) -> str:
    if rule.action is Action.LOG:
        return "logs a warning"
    return f"tells webhooks of {rule.emits or WebhookEvent.THRESHOLD_EXCEEDED}"


def _switch(*, on: bool) -> str:
    return "on" if on else "off"
