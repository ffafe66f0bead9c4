"""The runner: order, merging, one transaction, and what everyone is told."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.pipeline.fakes import BAD, EVENTS, UNLINKED, Heard, Noted, Rig, Summing, stored
from tests.virtual_time import settle, virtual_time
from webmacs.catalog import Snapshot
from webmacs.errors import InvalidMessage, Overloaded
from webmacs.model import Reading
from webmacs.pipeline.base import (
    Batch,
    Contribution,
    Gate,
    Outcome,
    Recorder,
    Refused,
    StageSettings,
    Stored,
)
from webmacs.pipeline.gates import FAULTY
from webmacs.pipeline.runner import REFUSED


class ChangeWith(Gate):
    """A gate of which a test says what it does."""

    name = "change"

    def __init__(self, change: object) -> None:
        super().__init__(StageSettings())
        self.change = change

    def process(self, batch: Batch) -> None:
        if isinstance(self.change, Exception):
            raise self.change
        batch.readings = [reading._replace(value=self.change) for reading in batch.readings]  # type: ignore[arg-type]


# -- order and merging -----------------------------------------------------------------------------------------------


@virtual_time
async def test_readings_are_stored_in_the_order_they_were_sent() -> None:
    async with Rig() as rig:
        for number in range(50):
            await rig.send(("a", number), ("b", -number))
    assert rig.storage.rows == [row for number in range(50) for row in (("a", number), ("b", -number))]


@virtual_time
async def test_all_that_waits_is_merged_into_one_commit() -> None:
    async with Rig() as rig:
        rig.storage.hold()
        await rig.send(("a", 0))
        await settle()
        for number in range(1, 20):
            await rig.send(("a", number))
        rig.storage.release()
    assert [[reading.value for reading in commit.readings] for commit in rig.storage.commits] == [
        [0.0],
        [float(number) for number in range(1, 20)],
    ]


@virtual_time
async def test_a_merged_commit_holds_no_more_rows_than_allowed_and_batches_stay_whole() -> None:
    async with Rig(commit_rows=5) as rig:
        rig.storage.hold()
        for number in range(6):
            await rig.send(("a", number), ("b", number))
        rig.storage.release()
    assert [len(commit.readings) for commit in rig.storage.commits] == [4, 4, 4]


@pytest.mark.parametrize(("interval_ms", "commits"), [(0, 20), (250, 5), (1000, 2)])
@virtual_time
async def test_between_the_beginnings_of_two_commits_is_the_interval_that_is_set(
    interval_ms: int, commits: int
) -> None:
    async with Rig(commit_interval_ms=interval_ms) as rig:
        for number in range(20):
            await rig.send(("a", number))
            await asyncio.sleep(0.06)
        assert len(rig.storage.commits) == commits
    assert [value for _, value in rig.storage.rows] == list(range(20))


@virtual_time
async def test_who_waits_for_the_interval_is_told_after_the_commit() -> None:
    heard = Heard()
    async with Rig(heard, commit_interval_ms=1000) as rig:
        await rig.ask(("a", 1))
        waiting = await rig.send(("a", 2))
        await asyncio.sleep(0.99)
        assert (rig.answers_to(waiting), heard.values, len(rig.storage.commits)) == ([], [1.0], 1)
        await rig.answer(waiting)
        await settle()
        assert rig.context.clock.monotonic() == pytest.approx(1.0)
        assert heard.values == [1.0, 2.0]


@virtual_time
async def test_commits_that_are_full_follow_each_other_without_the_interval() -> None:
    async with Rig(commit_interval_ms=1000, commit_rows=5) as rig:
        for number in range(13):
            await rig.send(("a", number))
        await settle()
        assert [len(commit.readings) for commit in rig.storage.commits] == [5, 5]
        await asyncio.sleep(1.0)
        assert [len(commit.readings) for commit in rig.storage.commits] == [5, 5, 3]


@virtual_time
async def test_a_stop_commits_at_once_what_waits_for_the_interval() -> None:
    async with Rig(commit_interval_ms=1000) as rig:
        await rig.ask(("a", 1))
        waiting = await rig.send(("a", 2))
    assert (rig.answers_to(waiting), rig.context.clock.monotonic()) == ([stored(1)], 0.0)


@virtual_time
async def test_commits_are_numbered_one_by_one_and_ids_follow_each_other() -> None:
    async with Rig(commit_rows=1) as rig:
        for number in range(3):
            await rig.ask(("a", number), ("b", number))
    assert [(commit.seq, commit.first_id) for commit in rig.storage.commits] == [(1, 1), (2, 3), (3, 5)]


# -- nothing is told before the commit -------------------------------------------------------------------------------


@virtual_time
async def test_nothing_outside_hears_of_readings_before_they_are_committed() -> None:
    heard, noted = Heard(), Noted()
    async with Rig(heard, noted) as rig:
        rig.storage.hold()
        await rig.send(("a", 1))
        await asyncio.sleep(60)
        assert (rig.answers, heard.commits, dict(rig.context.latest.all())) == ([], [], {})
        assert noted.notes == ["record [1.0]"]
        rig.storage.release()
        await settle()
        assert ([outcome for _, outcome in rig.answers], heard.values) == ([stored(1)], [1.0])
        assert noted.notes == ["record [1.0]", "keep"]


@virtual_time
async def test_the_latest_value_can_be_read_when_the_answer_comes() -> None:
    async with Rig() as rig:
        batch = rig.batch(("a", 4.5))
        found: list[float] = []
        batch.reply = lambda _batch, _outcome: found.append(rig.context.latest.all()[EVENTS["a"].id].value)
        await rig.pipeline.submit(batch)
        await settle()
        assert found == [4.5]


@virtual_time
async def test_the_answer_has_the_numbers_of_the_batch() -> None:
    async with Rig() as rig:
        outcome = await rig.ask(("a", 1), ("b", "not a number"), (UNLINKED, 2), ("nobody", 3))
    assert outcome == stored(1, invalid=1, unlinked=2)
    counted = [rig.counted(f"readings_{what}") for what in ("stored", "invalid", "unlinked", "skewed")]
    assert counted == [1, 1, 2, 0]


@virtual_time
async def test_a_batch_of_which_nothing_is_left_is_answered_and_makes_no_commit() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        assert await rig.ask((UNLINKED, 1)) == stored(0, unlinked=1)
        await settle()
    assert (rig.storage.attempts, heard.commits) == ([], [])


@virtual_time
async def test_a_batch_of_which_nothing_is_left_is_remembered_by_its_identity() -> None:
    async with Rig() as rig:
        assert await rig.ask((UNLINKED, 1), batch_id="x") == stored(0, unlinked=1)
        again = await rig.ask((UNLINKED, 1), batch_id="x")
    assert again == Stored(0, 0, 1, 0, duplicate=True)


@virtual_time
async def test_a_sender_that_cannot_be_told_disturbs_nobody() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        rig.storage.hold()
        broken, healthy = rig.batch(("a", 1)), rig.batch(("b", 2))

        def fail(_batch: Batch, _outcome: Outcome) -> None:
            raise RuntimeError("gone")

        broken.reply = fail
        await rig.pipeline.submit(broken)
        await rig.pipeline.submit(healthy)
        rig.storage.release()
        assert await rig.answer(healthy) == stored(1)
        await settle()
        assert heard.values == [1.0, 2.0]


# -- gates -----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_what_a_gate_changes_is_what_is_stored() -> None:
    async with Rig(ChangeWith(7.5)) as rig:
        await rig.ask(("a", 1))
    assert rig.storage.rows == [("a", 7.5)]


@virtual_time
async def test_a_message_that_a_gate_refuses_goes_no_further() -> None:
    async with Rig(ChangeWith(InvalidMessage("no"))) as rig:
        with pytest.raises(InvalidMessage, match="no"):
            await rig.send(("a", 1))
        await settle()
        assert (rig.storage.attempts, rig.answers, rig.counted("batches_refused")) == ([], [], 1)


@virtual_time
async def test_where_an_essential_gate_fails_the_batch_is_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChangeWith, "essential", True)
    async with Rig(ChangeWith(RuntimeError("broken"))) as rig:
        with pytest.raises(Overloaded, match=FAULTY):
            await rig.send(("a", 1))
    assert (rig.storage.rows, rig.counted("stage_failures", stage="change")) == ([], 1)


@pytest.mark.promise("F11")
@virtual_time
async def test_a_batch_goes_on_as_a_failing_gate_left_it() -> None:
    async with Rig(ChangeWith(RuntimeError("broken"))) as rig:
        assert await rig.ask(("a", 1)) == stored(1)
    assert (rig.storage.rows, rig.counted("stage_failures", stage="change")) == ([("a", 1.0)], 1)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), 10**400, None, "many", Decimal("NaN")],
    ids=["nan", "inf", "-inf", "400 digits", "none", "text", "decimal nan"],
)
@virtual_time
async def test_a_value_that_a_gate_has_made_impossible_is_dropped_and_counted(value: object) -> None:
    async with Rig(ChangeWith(value)) as rig:
        assert await rig.ask(("a", 1)) == stored(0, invalid=1)
    assert rig.storage.attempts == []


@pytest.mark.parametrize("value", [3, True, Decimal("3.5")], ids=["int", "bool", "decimal"])
@virtual_time
async def test_a_number_of_another_kind_that_a_gate_has_made_becomes_a_float(value: float | Decimal) -> None:
    async with Rig(ChangeWith(value)) as rig:
        assert await rig.ask(("a", 1)) == stored(1)
    [(_, found)] = rig.storage.rows
    assert (type(found), found) == (float, float(value))


# -- recorders -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_what_recorders_add_commits_with_the_readings() -> None:
    async with Rig(Noted()) as rig:
        await rig.ask(("a", 1))
    [commit] = rig.storage.commits
    assert ([reading.value for reading in commit.readings], commit.writes[0].statement) == ([1.0], "note [1.0]")


@virtual_time
async def test_a_recorder_is_asked_once_per_batch_and_keeps_once_per_commit() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.hold()
        await rig.send(("a", 0))
        await settle()
        await rig.send(("a", 1))
        await rig.send(("a", 2))
        rig.storage.release()
    assert noted.notes == ["record [0.0]", "keep", "record [1.0]", "record [2.0]", "keep"]


@virtual_time
async def test_a_recorder_concludes_once_per_transaction_after_its_last_batch() -> None:
    summing = Summing()
    async with Rig(summing) as rig:
        rig.storage.hold()
        await rig.send(("a", 0))
        await settle()
        for number in (1, 2, 3):
            await rig.send(("a", number))
        rig.storage.release()
    assert summing.notes == [
        *("record [0.0]", "conclude", "keep"),
        *("record [1.0]", "record [2.0]", "record [3.0]", "conclude", "keep"),
    ]
    assert rig.storage.statements == ["sum [0.0]", "sum [1.0, 2.0, 3.0]"]


@pytest.mark.promise("F11")
@virtual_time
async def test_a_recorder_that_cannot_conclude_leaves_out_only_that() -> None:
    summing = Summing()
    summing.cannot_conclude = {1.0}
    async with Rig(summing, Noted()) as rig:
        assert [await rig.ask(("a", value)) for value in (1, 2)] == [stored(1)] * 2
    assert rig.storage.statements == ["note [1.0]", "note [2.0]", "sum [2.0]"]
    assert rig.counted("stage_failures", stage="summing") == 1
    assert rig.counted("contributions_left_out") == 0
    assert summing.notes == ["record [1.0]", "conclude", "keep", "record [2.0]", "conclude", "keep"]


@virtual_time
async def test_a_recorder_sees_the_readings_that_are_news() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        await rig.ask(("a", 1), ("a", 2), ("b", 3))
    assert noted.newest == [{"a": 2.0, "b": 3.0}]


@pytest.mark.promise("F11")
@virtual_time
async def test_a_failing_recorder_leaves_out_only_its_rows_of_that_batch() -> None:
    noted = Noted()
    noted.fails_on = {2.0}
    async with Rig(noted) as rig:
        rig.storage.hold()
        for number in range(4):
            await rig.send(("a", number))
        rig.storage.release()
        await settle()
        assert [outcome for _, outcome in rig.answers] == [stored(1)] * 4
    assert rig.storage.rows == [("a", 0.0), ("a", 1.0), ("a", 2.0), ("a", 3.0)]
    assert rig.storage.statements == ["note [0.0]", "note [1.0]", "note [3.0]"]
    assert rig.counted("stage_failures", stage="noted") == 1


@pytest.mark.parametrize(
    "contribution",
    [None, Contribution(readings=[Reading(EVENTS["c"], 0, 9.0, None)]), Contribution(writes=None)],  # type: ignore[arg-type]
    ids=["nothing", "readings", "no writes"],
)
@virtual_time
async def test_a_recorder_that_contributes_nonsense_loses_no_readings(contribution: Contribution) -> None:
    class Confused(Recorder):
        name = "confused"

        def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
            return contribution

    async with Rig(Confused(StageSettings())) as rig:
        assert await rig.ask(("a", 1)) == stored(1)
    assert rig.storage.rows == [("a", 1.0)]
    assert rig.counted("stage_failures", stage="confused") == 1


@pytest.mark.promise("F11")
@pytest.mark.parametrize("moment", ["keep", "forget"])
@virtual_time
async def test_a_recorder_that_fails_at_the_end_of_a_transaction_changes_nothing_for_the_others(moment: str) -> None:
    class Stumbling(Noted):
        name = "stumbling"

        def keep(self) -> None:
            self._stumble("keep")

        def forget(self) -> None:
            self._stumble("forget")

        def _stumble(self, now: str) -> None:
            if now == moment:
                raise RuntimeError(now)

    noted = Noted()
    async with Rig(Stumbling(), noted) as rig:
        rig.storage.bad_values = {BAD}
        assert await rig.ask(("a", BAD)) == Refused(REFUSED, retry=False)
        assert await rig.ask(("a", 2)) == stored(1)
    assert rig.storage.rows == [("a", 2.0)]
    assert noted.notes == [*[f"record [{BAD}]", "forget"] * 2, "record [2.0]", "keep"]  # once with it, once without
