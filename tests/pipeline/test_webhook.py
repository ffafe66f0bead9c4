"""The recorder that tells webhooks of readings: which, how often, and whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from tests.pipeline.alarms import calls, receivers, rows
from webmacs.pipeline.base import Contribution, Item
from webmacs.pipeline.webhook import Webhook
from webmacs.testing import START_US, StageHarness

READING = "sensor.reading"
Harness = StageHarness[Webhook]


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """With events `tank` and `pump`, of which nobody wants to hear yet."""
    async with StageHarness(Webhook) as started:
        started.event("tank")
        started.event("pump")
        yield started


def rung(harness: Harness) -> bool:
    return harness.outbox._rung.is_set()


async def told(harness: Harness, *values: tuple[str, float] | Item) -> list[tuple[str, float]]:
    return [(call["sensor"], call["value"]) for call in calls(await harness.record(*values))]


# -- how often -------------------------------------------------------------------------------------------------------


async def test_a_reading_is_told_at_most_once_in_five_seconds(harness: Harness) -> None:
    harness.webhook(READING)
    heard = []
    for number in range(12):
        heard += await told(harness, ("tank", float(number)))
        harness.clock.advance(1.0)
    assert heard == [("tank", 0.0), ("tank", 5.0), ("tank", 10.0)]


async def test_events_are_counted_apart(harness: Harness) -> None:
    harness.webhook(READING)
    assert await told(harness, ("tank", 1.0)) == [("tank", 1.0)]
    harness.clock.advance(2.0)
    assert await told(harness, ("tank", 2.0), ("pump", 2.0)) == [("pump", 2.0)]
    harness.clock.advance(3.0)
    assert await told(harness, ("tank", 3.0), ("pump", 3.0)) == [("tank", 3.0)]


async def test_the_interval_is_a_setting() -> None:
    async with StageHarness(Webhook, {"interval_s": 0.5}) as other:
        other.event("tank")
        other.webhook(READING)
        heard = []
        for number in range(4):
            heard += await told(other, ("tank", float(number)))
            other.clock.advance(0.25)
    assert heard == [("tank", 0.0), ("tank", 2.0)]


async def test_without_an_interval_each_batch_is_told() -> None:
    async with StageHarness(Webhook, {"interval_s": 0}) as harness:
        harness.event("tank")
        harness.webhook(READING)
        made = await harness.transact([("tank", 1.0)], [("tank", 2.0)])
    assert [call["value"] for call in calls(made)] == [1.0, 2.0]


@pytest.mark.parametrize("interval_s", [-1, 86_401, float("nan"), float("inf"), None])
def test_an_interval_that_makes_no_sense_is_refused(interval_s: float | None) -> None:
    with pytest.raises(ValidationError):
        StageHarness(Webhook, {"interval_s": interval_s})


async def test_the_time_that_counts_is_that_of_receipt(harness: Harness) -> None:
    harness.webhook(READING)
    assert await told(harness, Item("tank", 1.0, START_US)) == [("tank", 1.0)]
    assert await told(harness, Item("tank", 2.0, START_US + 100_000_000)) == []
    harness.clock.advance(5.0)
    assert await told(harness, Item("tank", 3.0, START_US + 100_000_001)) == [("tank", 3.0)]


async def test_a_clock_that_was_set_back_silences_nobody_until_it_has_caught_up(harness: Harness) -> None:
    harness.webhook(READING)
    await harness.record(("tank", 1.0))
    harness.clock.step(-3600)
    assert await told(harness, ("tank", 2.0)) == [("tank", 2.0)]
    harness.clock.advance(4.0)
    assert await told(harness, ("tank", 3.0)) == []


async def test_of_events_that_are_gone_nothing_is_kept(harness: Harness) -> None:
    harness.webhook(READING)
    await harness.record(("tank", 1.0), ("pump", 1.0))
    assert harness.stage._cooldown._kept == {1: START_US, 2: START_US}
    del harness._events[0]
    await harness.record()
    assert harness.stage._cooldown._kept == {2: START_US}


# -- which -----------------------------------------------------------------------------------------------------------


async def test_of_a_batch_an_events_first_value_is_told(harness: Harness) -> None:
    harness.webhook(READING)
    values = [("tank", 1.0), ("pump", 2.0), ("tank", 3.0), ("pump", 4.0)]
    assert await told(harness, *values) == [("tank", 1.0), ("pump", 2.0)]


async def test_of_several_batches_of_one_transaction_the_first_is_told(harness: Harness) -> None:
    harness.webhook(READING)
    made = await harness.transact([("tank", 1.0)], [("tank", 2.0), ("pump", 3.0)], [("pump", 4.0)])
    assert [(call["sensor"], call["value"]) for call in calls(made)] == [("tank", 1.0), ("pump", 3.0)]
    assert len(made.writes) == 1


async def test_a_batch_of_nothing_but_late_values_is_not_told(harness: Harness) -> None:
    await harness.record(("tank", 1.0))
    harness.webhook(READING)
    assert await harness.record(Item("tank", 2.0, START_US - 2), Item("tank", 3.0, START_US - 1)) == Contribution()
    assert await told(harness, Item("tank", 4.0, START_US + 1)) == [("tank", 4.0)]  # and it opened no interval


async def test_a_value_of_an_event_that_nothing_is_linked_to_is_not_told(harness: Harness) -> None:
    harness.webhook(READING)
    harness.event("spare", linked=False)
    assert await harness.record(("spare", 1.0), ("nobody", 1.0)) == Contribution()


async def test_a_reading_is_told_in_the_order_of_the_contract_at_the_time_when_it_was_taken(harness: Harness) -> None:
    webhook = harness.webhook(READING)
    [row] = rows(await harness.record(Item("tank", 21.5, START_US + 1_500_000)), "deliveries")
    assert row["payload"] == (
        '{"type":"sensor.reading","time":"2026-01-01T00:00:01.500000+00:00","sensor":"tank","value":21.5}'
    )
    assert (row["webhook_id"], row["event_type"], row["created_us"]) == (webhook.id, READING, START_US)


# -- whom ------------------------------------------------------------------------------------------------------------


async def test_without_subscribers_nothing_is_added_and_nothing_is_kept(harness: Harness) -> None:
    harness.webhook("sensor.threshold_exceeded", "experiment.started")
    harness.webhook(READING, enabled=False)
    assert await harness.record(("tank", 1.0)) == Contribution()
    assert not harness.stage._cooldown._kept
    harness.webhook(READING)
    assert await told(harness, ("tank", 2.0)) == [("tank", 2.0)]


async def test_every_subscriber_is_told_as_it_spells_it(harness: Harness) -> None:
    harness.webhook(READING)
    harness.webhook("sensor.threshold_exceeded")
    harness.webhook("experiment.started", "sensor_reading")
    made = await harness.record(("tank", 1.0), ("pump", 2.0))
    assert list(zip(receivers(made), [(call["type"], call["sensor"]) for call in calls(made)], strict=True)) == [
        (1, ("sensor.reading", "tank")),
        (3, ("sensor_reading", "tank")),
        (1, ("sensor.reading", "pump")),
        (3, ("sensor_reading", "pump")),
    ]


# -- transactions ----------------------------------------------------------------------------------------------------


async def test_what_was_rolled_back_is_told_again_and_nothing_else(harness: Harness) -> None:
    harness.webhook(READING)
    for commits in (False, False, True):
        made = await harness.transact([("tank", 1.0)], [("tank", 2.0)], commits=commits)
        assert [call["value"] for call in calls(made)] == [1.0]
    assert await harness.record(("tank", 3.0)) == Contribution()


async def test_after_a_transaction_that_failed_the_interval_is_that_of_the_last_one_that_did_not(
    harness: Harness,
) -> None:
    harness.webhook(READING)
    await harness.record(("tank", 1.0))
    harness.clock.advance(5.0)
    await harness.record(("tank", 2.0), commits=False)
    harness.clock.advance(1.0)
    assert await told(harness, ("tank", 3.0)) == [("tank", 3.0)]


async def test_who_delivers_is_woken_when_it_is_stored(harness: Harness) -> None:
    await harness.record(("tank", 1.0))
    harness.webhook(READING)
    await harness.record(("tank", 1.0), commits=False)
    assert not rung(harness)
    await harness.record(("tank", 1.0))
    assert rung(harness)
