"""The recorder that evaluates rules: what it adds to a transaction, and when it does not."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from tests.pipeline.alarms import calls, entries, fired, receivers, rows
from webmacs.model import Action, Event, Operator, Rule, WebhookEvent
from webmacs.pipeline.base import Contribution, Item
from webmacs.pipeline.rules import Rules
from webmacs.testing import START_US, USER_ID, StageHarness

EXCEEDED = "sensor.threshold_exceeded"
Harness = StageHarness[Rules]
RuleMaker = Callable[..., Rule]


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    async with StageHarness(Rules) as started:
        yield started


@pytest.fixture
def tank(harness: Harness) -> Event:
    return harness.event("tank", unit="°C")


@pytest.fixture
def hot(harness: Harness, tank: Event) -> RuleMaker:
    """Declares a rule on the tank: above 80, written to the log, once a minute; keywords say otherwise."""

    def declare(name: str = "Hot", event: Event = tank, threshold: float = 80.0, **more: object) -> Rule:
        return harness.rule(name, event, Operator.GT, threshold, **more)  # type: ignore[arg-type]

    return declare


def rung(harness: Harness) -> bool:
    return harness.outbox._rung.is_set()


# -- which values are evaluated --------------------------------------------------------------------------------------


async def test_without_rules_nothing_is_added(harness: Harness, tank: Event) -> None:
    assert await harness.record(("tank", 1e300)) == Contribution()


async def test_a_value_beyond_the_threshold_fires_and_one_that_is_not_does_not(
    harness: Harness, hot: RuleMaker
) -> None:
    rule = hot(cooldown_s=0)
    assert [fired(await harness.record(("tank", value))) for value in (80.0, 80.5, 79.0)] == [
        {},
        {rule.id: START_US},
        {},
    ]


@pytest.mark.parametrize(("values", "said"), [((81.0, 82.0), ["82"]), ((82.0, 79.0), []), ((79.0, 82.0), ["82"])])
async def test_of_a_batch_the_last_value_is_evaluated(
    harness: Harness, hot: RuleMaker, values: tuple[float, ...], said: list[str]
) -> None:
    hot()
    made = await harness.record(*(("tank", value) for value in values))
    assert entries(made) == [f"rule 'Hot': tank is {value} °C, above 80" for value in said]


async def test_each_event_of_a_batch_is_evaluated(harness: Harness, hot: RuleMaker) -> None:
    pump = harness.event("pump")
    hot(), hot("Fast", pump)
    made = await harness.record(("tank", 81.0), ("pump", 1.0), ("tank", 1.0), ("pump", 82.0))
    assert entries(made) == ["rule 'Fast': pump is 82, above 80"]


async def test_events_that_no_rule_watches_are_no_obstacle(harness: Harness, hot: RuleMaker) -> None:
    harness.event("pump")
    hot()
    made = await harness.record(("pump", 1.0), ("tank", 81.0), ("pump", 99.0))
    assert entries(made) == ["rule 'Hot': tank is 81 °C, above 80"]


async def test_batches_of_one_transaction_are_evaluated_one_by_one(harness: Harness, hot: RuleMaker) -> None:
    rule = hot(cooldown_s=0)
    made = await harness.transact([("tank", 81.0)], [("tank", 82.0), ("tank", 1.0)], [("tank", 83.0)])
    assert entries(made) == [f"rule 'Hot': tank is {value} °C, above 80" for value in (81, 83)]
    assert [write.statement.split(" (")[0] for write in made.writes] == [
        "INSERT INTO rule_states",
        "INSERT INTO logs",
    ]
    assert fired(made) == {rule.id: START_US}


async def test_a_late_value_is_not_evaluated(harness: Harness, hot: RuleMaker) -> None:
    hot(cooldown_s=0)
    await harness.record(("tank", 1.0))
    assert await harness.record(Item("tank", 90.0, START_US - 1)) == Contribution()
    assert entries(await harness.record(Item("tank", 90.0, START_US + 1)))


async def test_of_a_batch_that_ends_with_a_late_value_the_last_that_is_news_is_evaluated(
    harness: Harness, hot: RuleMaker
) -> None:
    hot()
    made = await harness.record(Item("tank", 90.0, START_US - 1), Item("tank", 1.0, START_US - 5))
    assert entries(made) == ["rule 'Hot': tank is 90 °C, above 80"]


async def test_a_value_of_an_event_that_nothing_is_linked_to_is_not_evaluated(harness: Harness) -> None:
    spare = harness.event("spare", linked=False)
    harness.rule("Any", spare, Operator.GT, 0.0)
    assert await harness.record(("spare", 1.0)) == Contribution()


async def test_all_rules_of_an_event_are_held_against_its_value(harness: Harness, tank: Event) -> None:
    for number, (operator, low, high) in enumerate(
        [
            (Operator.GT, 80.0, None),
            (Operator.LT, 80.0, None),
            (Operator.EQ, 81.5, None),
            (Operator.GTE, 81.5, None),
            (Operator.LTE, 81.0, None),
            (Operator.BETWEEN, 81.0, 82.0),
            (Operator.NOT_BETWEEN, 81.0, 82.0),
        ]
    ):
        harness.rule(f"{number}", tank, operator, low, high)
    assert entries(await harness.record(("tank", 81.5))) == [
        f"rule {number!r}: tank is 81.5 °C, {words}"
        for number, words in [
            ("0", "above 80"),
            ("2", "equal to 81.5"),
            ("3", "at or above 81.5"),
            ("5", "between 81 and 82"),
        ]
    ]


async def test_a_rule_that_is_switched_off_or_gone_does_not_fire(harness: Harness, hot: RuleMaker) -> None:
    hot("Off", enabled=False, cooldown_s=0)
    rule = hot("Gone", cooldown_s=0)
    assert len(entries(await harness.record(("tank", 81.0)))) == 1
    harness.rules.remove(rule)
    assert await harness.record(("tank", 81.0)) == Contribution()


async def test_a_rule_fires_as_soon_as_it_is_declared(harness: Harness, hot: RuleMaker) -> None:
    await harness.record(("tank", 81.0))
    hot()
    assert entries(await harness.record(("tank", 81.0)))


# -- the cooldown ----------------------------------------------------------------------------------------------------


async def test_within_its_cooldown_a_rule_does_not_fire_again(harness: Harness, hot: RuleMaker) -> None:
    rule = hot(cooldown_s=60)
    seen = []
    for _ in range(121):
        seen.append(fired(await harness.record(("tank", 81.0))).get(rule.id))
        harness.clock.advance(1.0)
    assert [time_us for time_us in seen if time_us is not None] == [
        START_US + seconds * 1_000_000 for seconds in (0, 60, 120)
    ]
    assert [number for number, time_us in enumerate(seen) if time_us is not None] == [0, 60, 120]


async def test_without_a_cooldown_each_evaluation_fires(harness: Harness, hot: RuleMaker) -> None:
    hot(cooldown_s=0)
    for _ in range(3):
        assert entries(await harness.record(("tank", 81.0)))


async def test_a_value_that_stays_beyond_fires_when_the_cooldown_is_over_without_leaving_in_between(
    harness: Harness, hot: RuleMaker
) -> None:
    hot(cooldown_s=10)
    fires = []
    for value in (81.0, 79.0, 81.0, 81.0):
        fires.append(bool(entries(await harness.record(("tank", value)))))
        harness.clock.advance(4.0)
    assert fires == [True, False, False, True]


async def test_each_rule_has_a_cooldown_of_its_own(harness: Harness, hot: RuleMaker) -> None:
    slow, quick = hot("Slow", cooldown_s=60), hot("Quick", cooldown_s=5)
    fires = []
    for _ in range(3):
        fires.append(set(fired(await harness.record(("tank", 81.0)))))
        harness.clock.advance(5.0)
    assert fires == [{slow.id, quick.id}, {quick.id}, {quick.id}]


async def test_within_one_transaction_the_cooldown_counts(harness: Harness, hot: RuleMaker) -> None:
    hot(cooldown_s=60)
    assert len(entries(await harness.transact([("tank", 81.0)], [("tank", 82.0)]))) == 1


async def test_the_cooldown_survives_a_restart(hot: RuleMaker, harness: Harness) -> None:
    hot(cooldown_s=60, last_triggered_us=START_US - 59_999_999)
    assert await harness.record(("tank", 81.0)) == Contribution()
    harness.clock.advance(0.000001)
    assert entries(await harness.record(("tank", 81.0)))
    harness.clock.advance(59.0)
    assert await harness.record(("tank", 81.0)) == Contribution()


async def test_a_change_of_the_rule_does_not_restart_its_cooldown(harness: Harness, hot: RuleMaker) -> None:
    rule = hot(cooldown_s=60)
    await harness.record(("tank", 81.0))
    harness.rules[0] = dataclasses.replace(rule, threshold=70.0)
    harness.clock.advance(59.0)
    assert await harness.record(("tank", 81.0)) == Contribution()
    harness.rules[0] = dataclasses.replace(rule, cooldown_s=59)
    assert entries(await harness.record(("tank", 81.0)))


async def test_a_clock_that_was_set_back_does_not_silence_a_rule_until_it_has_caught_up(
    harness: Harness, hot: RuleMaker
) -> None:
    hot(cooldown_s=60)
    await harness.record(("tank", 81.0))
    harness.clock.step(-3600)
    assert entries(await harness.record(("tank", 81.0)))
    harness.clock.advance(59.0)
    assert not entries(await harness.record(("tank", 81.0)))


async def test_of_rules_that_are_gone_nothing_is_kept(harness: Harness, hot: RuleMaker) -> None:
    for number in range(5):
        hot(f"{number}", enabled=number != 1)
    await harness.record(("tank", 81.0))
    del harness.rules[2:]
    await harness.record(("tank", 81.0))
    assert harness.stage._cooldown._kept == {1: START_US}


# -- transactions that are rolled back -------------------------------------------------------------------------------


async def test_what_was_rolled_back_is_decided_again(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    hot("Say"), hot("Call", action=Action.WEBHOOK)
    for commits in (False, False, True):
        made = await harness.transact([("tank", 81.0)], [("tank", 82.0)], commits=commits)
        assert entries(made) == ["rule 'Say': tank is 81 °C, above 80"]
        assert [(call["rule"], call["value"]) for call in calls(made)] == [("Call", 81.0)]
        assert len(fired(made)) == 2
    assert await harness.record(("tank", 81.0)) == Contribution()


async def test_after_transactions_that_failed_the_next_has_nothing_of_them(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    pump = harness.event("pump")
    hot(), hot("Call", action=Action.WEBHOOK)
    hot("Fast", pump), hot("Call too", pump, action=Action.WEBHOOK)
    for _ in range(2):
        await harness.record(("tank", 81.0), commits=False)
    made = await harness.record(("pump", 82.0))
    assert (len(entries(made)), len(calls(made)), len(fired(made))) == (1, 1, 2)
    assert await harness.record(("tank", 1.0)) == Contribution()


async def test_what_is_committed_is_not_added_again(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    hot(cooldown_s=0), hot("Call", action=Action.WEBHOOK, cooldown_s=0)
    for _ in range(2):
        made = await harness.record(("tank", 81.0))
        assert (len(entries(made)), len(calls(made)), len(fired(made))) == (1, 1, 2)


# -- the actions -----------------------------------------------------------------------------------------------------


async def test_a_log_action_writes_a_warning_of_the_rules_owner(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    hot()
    made = await harness.record(("tank", 81.25))
    [row] = rows(made, "logs")
    assert {key: value for key, value in row.items() if key != "public_id"} == {
        "content": "rule 'Hot': tank is 81.25 °C, above 80",
        "logging_type": "warning",
        "user_id": USER_ID,
        "created_us": START_US,
    }
    assert calls(made) == []


async def test_an_entry_of_the_log_has_at_most_500_characters(harness: Harness, hot: RuleMaker) -> None:
    hot("x" * 600)
    [content] = entries(await harness.record(("tank", 81.0)))
    assert content == f"rule '{'x' * 494}"


@pytest.mark.parametrize(
    ("value", "said"),
    [(81.0, "81"), (1234567.5, "1234567.5"), (1e300, "1e+300"), (80 + 1e-6, "80.000001"), (100 * 1.1, "110")],
)
async def test_a_value_is_said_as_a_person_would_write_it(
    harness: Harness, hot: RuleMaker, value: float, said: str
) -> None:
    hot()
    assert entries(await harness.record(("tank", value))) == [f"rule 'Hot': tank is {said} °C, above 80"]


async def test_an_event_without_a_unit_is_said_without_one(harness: Harness, hot: RuleMaker) -> None:
    hot(event=harness.event("pump"))
    assert entries(await harness.record(("pump", 81.0))) == ["rule 'Hot': pump is 81, above 80"]


async def test_a_webhook_is_told_in_the_words_and_the_order_of_the_contract(harness: Harness, hot: RuleMaker) -> None:
    webhook = harness.webhook(EXCEEDED)
    hot("Hot «tank»", action=Action.WEBHOOK)
    made = await harness.record(Item("tank", 81.0, START_US + 12))
    [row] = rows(made, "deliveries")
    assert row["payload"] == (
        '{"type":"sensor.threshold_exceeded","time":"2026-01-01T00:00:00.000012+00:00","sensor":"tank","value":81.0,'
        '"rule":"Hot «tank»","operator":"gt","threshold":80.0}'
    )
    assert (row["webhook_id"], row["event_type"], row["created_us"]) == (webhook.id, EXCEEDED, START_US)
    assert entries(made) == []


async def test_a_value_of_zero_is_told(harness: Harness, tank: Event) -> None:
    harness.webhook(EXCEEDED)
    harness.rule("Zero", tank, Operator.EQ, 0.0, action=Action.WEBHOOK)
    [row] = rows(await harness.record(("tank", 0.0)), "deliveries")
    assert '"value":0.0,' in str(row["payload"])
    assert str(row["payload"]).endswith('"threshold":0.0}')


async def test_the_upper_bound_of_a_range_is_not_sent(harness: Harness, tank: Event) -> None:
    harness.webhook(EXCEEDED)
    harness.rule("Odd", tank, Operator.NOT_BETWEEN, 10.0, 20.0, action=Action.WEBHOOK)
    [call] = calls(await harness.record(("tank", 21.0)))
    assert list(call) == ["type", "time", "sensor", "value", "rule", "operator", "threshold"]
    assert (call["operator"], call["threshold"]) == ("not_between", 10.0)


async def test_each_webhook_that_wants_to_hear_of_it_is_told_as_it_spells_it(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    harness.webhook("sensor.reading", "experiment.started")
    harness.webhook("sensor.reading", "sensor_threshold_exceeded")
    harness.webhook(EXCEEDED, enabled=False)
    hot(action=Action.WEBHOOK)
    made = await harness.record(("tank", 81.0))
    assert receivers(made) == [1, 3]
    assert [call["type"] for call in calls(made)] == [EXCEEDED, "sensor_threshold_exceeded"]
    assert [row["event_type"] for row in rows(made, "deliveries")] == [EXCEEDED, "sensor_threshold_exceeded"]
    assert len({row["public_id"] for row in rows(made, "deliveries")}) == 2


async def test_all_that_fires_in_one_transaction_is_told(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    for name in ("1", "2"):
        hot(name, action=Action.WEBHOOK, cooldown_s=0)
    made = await harness.transact([("tank", 81.0)], [("tank", 82.0)])
    expected = [("1", 81.0), ("2", 81.0), ("1", 82.0), ("2", 82.0)]
    assert [(call["rule"], call["value"]) for call in calls(made)] == expected


async def test_a_rule_may_emit_an_event_of_its_choice(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    harness.webhook("system_health_changed")
    hot(action=Action.WEBHOOK, emits=WebhookEvent.HEALTH_CHANGED)
    made = await harness.record(("tank", 81.0))
    assert (receivers(made), [call["type"] for call in calls(made)]) == ([2], ["system_health_changed"])


async def test_a_rule_whose_webhooks_are_not_there_fires_all_the_same(harness: Harness, hot: RuleMaker) -> None:
    rule = hot(action=Action.WEBHOOK)
    made = await harness.record(("tank", 81.0))
    assert (fired(made), len(made.writes)) == ({rule.id: START_US}, 1)
    harness.webhook(EXCEEDED)
    assert await harness.record(("tank", 81.0)) == Contribution()


async def test_the_payload_is_made_of_floats(harness: Harness, hot: RuleMaker) -> None:
    harness.webhook(EXCEEDED)
    hot(action=Action.WEBHOOK)
    [row] = rows(await harness.record(("tank", 7e22)), "deliveries")
    assert json.loads(str(row["payload"]))["value"] == 7e22
    assert isinstance(json.loads(str(row["payload"]))["value"], float)


# -- what is said ----------------------------------------------------------------------------------------------------


async def test_what_fired_is_said_only_when_it_is_stored(
    harness: Harness, hot: RuleMaker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webmacs.stages")
    hot(), hot("Call", action=Action.WEBHOOK)
    await harness.record(("tank", 81.0), commits=False)
    assert caplog.messages == []
    await harness.record(("tank", 82.0))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "rule 'Hot': tank is 82 °C, above 80"),
        ("INFO", "rule 'Call': tank is 82 °C, above 80"),
    ]


async def test_a_rule_that_fires_often_in_one_transaction_is_said_once(
    harness: Harness, hot: RuleMaker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webmacs.stages")
    hot(cooldown_s=0), hot("Very hot", threshold=81.0, cooldown_s=0), hot("Too hot", threshold=82.0, cooldown_s=0)
    made = await harness.transact(*([("tank", value)] for value in (81.0, 82.0, 83.0)))
    assert len(entries(made)) == 6
    assert caplog.messages == [
        "rule 'Hot': tank is 83 °C, above 80 (3 times)",
        "rule 'Very hot': tank is 83 °C, above 81 (2 times)",
        "rule 'Too hot': tank is 83 °C, above 82",
    ]


async def test_who_delivers_is_woken_when_there_is_something_to_deliver_and_it_is_stored(
    harness: Harness, hot: RuleMaker
) -> None:
    hot()
    await harness.record(("tank", 81.0))
    assert not rung(harness)
    harness.webhook(EXCEEDED)
    hot("Call", action=Action.WEBHOOK)
    await harness.record(("tank", 81.0), commits=False)
    assert not rung(harness)
    await harness.record(("tank", 81.0))
    assert rung(harness)
