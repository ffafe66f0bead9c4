"""Rules and webhooks of a file: what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from webmacs.declaration.draft import Draft, merged
from webmacs.declaration.file import RuleEntry, WebhookEntry
from webmacs.declaration.problem import shown
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import RuleState, WebhookState
from webmacs.model import Action, Operator

COOLDOWN_S: Final = 60


def plan_rules(draft: Draft, entries: Iterable[RuleEntry]) -> None:
    """Rules; the events of the file are known by now."""
    for where, entry in draft.numbered("rules", entries, "name"):
        thing = draft.there.rules.get(entry.name)
        if draft.left(entry.name, thing):
            continue
        if thing is None:
            why = f"there is no rule {shown(entry.name)} yet"
            draft.needs(where, entry, why, "event")
            if entry.condition is None:
                draft.problem(where, f"{why}: say when it fires, by above, below, between or the like")
        now = merged(thing.state if thing else _new_rule(entry.name), entry, but="event")
        if entry.event is not None:
            now = replace(now, event=draft.event(f"{where}.event", entry.event) or "")
        if entry.condition is not None:
            operator, threshold, threshold_high = entry.condition
            now = replace(now, operator=operator, threshold=threshold, threshold_high=threshold_high)
        if entry.emits is not None and now.action is not Action.WEBHOOK:
            draft.problem(f"{where}.emits", 'is what webhooks are told of: add action = "webhook"')
        draft.step(entry.name, thing, now)


def plan_webhooks(draft: Draft, entries: Iterable[WebhookEntry], secrets: Secrets) -> None:
    """Webhooks. What one wants to hear of has no order."""
    for where, entry in draft.numbered("webhooks", entries, "url"):
        thing = draft.there.webhooks.get(entry.url)
        if draft.left(entry.url, thing):
            continue
        if thing is None:
            draft.needs(where, entry, "there is no webhook for this url yet", "events")
        base = thing.state if thing else WebhookState(entry.url, (), enabled=True, secret=None)
        now = merged(base, entry)
        if set(now.events) == set(base.events):
            now = replace(now, events=base.events)
        draft.step(entry.url, thing, replace(now, secret=secrets.texts.get(where, base.secret)))


def _new_rule(name: str) -> RuleState:
    """What a new rule is where the file says nothing."""
    return RuleState(
        name=name,
        event="",
        operator=Operator.GT,
        threshold=0.0,
        threshold_high=None,
        action=Action.LOG,
        emits=None,
        enabled=True,
        cooldown_s=COOLDOWN_S,
    )
