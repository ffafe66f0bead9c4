"""The statements that all tables have in common, where they do more than their words say."""

from __future__ import annotations

import pytest

from tests.storage.rows import new_event
from webmacs.errors import Conflict
from webmacs.model import Action, Operator, Role, Rule, Scalar
from webmacs.storage import accounts, records, rules
from webmacs.storage.base import Storage
from webmacs.storage.statements import change, own


async def a_rule(storage: Storage, event: str) -> Rule:
    await rules.add_rule(
        storage, name="Hot", event=event, operator=Operator.GT, threshold=80.5, action=Action.LOG, now_us=1
    )
    (rule,) = await rules.rules(storage)
    return rule


async def test_what_is_still_as_it_was_is_changed(storage: Storage) -> None:
    first, second = (await new_event(storage, "A")).public_id, (await new_event(storage, "B")).public_id
    rule = await a_rule(storage, first)
    was: dict[str, Scalar] = {"threshold": 80.5, "threshold_high": None, "event_id": first}
    now: dict[str, Scalar] = {"threshold": 1.0, "threshold_high": 2.0, "event_id": second, "enabled": 0}
    await storage.write(change("rules", rule.public_id, was, now))
    (changed,) = await rules.rules(storage)
    events = (await records.snapshot(storage, 0)).events
    assert (changed.threshold, changed.threshold_high, changed.enabled) == (1.0, 2.0, False)
    assert changed.event_id == events[second].id


@pytest.mark.parametrize("column", ["threshold", "threshold_high", "event_id", "name"])
async def test_what_was_changed_meanwhile_is_a_conflict_and_stays(storage: Storage, column: str) -> None:
    event, other = (await new_event(storage, "A")).public_id, (await new_event(storage, "B")).public_id
    rule = await a_rule(storage, event)
    other_than_it_is: dict[str, Scalar] = {"threshold": 80.0, "threshold_high": 1.0, "event_id": other, "name": "Cold"}
    with pytest.raises(Conflict):
        await storage.write(change("rules", rule.public_id, {column: other_than_it_is[column]}, {"cooldown_s": 1}))
    assert await rules.rules(storage) == [rule]


@pytest.mark.parametrize("now", [{}, {"name": "B"}])
async def test_what_has_gone_meanwhile_is_a_conflict(storage: Storage, now: dict[str, Scalar]) -> None:
    event = (await new_event(storage, "A")).public_id
    await storage.write(change("events", event, {}, now))
    await records.drop_event(storage, event)
    with pytest.raises(Conflict):
        await storage.write(change("events", event, {}, now))


async def test_what_belongs_to_nobody_can_be_given_to_a_user(storage: Storage) -> None:
    given, left = (await new_event(storage, "A")).public_id, (await new_event(storage, "B")).public_id
    boss = await accounts.add_user(
        storage, email="boss@example.org", username="boss", password_hash="x", role=Role.ADMIN, now_us=1
    )
    await storage.write(own("events", [given], boss))
    events = (await records.snapshot(storage, 0)).events
    assert (events[given].user_public_id, events[left].user_public_id) == (boss, None)
