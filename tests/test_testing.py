"""The harness for those who write stages does what the pipeline does."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.pipeline.fakes import Heard, Noted, Summing
from webmacs.errors import InvalidMessage
from webmacs.model import Operator
from webmacs.pipeline.base import Batch, Gate, Item, StageContext, StageSettings
from webmacs.pipeline.broadcast import Broadcast
from webmacs.testing import START_US, ManualClock, StageHarness


class DoubleSettings(StageSettings):
    most: float = 1.7e308


class Double(Gate):
    """Doubles readings where there are some, else items; refuses what is over `most`."""

    Settings = DoubleSettings
    life: list[str]

    async def start(self, context: StageContext) -> None:
        await super().start(context)
        self.life = ["started", *context.catalog.current.linked]

    async def close(self) -> None:
        self.life.append("closed")

    def process(self, batch: Batch) -> None:
        if any(item.value > self.settings.most for item in batch.items):
            raise InvalidMessage("too much")
        if batch.readings:
            batch.readings = [reading._replace(value=reading.value * 2) for reading in batch.readings]
        else:
            batch.items = [item._replace(value=item.value * 2) for item in batch.items]


async def test_the_stage_is_started_and_closed() -> None:
    async with StageHarness(Double) as harness:
        assert harness.stage.life == ["started"]
    assert harness.stage.life == ["started", "closed"]


async def test_what_is_declared_before_the_start_is_there_when_the_stage_starts() -> None:
    harness = StageHarness(Double)
    harness.event("a")
    async with harness:
        assert harness.stage.life == ["started", "a"]


def test_the_stage_is_called_as_the_server_calls_it() -> None:
    assert [StageHarness(kind).stage.name for kind in (Double, Noted)] == ["double", "noted"]


async def test_the_stage_has_its_settings_or_they_are_refused() -> None:
    assert StageHarness(Double, {"most": 3}).stage.settings.most == 3.0
    with pytest.raises(ValidationError, match="mots"):
        StageHarness(Double, {"mots": 3})


@pytest.mark.parametrize("before_filter", [False, True])
async def test_a_gate_sees_items_before_the_filter_and_readings_after_it(before_filter: bool) -> None:
    async with StageHarness(Double) as harness:
        harness.event("a")
        harness.event("spare", linked=False)
        batch = await harness.gate(("a", 1), ("spare", 2.0), ("nobody", 3.0), before_filter=before_filter)
    assert [(reading.event.public_id, reading.value) for reading in batch.readings] == [("a", 2.0)]
    assert (batch.unlinked, batch.items[0].value) == (2, 2.0 if before_filter else 1.0)


async def test_a_gate_stands_after_the_filter_unless_it_is_said() -> None:
    async with StageHarness(Double) as harness:
        harness.event("a")
        batch = await harness.gate(("a", 1.0))
    assert (batch.items[0].value, batch.readings[0].value) == (1.0, 2.0)


async def test_a_value_that_a_gate_makes_impossible_is_dropped_and_counted() -> None:
    async with StageHarness(Double) as harness:
        harness.event("a")
        batch = await harness.gate(("a", 1.7e308))
    assert (batch.readings, batch.invalid) == ([], 1)


async def test_a_refusal_reaches_the_test() -> None:
    async with StageHarness(Double, {"most": 5}) as harness:
        with pytest.raises(InvalidMessage, match="too much"):
            await harness.gate(("a", 6.0))


async def test_values_are_taken_now_or_at_a_time_of_their_own() -> None:
    async with StageHarness(Double) as harness:
        harness.event("a")
        harness.clock.advance(1.5)
        batch = await harness.gate(("a", 1.0), Item("a", 2.0, 77))
    assert [reading.time_us for reading in batch.readings] == [START_US + 1_500_000, 77]


async def test_readings_belong_to_the_experiment_that_runs() -> None:
    async with StageHarness(Double) as harness:
        harness.event("a")
        before = await harness.gate(("a", 1.0))
        experiment = harness.experiment("Run 1")
        during = await harness.gate(("a", 1.0))
    assert [batch.readings[0].experiment for batch in (before, during)] == [None, experiment]


async def test_a_recorder_keeps_what_commits_and_forgets_what_does_not() -> None:
    async with StageHarness(Noted) as harness:
        harness.event("a")
        contribution = await harness.record(("a", 1.0), commits=False)
        assert await harness.record(("a", 1.0)) == contribution
        assert [write.statement for write in contribution.writes] == ["note [1.0]"]
        assert harness.stage.notes == ["record [1.0]", "forget", "record [1.0]", "keep"]


async def test_a_recorder_sees_which_readings_are_news() -> None:
    async with StageHarness(Noted) as harness:
        harness.event("a")
        await harness.record(("a", 1.0))
        await harness.record(Item("a", 2.0, START_US - 1))
        await harness.record(("a", 3.0), commits=False)
        await harness.record(("a", 4.0))
    assert harness.stage.newest == [{"a": 1.0}, {}, {"a": 3.0}, {"a": 4.0}]


async def test_a_recorder_concludes_after_the_batches_of_its_transaction() -> None:
    async with StageHarness(Summing) as harness:
        harness.event("a")
        contribution = await harness.transact([("a", 1.0)], [("a", 2.0), ("a", 3.0)], commits=False)
        assert await harness.transact([("a", 1.0)], [("a", 2.0), ("a", 3.0)]) == contribution
    assert [write.statement for write in contribution.writes] == ["sum [1.0, 2.0, 3.0]"]
    once = ["record [1.0]", "record [2.0, 3.0]", "conclude"]
    assert harness.stage.notes == [*once, "forget", *once, "keep"]


async def test_of_a_transaction_that_did_not_commit_nothing_is_the_latest() -> None:
    async with StageHarness(Noted) as harness:
        event = harness.event("a")
        await harness.transact([("a", 1.0)], [("a", 2.0)])
        await harness.transact([("a", 3.0)], commits=False)
        assert harness.latest.all()[event.id].value == 2.0
        await harness.record(Item("a", 4.0, START_US))
        assert (harness.latest.all()[event.id].id, harness.latest.all()[event.id].value) == (3, 4.0)


async def test_rules_and_webhooks_are_in_the_catalog_until_they_are_taken_out() -> None:
    async with StageHarness(Noted) as harness:
        event = harness.event("a")
        rule, off = (
            harness.rule(name, event, Operator.GT, 80, enabled=enabled)
            for name, enabled in (("Hot", True), ("Off", False))
        )
        webhook = harness.webhook("sensor.reading")
        await harness.record()
        seen = harness.catalog.current
        assert (seen.rules, seen.webhooks) == ((rule, off), (webhook,))
        assert seen.rules_by_event == {event.id: [rule]}
        harness.rules.remove(rule)
        await harness.record()
        assert harness.catalog.current.rules_by_event == {}


async def test_what_a_stage_raises_reaches_the_test() -> None:
    async with StageHarness(Noted) as harness:
        harness.event("a")
        harness.stage.fails_on = {1.0}
        with pytest.raises(RuntimeError, match="as told"):
            await harness.record(("a", 1.0))


async def test_an_observer_hears_commits_with_rising_ids() -> None:
    async with StageHarness(Heard) as harness:
        event = harness.event("a")
        first = await harness.observe(("a", 1.0), ("a", 2.0))
        second = await harness.observe(("a", 3.0))
    assert harness.stage.commits == [first, second]
    assert (first.newest[event.id].id, second.first_id, second.newest[event.id].value) == (2, 3, 3.0)
    assert harness.latest.all()[event.id].value == 3.0


async def test_our_own_stages_can_be_harnessed() -> None:
    async with StageHarness(Broadcast, {"interval_s": 1.0}) as harness:
        harness.event("a")
        await harness.observe(("a", 1.0))


async def test_a_stage_is_asked_only_what_its_kind_can_answer() -> None:
    async with StageHarness(Double) as harness:
        with pytest.raises(TypeError, match="Double is no recorder but a gate"):
            await harness.record()
        with pytest.raises(TypeError, match="Double is no observer but a gate"):
            await harness.observe()
    async with StageHarness(Noted) as other:
        with pytest.raises(TypeError, match="Noted is no gate but a recorder"):
            await other.gate()


def test_the_clock_moves_when_told_to() -> None:
    clock = ManualClock()
    clock.advance(2.5)
    clock.step(-60)
    assert (clock.now_us() - START_US, clock.monotonic()) == (-57_500_000, 2.5)
