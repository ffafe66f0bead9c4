"""Rules and when they last fired: the statements, once for every backend."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from webmacs.errors import NotFound
from webmacs.model import Action, Operator, Rule, Scalar, WebhookEvent, Write
from webmacs.storage.base import Row, Tables
from webmacs.storage.statements import on_one, total, update

_RULES: Final = (
    "SELECT r.id, r.public_id, r.name, r.event_id, r.operator, r.threshold, r.threshold_high, r.action, r.emits,"
    " r.enabled, r.cooldown_s, r.user_id, r.created_us, s.last_triggered_us"
    " FROM rules AS r LEFT JOIN rule_states AS s ON s.rule_id = r.id"
)


async def rules(storage: Tables) -> list[Rule]:
    """All rules, the oldest first."""
    return [_rule(row) for row in await storage.fetch(f"{_RULES} ORDER BY r.id")]


async def page(storage: Tables, *, limit: int, offset: int) -> tuple[list[Rule], int]:
    """Some of them, the oldest first, and how many there are."""
    rows = await storage.fetch(f"{_RULES} ORDER BY r.id LIMIT :limit OFFSET :offset", limit=limit, offset=offset)
    return [_rule(row) for row in rows], await total(storage, "rules")


async def rule(storage: Tables, public_id: str) -> Rule:
    """One rule. Raises `NotFound`."""
    rows = await storage.fetch(f"{_RULES} WHERE r.public_id = :public_id", public_id=public_id)
    if not rows:
        raise NotFound(f"there is no rule {public_id}")
    return _rule(rows[0])


async def change_rule(storage: Tables, public_id: str, **changed: Scalar) -> None:
    """Change columns of a rule; `event` is the public id of its event. What is an enum is given as its value.

    Raises:
        Conflict: the name is taken.
        NotFound: there is no such rule, or no such event.

    """
    event = changed.pop("event", None)
    if event is not None:
        rows = await storage.fetch("SELECT id FROM events WHERE public_id = :event", event=event)
        if not rows:
            raise NotFound(f"there is no event {event}")
        changed["event_id"] = rows[0][0]
    await on_one(storage, "rule", public_id, update("rules", public_id, changed))


def make_rule(
    public_id: str,
    *,
    name: str,
    event: str,
    operator: Operator,
    threshold: float,
    action: Action,
    now_us: int,
    threshold_high: float | None = None,
    emits: WebhookEvent | None = None,
    enabled: bool = True,
    cooldown_s: int = 60,
    user_id: int | None = None,
) -> Write:
    """Add a rule on an event, by its public id. Raises `Conflict`, when written, if the name is taken.

    It adds none where there is no such event. Whether it makes sense is the caller's to know.
    """
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "name": name,
        "event": event,
        "operator": operator.value,
        "threshold": float(threshold),
        "threshold_high": None if threshold_high is None else float(threshold_high),
        "action": action.value,
        "emits": None if emits is None else emits.value,
        "enabled": int(enabled),
        "cooldown_s": cooldown_s,
        "user_id": user_id,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO rules (public_id, name, event_id, operator, threshold, threshold_high, action, emits, enabled,"
        " cooldown_s, user_id, created_us) SELECT :public_id, :name, id, :operator, :threshold, :threshold_high,"
        " :action, :emits, :enabled, :cooldown_s, :user_id, :now_us FROM events WHERE public_id = :event",
        (row,),
    )


async def add_rule(
    storage: Tables,
    *,
    name: str,
    event: str,
    operator: Operator,
    threshold: float,
    action: Action,
    now_us: int,
    threshold_high: float | None = None,
    emits: WebhookEvent | None = None,
    enabled: bool = True,
    cooldown_s: int = 60,
    user_id: int | None = None,
) -> str:
    """Add a rule, as `make_rule` does; returns its public id.

    Raises:
        Conflict: the name is taken.
        NotFound: there is no such event.

    """
    public_id = str(uuid.uuid4())
    added = await storage.write(
        make_rule(
            public_id,
            name=name,
            event=event,
            operator=operator,
            threshold=threshold,
            threshold_high=threshold_high,
            action=action,
            emits=emits,
            enabled=enabled,
            cooldown_s=cooldown_s,
            user_id=user_id,
            now_us=now_us,
        )
    )
    if not added:
        raise NotFound(f"there is no event {event}")
    return public_id


async def enable_rule(storage: Tables, public_id: str, *, enabled: bool) -> None:
    """Switch a rule on or off. Raises `NotFound`."""
    row: dict[str, Scalar] = {"enabled": int(enabled), "public_id": public_id}
    if not await storage.write(Write("UPDATE rules SET enabled = :enabled WHERE public_id = :public_id", (row,))):
        raise NotFound(f"there is no rule {public_id}")


async def remove_rule(storage: Tables, public_id: str) -> None:
    """Remove a rule. Raises `NotFound`."""
    row = {"public_id": public_id}
    removed = await storage.write(
        Write("DELETE FROM rule_states WHERE rule_id = (SELECT id FROM rules WHERE public_id = :public_id)", (row,)),
        Write("DELETE FROM rules WHERE public_id = :public_id", (row,)),
    )
    if not removed:
        raise NotFound(f"there is no rule {public_id}")


def fired(last_triggered_us: Mapping[int, int]) -> Write:
    """Remember, by rule id, when rules last fired; part of the transaction in which they do."""
    return Write(
        "INSERT INTO rule_states (rule_id, last_triggered_us) VALUES (:rule_id, :time_us)"
        " ON CONFLICT (rule_id) DO UPDATE SET last_triggered_us = excluded.last_triggered_us",
        tuple({"rule_id": rule_id, "time_us": time_us} for rule_id, time_us in sorted(last_triggered_us.items())),
    )


def _rule(row: Row) -> Rule:
    number, public_id, name, event_id, operator, low, high, action, emits, enabled, *rest = row
    happened = None if emits is None else WebhookEvent(emits)
    kind = Operator(operator)
    return Rule(number, public_id, name, event_id, kind, low, high, Action(action), happened, bool(enabled), *rest)
