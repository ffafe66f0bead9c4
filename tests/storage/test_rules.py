"""Rules and when they last fired, on every storage."""

from __future__ import annotations

import math

import pytest

from tests.storage.rows import T0, commit, new_event, new_rule, reading, snapshot
from webmacs.errors import Conflict, InvalidRows, NotFound
from webmacs.model import Action, Operator, Role, Rule, WebhookEvent, Write
from webmacs.storage import accounts, records
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule, enable_rule, fired, remove_rule, rules


async def names(storage: Storage) -> list[str]:
    return [rule.name for rule in await rules(storage)]


async def states(storage: Storage) -> dict[int, int]:
    return dict(await storage.fetch("SELECT rule_id, last_triggered_us FROM rule_states"))


async def owner(storage: Storage) -> int:
    await accounts.add_user(storage, email="a@b", username="a", password_hash="x", role=Role.ADMIN, now_us=T0)
    user, _ = await accounts.user_by_email(storage, "a@b")
    return user.id


async def test_a_rule_comes_back_as_it_was_added(storage: Storage) -> None:
    event, user_id = await new_event(storage), await owner(storage)
    public_id = await add_rule(
        storage,
        name="Out of «range»",
        event=event.public_id,
        operator=Operator.NOT_BETWEEN,
        threshold=-5e-324,
        threshold_high=0.1,
        action=Action.WEBHOOK,
        emits=WebhookEvent.HEALTH_CHANGED,
        enabled=False,
        cooldown_s=2**31 - 1,
        user_id=user_id,
        now_us=T0 + 1,
    )
    [rule] = await rules(storage)
    limits = (Operator.NOT_BETWEEN, -5e-324, 0.1, Action.WEBHOOK, WebhookEvent.HEALTH_CHANGED, False, 2**31 - 1)
    assert rule == Rule(rule.id, public_id, "Out of «range»", event.id, *limits, user_id, T0 + 1, None)
    assert rule.enabled is False


async def test_of_a_rule_little_has_to_be_said(storage: Storage) -> None:
    event = await new_event(storage)
    public_id = await add_rule(
        storage,
        name="Hot",
        event=event.public_id,
        operator=Operator.GT,
        threshold=80,
        action=Action.LOG,
        now_us=T0,
    )
    [rule] = await rules(storage)
    limits = (Operator.GT, 80.0, None, Action.LOG, None, True, 60)
    assert rule == Rule(rule.id, public_id, "Hot", event.id, *limits, None, T0, None)
    assert type(rule.threshold) is float


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("action", Action)
async def test_every_operator_and_action_can_be_stored(storage: Storage, operator: Operator, action: Action) -> None:
    rule = await new_rule(storage, await new_event(storage), operator=operator, action=action, threshold_high=90)
    assert (rule.operator, rule.action, rule.threshold_high) == (operator, action, 90.0)


@pytest.mark.parametrize("emits", WebhookEvent)
async def test_every_event_can_be_emitted(storage: Storage, emits: WebhookEvent) -> None:
    assert (await new_rule(storage, await new_event(storage), emits=emits)).emits is emits


async def test_rules_are_told_the_oldest_first_also_in_the_catalog(storage: Storage) -> None:
    event = await new_event(storage)
    made = [await new_rule(storage, event, name) for name in ("c", "a", "b")]
    assert await rules(storage) == made
    assert (await snapshot(storage)).rules == tuple(made)
    assert (await snapshot(storage)).rules_by_event == {event.id: made}


