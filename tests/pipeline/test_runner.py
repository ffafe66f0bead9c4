"""The runner: order, merging, one transaction, and what everyone is told, whatever fails."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS, UNLINKED, Heard, Noted, Rig
from tests.virtual_time import settle, virtual_time
from webmacs.catalog import Snapshot
from webmacs.errors import InvalidMessage, Overloaded, ShuttingDown, StorageUnavailable
from webmacs.model import BatchKey, BatchRecord, Reading
from webmacs.pipeline.base import (
    Batch,
    Contribution,
    Gate,
    Outcome,
    Recorder,
    Refused,
    StageContext,
    StageSettings,
    Stored,
)
from webmacs.pipeline.queue import NOT_STORED
from webmacs.pipeline.runner import REFUSED, REUSED

BAD = 666.0


def stored(accepted: int, invalid: int = 0, unlinked: int = 0) -> Stored:
    return Stored(accepted, invalid, unlinked, skewed=0)


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
async def test_a_recorder_sees_the_readings_that_are_news() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        await rig.ask(("a", 1), ("a", 2), ("b", 3))
    assert noted.newest == [{"a": 2.0, "b": 3.0}]


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
    assert noted.notes == [f"record [{BAD}]", "forget", "record [2.0]", "keep"]


# -- data at fault ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_of_a_merged_commit_only_the_offender_is_refused() -> None:
    async with Rig() as rig:
        rig.storage.bad_values = {BAD}
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        batches = [await rig.send(("a", BAD if number == 5 else number)) for number in range(9)]
        rig.storage.release()
        outcomes = [await rig.answer(batch) for batch in batches]
    assert outcomes == [Refused(REFUSED, retry=False) if number == 5 else stored(1) for number in range(9)]
    assert rig.storage.rows == [("b", 0.0), *(("a", float(number)) for number in range(9) if number != 5)]
    assert rig.counted("batches_refused") == 1


@virtual_time
async def test_why_a_batch_cannot_be_stored_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with Rig() as rig:
        rig.storage.bad_values = {BAD}
        await rig.ask(("a", BAD), user_id=7)
    assert [record.getMessage() for record in caplog.records] == ["a batch of user 7 cannot be stored: a bad reading"]


@virtual_time
async def test_observers_hear_nothing_of_an_offender_and_all_of_the_others_in_order() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        rig.storage.bad_values = {BAD}
        rig.storage.hold()
        for value in (1, 2, BAD, 3):
            await rig.send(("a", value))
        rig.storage.release()
        await settle(100)
        assert heard.values == [1.0, 2.0, 3.0]


@virtual_time
async def test_bad_rows_of_another_recorder_lose_no_readings() -> None:
    async with Rig(Noted()) as rig:
        rig.storage.bad_statements = {"note [2.0]"}
        rig.storage.hold()
        batches = [await rig.send(("a", number)) for number in range(4)]
        rig.storage.release()
        assert [await rig.answer(batch) for batch in batches] == [stored(1)] * 4
    assert rig.storage.rows == [("a", float(number)) for number in range(4)]
    assert rig.storage.statements == ["note [0.0]", "note [1.0]", "note [3.0]"]
    assert (rig.counted("contributions_left_out"), rig.counted("batches_refused")) == (1, 0)


@virtual_time
async def test_a_recorder_forgets_each_attempt_that_was_rolled_back_before_it_is_asked_again() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.bad_values = {BAD}
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        await rig.send(("a", 1))
        await rig.send(("a", BAD))
        rig.storage.release()
    assert noted.notes == [
        *("record [0.0]", "keep"),
        *("record [1.0]", f"record [{BAD}]", "forget"),
        *("record [1.0]", "keep"),
        *(f"record [{BAD}]", "forget"),
    ]


class Junk(Gate):
    """Puts a reading of no event among those of the value it dislikes."""

    name = "junk"

    def process(self, batch: Batch) -> None:
        if batch.readings[0].value == BAD:
            batch.readings.append(Reading(None, 0, 1.0, None))  # type: ignore[arg-type]


@virtual_time
async def test_what_is_no_reading_refuses_its_batch_alone() -> None:
    async with Rig(Junk(StageSettings())) as rig:
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        batches = [await rig.send(("a", value)) for value in (1, BAD, 2)]
        rig.storage.release()
        outcomes = [await rig.answer(batch) for batch in batches]
    assert outcomes == [stored(1), Refused(REFUSED, retry=False), stored(1)]
    assert rig.storage.rows == [("b", 0.0), ("a", 1.0), ("a", 2.0)]


@virtual_time
async def test_an_event_deleted_before_the_commit_is_no_error() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        batch = await rig.send(("a", 1), ("b", 2))
        rig.context.catalog.current = Snapshot(events={"b": EVENTS["b"]}, linked={"b": EVENTS["b"]})
        rig.storage.release()
        assert await rig.answer(batch) == stored(1, unlinked=1)
    assert rig.storage.rows == [("b", 0.0), ("b", 2.0)]
    assert noted.newest[-1] == {"b": 2.0}


@virtual_time
async def test_news_are_decided_again_when_a_batch_is_recorded_again() -> None:
    """Of readings whose event went away between two attempts, no rule and no webhook may speak."""
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.bad_statements = {"note [1.0]"}
        rig.storage.hold()
        await rig.send(("a", 1))
        second = await rig.send(("a", 2))
        await settle()
        rig.context.catalog.current = Snapshot()
        rig.storage.release()
        await rig.answer(second)
    assert noted.newest[:2] == [{"a": 1.0}, {"a": 2.0}]
    assert noted.newest[-1] == {}
    assert rig.storage.rows == []


# -- the storage away ------------------------------------------------------------------------------------------------


@virtual_time
async def test_the_very_same_commit_is_given_again_while_the_storage_is_away() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.fails.extend([StorageUnavailable("away")] * 3)
        assert await rig.ask(("a", 1)) == stored(1)
    assert len(rig.storage.attempts) == 4
    assert all(attempt is rig.storage.attempts[0] for attempt in rig.storage.attempts)
    assert noted.notes == ["record [1.0]", "keep"]


@virtual_time
async def test_a_commit_whose_answer_was_lost_is_stored_and_told_once() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        rig.storage.lost_answers = 2
        batch = await rig.send(("a", 1))
        assert await rig.answer(batch) == stored(1)
        await asyncio.sleep(60)
        assert (rig.storage.rows, heard.values, len(rig.answers)) == ([("a", 1.0)], [1.0], 1)


@virtual_time
async def test_it_is_healthy_again_as_soon_as_the_storage_is_back() -> None:
    async with Rig() as rig:
        rig.storage.fails.extend([StorageUnavailable("away")] * 3)
        batch = await rig.send(("a", 1))
        await settle()
        assert not rig.pipeline.healthy
        await rig.answer(batch)
        assert rig.pipeline.healthy


@virtual_time
async def test_a_full_queue_refuses_after_its_time_and_recovers() -> None:
    async with Rig(queue_rows=3, overload_timeout_s=5.0) as rig:
        rig.storage.hold()
        kept = [await rig.send(("a", number)) for number in range(3)]
        before = rig.context.clock.monotonic()
        with pytest.raises(Overloaded):
            await rig.send(("a", 3))
        assert rig.context.clock.monotonic() - before == pytest.approx(5.0)
        assert not rig.pipeline.healthy
        rig.storage.release()
        assert [await rig.answer(batch) for batch in kept] == [stored(1)] * 3
        assert await rig.ask(("a", 4)) == stored(1)
        assert rig.pipeline.healthy


@virtual_time
async def test_a_batch_can_be_withdrawn_until_it_is_being_committed() -> None:
    async with Rig() as rig:
        rig.storage.hold()
        taken = await rig.send(("a", 1))
        await settle()
        waiting = await rig.send(("a", 2))
        assert (rig.pipeline.withdraw(taken), rig.pipeline.withdraw(waiting)) == (False, True)
        rig.storage.release()
        await rig.answer(taken)
    assert (rig.storage.rows, rig.answers_to(waiting)) == ([("a", 1.0)], [])


# -- the unexpected --------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_error_nobody_expected_refuses_the_batches_and_the_next_commit_comes() -> None:
    noted = Noted()
    async with Rig(noted) as rig:
        rig.storage.fails.append(ZeroDivisionError("a bug"))
        assert await rig.ask(("a", 1)) == Refused(REFUSED, retry=False)
        assert await rig.ask(("a", 2)) == stored(1)
    assert noted.notes == ["record [1.0]", "forget", "record [2.0]", "keep"]


@virtual_time
async def test_batches_that_were_answered_before_an_unexpected_error_are_not_answered_again() -> None:
    async with Rig() as rig:
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        first, second = await rig.send(("a", 1)), await rig.send(("a", BAD))
        rig.storage.bad_values = {BAD}
        rig.storage.bug_after = 2
        rig.storage.release()
        outcomes = [await rig.answer(first), await rig.answer(second)]
        await settle()
    assert outcomes == [stored(1), Refused(REFUSED, retry=False)]
    assert (len(rig.answers), rig.counted("batches_refused")) == (3, 1)


# -- identities ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_batch_sent_again_is_answered_as_the_first_time_and_stored_once() -> None:
    async with Rig() as rig:
        first = await rig.ask(("a", 1), (UNLINKED, 2), batch_id="x")
        again = await rig.ask(("a", 1), (UNLINKED, 2), batch_id="x")
    assert (first, again) == (stored(1, unlinked=1), Stored(1, 0, 1, 0, duplicate=True))
    assert rig.storage.rows == [("a", 1.0)]


@virtual_time
async def test_a_batch_sent_twice_before_the_commit_is_stored_once() -> None:
    async with Rig() as rig:
        rig.storage.hold()
        batches = [await rig.send(("a", 1), batch_id="x") for _ in range(3)]
        rig.storage.release()
        outcomes = [await rig.answer(batch) for batch in batches]
    assert outcomes == [stored(1), *[Stored(1, 0, 0, 0, duplicate=True)] * 2]
    assert rig.storage.rows == [("a", 1.0)]


@virtual_time
async def test_an_identity_used_again_with_other_contents_is_refused_for_good() -> None:
    async with Rig() as rig:
        await rig.ask(("a", 1), batch_id="x")
        assert await rig.ask(("a", 2), batch_id="x") == Refused(REUSED, retry=False)
    assert rig.storage.rows == [("a", 1.0)]


@virtual_time
async def test_identities_belong_to_their_user() -> None:
    async with Rig() as rig:
        outcomes = [await rig.ask(("a", user), batch_id="x", user_id=user) for user in (1, 2)]
    assert outcomes == [stored(1), stored(1)]


@virtual_time
async def test_an_identity_that_another_server_has_just_stored_is_a_duplicate() -> None:
    async with Rig(Noted()) as rig:
        rig.storage.hold()
        batch = await rig.send(("a", 1), batch_id="x")
        other = await rig.send(("b", 2), batch_id="y")
        await settle()
        key = BatchKey(1, "x")
        rig.storage.batches[key] = BatchRecord(key, batch.digest, 1, 0, 0, 0, batch.received_us)
        rig.storage.release()
        outcomes = [await rig.answer(batch), await rig.answer(other)]
    assert outcomes == [Stored(1, 0, 0, 0, duplicate=True), stored(1)]
    assert rig.storage.rows == [("b", 2.0)]
    assert rig.storage.statements == ["note [2.0]"]  # what the others add to an innocent batch is not left out


# -- starting and stopping -------------------------------------------------------------------------------------------


class Told(Noted):
    """A stage that writes its starts and closes into a journal, and may fail at them."""

    def __init__(self, name: str, journal: list[str], *, fails: str = "") -> None:
        super().__init__()
        self.name, self._lines, self._fails = name, journal, fails

    async def start(self, context: StageContext) -> None:
        self._lines.append(f"start {self.name}")
        if self._fails == "start":
            raise RuntimeError("cannot start")

    async def close(self) -> None:
        self._lines.append(f"close {self.name}")
        if self._fails == "close":
            raise RuntimeError("cannot close")
        if self._fails == "end":
            await asyncio.Event().wait()


@virtual_time
async def test_stages_start_in_order_and_close_in_reverse() -> None:
    journal: list[str] = []
    async with Rig(Told("one", journal), Told("two", journal)):
        pass
    assert journal == ["start one", "start two", "close two", "close one"]


@virtual_time
async def test_when_one_cannot_start_those_that_were_started_are_closed() -> None:
    journal: list[str] = []
    rig = Rig(Told("one", journal), Told("two", journal, fails="start"), Told("three", journal))
    with pytest.raises(RuntimeError, match="cannot start"):
        await rig.pipeline.start()
    await rig.pipeline.close(1.0)
    assert journal == ["start one", "start two", "close two", "close one"]


@pytest.mark.parametrize("how", ["close", "end"])
@virtual_time
async def test_a_stage_that_cannot_close_leaves_no_other_open(how: str) -> None:
    journal: list[str] = []
    async with Rig(Told("one", journal), Told("two", journal, fails=how)) as rig:
        pass
    assert journal[2:] == ["close two", "close one"]
    assert rig.counted("stage_failures", stage="two") == 1


@virtual_time
async def test_closing_commits_what_waits_and_tells_everyone() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        rig.storage.hold()
        for number in range(10):
            await rig.send(("a", number))
        asyncio.get_running_loop().call_later(1.0, rig.storage.release)
    assert rig.storage.rows == [("a", float(number)) for number in range(10)]
    assert [outcome for _, outcome in rig.answers] == [stored(1)] * 10
    assert (heard.values, heard.closed) == ([float(number) for number in range(10)], 1)


@virtual_time
async def test_after_closing_nothing_is_taken_any_more() -> None:
    async with Rig() as rig:
        pass
    with pytest.raises(ShuttingDown):
        await rig.send(("a", 1))


@virtual_time
async def test_closing_gives_up_in_time_and_tells_those_that_were_never_tried() -> None:
    rig = Rig()
    await rig.pipeline.start()
    rig.storage.hold()
    tried = await rig.send(("a", 1))
    await settle()
    waiting = await rig.send(("a", 2), batch_id="x")
    before = rig.context.clock.monotonic()
    await rig.pipeline.close(5.0)
    assert rig.context.clock.monotonic() - before == pytest.approx(5.0)
    assert rig.answers == [(waiting, Refused(NOT_STORED, retry=True))]
    assert rig.answers_to(tried) == []  # it may be stored or not


@virtual_time
async def test_how_much_could_not_be_stored_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    await rig.pipeline.start()
    rig.storage.hold()
    await rig.send(("a", 1), ("a", 2))
    await rig.send(("a", 3))
    await rig.pipeline.close(5.0)
    assert [record.getMessage() for record in caplog.records] == ["stopping with 3 rows that could not be stored"]


@virtual_time
async def test_observers_have_the_deadline_that_is_set() -> None:
    hanging = Heard()
    hanging.busy_s = 3600.0
    async with Rig(hanging, observer_deadline_s=2.0) as rig:
        await rig.ask(("a", 1))
        await asyncio.sleep(1.9)
        assert rig.counted("stage_failures", stage="heard") == 0
        await asyncio.sleep(0.2)
        assert (rig.counted("stage_failures", stage="heard"), hanging.cancelled) == (1, 1)


@virtual_time
async def test_closing_twice_is_harmless() -> None:
    heard = Heard()
    async with Rig(heard) as rig:
        await rig.ask(("a", 1))
        await rig.pipeline.close(5.0)
    assert heard.closed == 1


# -- all together ----------------------------------------------------------------------------------------------------


VALUES = st.sampled_from([1.0, 2.0, 3.0, BAD, 13.0])
MISHAPS = st.sampled_from(["none", "none", "away", "lost", "bug"])


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.tuples(VALUES, st.sampled_from([None, None, "x", "y"])), min_size=1, max_size=25),
    mishaps=st.lists(MISHAPS, max_size=10),
    commit_rows=st.integers(1, 12),
    held=st.booleans(),
)
@virtual_time
async def test_whatever_happens_each_batch_is_answered_once_and_what_is_answered_is_true(
    batches: list[tuple[float, str | None]], mishaps: list[str], commit_rows: int, held: bool
) -> None:
    noted, heard = Noted(), Heard()
    noted.fails_on = {13.0}
    async with Rig(noted, heard, commit_rows=commit_rows) as rig:
        rig.storage.bad_values = {BAD}
        rig.storage.lost_answers = mishaps.count("lost")
        for mishap in mishaps:
            if mishap in {"away", "bug"}:
                rig.storage.fails.append(StorageUnavailable("away") if mishap == "away" else ZeroDivisionError("bug"))
        if held:
            rig.storage.hold()
        sent = [await rig.send(("a", value), batch_id=batch_id) for value, batch_id in batches]
        rig.storage.release()
        outcomes = [await rig.answer(batch) for batch in sent]
        await asyncio.sleep(60)
        assert len(rig.answers) == len(sent)
        accepted = [
            value
            for (value, _), outcome in zip(batches, outcomes, strict=True)
            if isinstance(outcome, Stored) and not outcome.duplicate
        ]
        assert [value for _, value in rig.storage.rows] == accepted == heard.values
        assert BAD not in accepted
        assert rig.storage.statements == [f"note [{value}]" for value in accepted if value != 13.0]
        assert rig.context.metrics.text().count(b"webmacs_queue_rows 0.0") == 1
    for before, after in zip(noted.notes, noted.notes[1:], strict=False):
        assert before.startswith("record") or after.startswith("record")  # one end to each transaction
    assert noted.notes[-1] in {"keep", "forget"}
