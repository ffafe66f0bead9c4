"""`/rules`: thresholds on events."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from webmacs.catalog import Catalog, Snapshot
from webmacs.clock import Clock
from webmacs.errors import InvalidMessage, NotFound
from webmacs.handlers.http import PREFIX, Routes
from webmacs.handlers.resource import (
    Call,
    Done,
    Number,
    Page,
    PageQuery,
    Text,
    Timestamp,
    changes,
    done,
    timestamp,
    unique,
    unset,
)
from webmacs.model import Action, Operator, Role, Rule, WebhookEvent
from webmacs.pipeline.thresholds import fault
from webmacs.preview import MAX_FIRED_AT, preview
from webmacs.storage import rules
from webmacs.storage.base import Storage

_COLUMNS: Final = {
    "event_public_id": "event",
    "action_type": "action",
    "webhook_event_type": "emits",
    "cooldown_seconds": "cooldown_s",
}
MAX_MINUTES: Final = 24 * 60
MINUTE_US: Final = 60_000_000
Seconds = Annotated[int, Field(ge=0, le=10 * 366 * 86_400)]


class RuleShape(TypedDict):
    """A rule."""

    public_id: str
    name: str
    event_public_id: str
    operator: Operator
    threshold: float
    threshold_high: float | None
    action_type: Action
    webhook_event_type: WebhookEvent | None
    enabled: bool
    cooldown_seconds: int
    last_triggered_at: Timestamp | None
    created_on: Timestamp
    user_public_id: str


class NewRule(BaseModel):
    """A new rule; `threshold_high` is the upper bound of a range."""

    name: Text
    event_public_id: Text
    operator: Operator
    threshold: Number
    action_type: Action
    threshold_high: Number | None = None
    webhook_event_type: WebhookEvent | None = None
    enabled: bool = True
    cooldown_seconds: Seconds = 60


class RuleChange(BaseModel):
    """What changes; the rest stays."""

    name: Text = unset()
    event_public_id: Text = unset()
    operator: Operator = unset()
    threshold: Number = unset()
    action_type: Action = unset()
    threshold_high: Number | None = unset()
    webhook_event_type: WebhookEvent | None = unset()
    enabled: bool = unset()
    cooldown_seconds: Seconds = unset()


class RuleTrial(BaseModel):
    """A rule that is only thought of, and how far back to look."""

    event_public_id: Text
    operator: Operator
    threshold: Number
    threshold_high: Number | None = None
    cooldown_seconds: Seconds = 60
    minutes: Annotated[int, Field(ge=1, le=MAX_MINUTES)] = 60


class PreviewShape(TypedDict):
    """What a rule would have done about the readings of a stretch of time: how many there were, how many of them meet
    it, how often it would have fired, and when, of which the newest are here, by time.
    """

    since: Timestamp
    until: Timestamp
    readings: int
    matching: int
    fired: int
    fired_at: Annotated[list[Timestamp], Field(max_length=MAX_FIRED_AT)]


class RuleRoutes:
    """The handlers of the resource."""

    def __init__(self, storage: Storage, catalog: Catalog, clock: Clock, turns: asyncio.Semaphore) -> None:
        self._storage, self._catalog, self._clock, self._turns = storage, catalog, clock, turns

    def register(self, routes: Routes) -> None:
        """Add the routes."""
        every, one = f"{PREFIX}/rules", f"{PREFIX}/rules/{{public_id}}"
        routes.add("GET", every, self.listed, needs=Role.OPERATOR)
        routes.add("POST", every, self.add, needs=Role.OPERATOR, status=201, fails=(404, 409))
        routes.add("POST", f"{every}/preview", self.preview, needs=Role.OPERATOR, fails=(404,))
        routes.add("GET", one, self.show, needs=Role.OPERATOR)
        routes.add("PUT", one, self.change, needs=Role.OPERATOR, fails=(409,))
        routes.add("DELETE", one, self.remove, needs=Role.OPERATOR)

    async def listed(self, call: Call[None, PageQuery]) -> Page[RuleShape]:
        """A page of rules, the oldest first."""
        found, total = await rules.page(self._storage, limit=call.query.page_size, offset=call.query.offset)
        return call.query.holding([_shape(rule, self._catalog.current) for rule in found], total)

    async def add(self, call: Call[NewRule]) -> Done:
        """Add a rule."""
        new = call.body
        _check(new.operator, new.threshold, new.threshold_high)
        with unique(_taken(new.name)):
            await rules.add_rule(
                self._storage.signed(call.actor),
                name=new.name,
                event=new.event_public_id,
                operator=new.operator,
                threshold=new.threshold,
                threshold_high=new.threshold_high,
                action=new.action_type,
                emits=new.webhook_event_type,
                enabled=new.enabled,
                cooldown_s=new.cooldown_seconds,
                user_id=call.identity.user.id,
                now_us=self._clock.now_us(),
            )
        await self._catalog.reload()
        return done(f"rule {new.name} added")

    async def preview(self, call: Call[RuleTrial]) -> PreviewShape:
        """What a rule would have done about the readings of the last minutes, every single one of them.

        As if each had come by itself when it was measured: of a batch the rules look at the last value alone, and count
        the cooldown from when it came.
        """
        trial, known = call.body, self._catalog.current
        _check(trial.operator, trial.threshold, trial.threshold_high)
        event = known.events.get(trial.event_public_id)
        if event is None:
            raise NotFound(f"there is no event {trial.event_public_id}")
        until_us = self._clock.now_us()
        since_us = until_us - trial.minutes * MINUTE_US
        found = await preview(
            self._storage,
            known,
            event.id,
            trial,
            cooldown_s=trial.cooldown_seconds,
            from_us=since_us,
            until_us=until_us,
            turns=self._turns,
        )
        return {
            "since": timestamp(since_us),
            "until": timestamp(until_us),
            "readings": found.readings,
            "matching": found.matching,
            "fired": found.fired,
            "fired_at": [timestamp(time_us) for time_us in found.fired_at_us],
        }

    async def show(self, call: Call) -> RuleShape:
        """One rule."""
        return _shape(await rules.rule(self._storage, call.named()), self._catalog.current)

    async def change(self, call: Call[RuleChange]) -> Done:
        """Change a rule; the thresholds must make sense afterwards."""
        public_id, changed = call.named(), changes(call.body)
        now = await rules.rule(self._storage, public_id)
        operator = changed.get("operator", now.operator)
        _check(operator, changed.get("threshold", now.threshold), changed.get("threshold_high", now.threshold_high))
        with unique(_taken(call.body.name)):
            await rules.change_rule(
                self._storage.signed(call.actor),
                public_id,
                **{_COLUMNS.get(name, name): value for name, value in changed.items()},
            )
        await self._catalog.reload()
        return done("rule changed")

    async def remove(self, call: Call) -> Done:
        """Remove a rule."""
        await rules.remove_rule(self._storage.signed(call.actor), call.named())
        await self._catalog.reload()
        return done("rule removed")


def _check(operator: Operator, threshold: float, threshold_high: float | None) -> None:
    wrong = fault(operator, threshold, threshold_high)
    if wrong is not None:
        raise InvalidMessage(wrong)


def _taken(name: str) -> str:
    return f"a rule called {name!r} exists already"


def _shape(rule: Rule, catalog: Snapshot) -> RuleShape:
    event, user = catalog.events_by_id.get(rule.event_id), catalog.users_by_id.get(rule.user_id or 0)
    last_us = rule.last_triggered_us
    return {
        "public_id": rule.public_id,
        "name": rule.name,
        "event_public_id": event.public_id if event else "",
        "operator": rule.operator,
        "threshold": rule.threshold,
        "threshold_high": rule.threshold_high,
        "action_type": rule.action,
        "webhook_event_type": rule.emits,
        "enabled": rule.enabled,
        "cooldown_seconds": rule.cooldown_s,
        "last_triggered_at": None if last_us is None else timestamp(last_us),
        "created_on": timestamp(rule.created_us),
        "user_public_id": user.public_id if user else "",
    }