async def test_a_name_that_is_taken_is_a_conflict(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    await new_rule(storage, event, "Hot")
    with pytest.raises(Conflict):
        await new_rule(storage, other, "Hot")
    assert [rule.event_id for rule in await rules(storage)] == [event.id]


async def test_a_rule_on_no_event_is_not_found(storage: Storage) -> None:
    event = await new_event(storage)
    await records.remove_event(storage, event.public_id)
    with pytest.raises(NotFound, match=f"there is no event {event.public_id}"):
        await new_rule(storage, event)
    assert await rules(storage) == []


@pytest.mark.parametrize("impossible", [{"name": "a\0b"}, {"user_id": 99}, {"cooldown_s": 2**70}])
async def test_a_rule_that_cannot_be_stored_is_refused(storage: Storage, impossible: dict[str, object]) -> None:
    event = await new_event(storage)
    with pytest.raises(InvalidRows):
        await new_rule(storage, event, **{"name": "Hot", **impossible})  # type: ignore[arg-type]
    assert await rules(storage) == []


async def test_a_rule_is_switched_off_and_on(storage: Storage) -> None:
    event = await new_event(storage)
    rule, other = await new_rule(storage, event), await new_rule(storage, event, "Other")
    for enabled in (False, False, True):
        await enable_rule(storage, rule.public_id, enabled=enabled)
        assert {one.id: one.enabled for one in await rules(storage)} == {rule.id: enabled, other.id: True}


async def test_a_rule_is_removed_with_its_state_and_no_other(storage: Storage) -> None:
    event = await new_event(storage)
    rule, other = await new_rule(storage, event), await new_rule(storage, event, "Other")
    await storage.write(fired({rule.id: T0, other.id: T0}))
    await remove_rule(storage, rule.public_id)
    assert await names(storage) == ["Other"]
    assert await states(storage) == {other.id: T0}


async def test_a_rule_that_never_fired_is_removed_too(storage: Storage) -> None:
    rule = await new_rule(storage, await new_event(storage))
    await remove_rule(storage, rule.public_id)
    assert await rules(storage) == []


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    rule = await new_rule(storage, await new_event(storage))
    await remove_rule(storage, rule.public_id)
    for attempt in (enable_rule(storage, rule.public_id, enabled=True), remove_rule(storage, rule.public_id)):
        with pytest.raises(NotFound, match=f"there is no rule {rule.public_id}"):
            await attempt


async def test_the_id_of_a_removed_rule_is_never_given_again(storage: Storage) -> None:
    event = await new_event(storage)
    before = await new_rule(storage, event)
    await remove_rule(storage, before.public_id)
    assert (await new_rule(storage, event)).id > before.id


async def test_rules_go_with_their_event_and_no_others(storage: Storage) -> None:
    event, other = await new_event(storage, "a"), await new_event(storage, "b")
    for name, one in (("1", event), ("2", other), ("3", event)):
        await new_rule(storage, one, name)
    await records.remove_event(storage, event.public_id)
    assert await names(storage) == ["2"]


async def test_a_rule_outlives_its_owner(storage: Storage) -> None:
    user_id = await owner(storage)
    rule = await new_rule(storage, await new_event(storage), user_id=user_id)
    assert rule.user_id == user_id
    await storage.write(Write("DELETE FROM users"))
    assert [one.user_id for one in await rules(storage)] == [None]


# -- when they fired -------------------------------------------------------------------------------------------------


async def test_when_rules_last_fired_is_remembered(storage: Storage) -> None:
    event = await new_event(storage)
    hot, cold, never = [await new_rule(storage, event, name) for name in ("hot", "cold", "never")]
    await storage.append(await commit(storage, 1, [reading()], writes=[fired({hot.id: T0, cold.id: T0 + 1})]))
    await storage.append(await commit(storage, 2, [reading()], writes=[fired({hot.id: T0 + 5})]))
    expected = {hot.id: T0 + 5, cold.id: T0 + 1, never.id: None}
    assert {rule.id: rule.last_triggered_us for rule in await rules(storage)} == expected
    assert {rule.id: rule.last_triggered_us for rule in (await snapshot(storage)).rules} == expected


async def test_that_a_rule_fired_before_it_did_the_last_time_is_remembered_as_well(storage: Storage) -> None:
    """The clock was set back; what counts is what happened last."""
    rule = await new_rule(storage, await new_event(storage))
    for time_us in (T0, T0 - 3_600_000_000):
        await storage.write(fired({rule.id: time_us}))
    assert await states(storage) == {rule.id: T0 - 3_600_000_000}


async def test_when_a_rule_fired_is_forgotten_with_a_transaction_that_fails(storage: Storage) -> None:
    rule = await new_rule(storage, await new_event(storage))
    await storage.write(fired({rule.id: T0}))
    with pytest.raises(InvalidRows):
        await storage.write(fired({rule.id: T0 + 1}), Write("DELETE FROM nowhere"))
    assert await states(storage) == {rule.id: T0}


async def test_many_rules_may_fire_at_once(storage: Storage) -> None:
    at = {rule_id: T0 + rule_id for rule_id in range(1, 10_001)}
    await storage.append(await commit(storage, 1, [reading()], writes=[fired(at)]))
    await storage.append(await commit(storage, 2, [reading()], writes=[fired(at)]))
    assert await states(storage) == at


async def test_that_a_rule_has_just_been_removed_fails_no_commit_in_which_it_fires(storage: Storage) -> None:
    event = await new_event(storage)
    rule = await new_rule(storage, event)
    await remove_rule(storage, rule.public_id)
    await storage.append(await commit(storage, 1, [reading(1.0, event)], writes=[fired({rule.id: T0})]))
    assert await storage.count() == 1


async def test_a_threshold_is_kept_to_the_last_bit(storage: Storage) -> None:
    event = await new_event(storage)
    for number, threshold in enumerate((0.1 + 0.2, 1.7976931348623157e308, 2.2250738585072014e-308, -1e-9, math.pi)):
        rule = await new_rule(storage, event, f"{number}", threshold=threshold, threshold_high=-threshold)
        assert (rule.threshold, rule.threshold_high) == (threshold, -threshold)
