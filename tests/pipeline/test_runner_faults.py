"""The runner when data, storage or stages fail, and when a batch comes twice."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.fakes import BAD, EVENTS, UNLINKED, Heard, Noted, Rig, Summing, stored
from tests.virtual_time import settle, virtual_time
from webmacs.catalog import Snapshot
from webmacs.errors import Overloaded, StorageUnavailable
from webmacs.model import BatchKey, BatchRecord, Reading, Write
from webmacs.pipeline.base import (
    Batch,
    Contribution,
    Gate,
    Recorder,
    Refused,
    StageSettings,
    Stored,
)
from webmacs.pipeline.culprits import MOST_ATTEMPTS
from webmacs.pipeline.runner import REFUSED, REUSED

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
    assert (rig.counted("batches_refused"), rig.counted("readings_refused")) == (1, 1)


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


@pytest.mark.promise("F11")
@virtual_time
async def test_of_several_recorders_only_the_one_whose_rows_are_bad_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, noted, summing, last = Heeding("first"), Noted(), Summing(), Heeding("last")
    async with Rig(first, noted, summing, last) as rig:
        rig.storage.bad_statements = {"note [2.0]"}
        rig.storage.hold()
        batches = [await rig.send(("a", number)) for number in range(4)]
        rig.storage.release()
        assert [await rig.answer(batch) for batch in batches] == [stored(1)] * 4
    assert rig.storage.rows == [("a", float(number)) for number in range(4)]
    added = {f"{name} [{float(number)}]" for name in ("first", "note", "last") for number in range(4)}
    assert {text for text in rig.storage.statements if not text.startswith("sum")} == added - {"note [2.0]"}
    assert "sum [2.0]" in rig.storage.statements
    assert rig.counted("contributions_left_out") == 1
    assert [rig.counted("stage_failures", stage=stage.name) for stage in (first, noted, summing, last)] == [0, 1, 0, 0]
    assert "stage noted added rows that the storage refuses; the batch is stored without them" in caplog.messages


@virtual_time
async def test_of_two_offenders_both_are_left_out_and_nobody_else() -> None:
    recorders = [Heeding(name) for name in ("a", "b", "c", "d")]
    async with Rig(*recorders) as rig:
        rig.storage.bad_statements = {"a [1.0]", "c [1.0]"}
        assert await rig.ask(("a", 1)) == stored(1)
    assert rig.storage.statements == ["b [1.0]", "d [1.0]"]
    assert [rig.counted("stage_failures", stage=stage.name) for stage in recorders] == [1, 0, 1, 0]


@virtual_time
async def test_however_many_recorders_there_are_a_bad_batch_is_tried_so_often_and_no_more() -> None:
    recorders = [Heeding(f"r{number}") for number in range(12)]
    async with Rig(*recorders) as rig:
        rig.storage.bad_statements = {f"r{number} [1.0]" for number in range(12)}
        assert await rig.ask(("a", 1)) == stored(1)
    assert rig.storage.rows == [("a", 1.0)]
    assert len(rig.storage.attempts) == 1 + MOST_ATTEMPTS + 1


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


@virtual_time
async def test_a_transaction_that_is_split_is_concluded_again_in_each_part() -> None:
    summing = Summing()
    async with Rig(summing) as rig:
        rig.storage.bad_values = {BAD}
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        batches = [await rig.send(("a", value)) for value in (1, 2, BAD, 4)]
        rig.storage.release()
        outcomes = [await rig.answer(batch) for batch in batches]
    assert outcomes == [stored(1), stored(1), Refused(REFUSED, retry=False), stored(1)]
    assert rig.storage.statements == ["sum [0.0]", "sum [1.0, 2.0]", "sum [4.0]"]
    assert summing.notes[3:] == [
        *("record [1.0]", "record [2.0]", f"record [{BAD}]", "record [4.0]", "conclude", "forget"),
        *("record [1.0]", "record [2.0]", "conclude", "keep"),
        *(f"record [{BAD}]", "record [4.0]", "conclude", "forget"),
        *(f"record [{BAD}]", "conclude", "forget"),
        *("record [4.0]", "conclude", "keep"),
    ]


@virtual_time
async def test_bad_rows_that_a_recorder_adds_at_the_end_lose_no_readings_and_no_more_rows_than_those() -> None:
    summing = Summing()
    async with Rig(summing) as rig:
        rig.storage.bad_statements = {"sum [1.0, 2.0, 3.0]", "sum [2.0, 3.0]", "sum [2.0]"}
        rig.storage.hold()
        await rig.send(("b", 0))
        await settle()
        batches = [await rig.send(("a", number)) for number in (1, 2, 3)]
        rig.storage.release()
        assert [await rig.answer(batch) for batch in batches] == [stored(1)] * 3
    assert rig.storage.rows == [("b", 0.0), *(("a", float(number)) for number in (1, 2, 3))]
    assert rig.storage.statements == ["sum [0.0]", "sum [1.0]", "sum [3.0]"]
    assert rig.counted("contributions_left_out") == 1
    assert summing.notes[3:] == [
        *("record [1.0]", "record [2.0]", "record [3.0]", "conclude", "forget"),
        *("record [1.0]", "conclude", "keep"),
        *("record [2.0]", "record [3.0]", "conclude", "forget"),
        *("record [2.0]", "conclude", "forget"),  # and then stored without asking
        *("record [3.0]", "conclude", "keep"),
    ]


@virtual_time
async def test_while_the_storage_is_away_nothing_is_concluded_again() -> None:
    summing = Summing()
    async with Rig(summing) as rig:
        rig.storage.fails.extend([StorageUnavailable("away")] * 3)
        assert await rig.ask(("a", 1)) == stored(1)
    assert summing.notes == ["record [1.0]", "conclude", "keep"]
    assert rig.storage.statements == ["sum [1.0]"]


class Heeding(Recorder):
    """Adds one statement a batch, named for itself and the values."""

    def __init__(self, name: str) -> None:
        super().__init__(StageSettings())
        self.name = name

    def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
        return Contribution(writes=[Write(f"{self.name} {[reading.value for reading in batch.readings]}")])


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
        assert rig.counted("readings_refused") == 1
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
    assert rig.counted("readings_refused") == 1


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
    assert rig.counted("readings_refused") == 1


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
    noted, summing, heard = Noted(), Summing(), Heard()
    noted.fails_on = {13.0}
    async with Rig(noted, summing, heard, commit_rows=commit_rows) as rig:
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
        notes, sums = ([text for text in rig.storage.statements if text.startswith(kind)] for kind in ("note", "sum"))
        assert notes == [f"note [{value}]" for value in accepted if value != 13.0]
        assert [value for text in sums for value in json.loads(text.removeprefix("sum "))] == accepted
        assert len(sums) == len(rig.storage.commits)
        assert rig.context.metrics.text().count(b"webmacs_queue_rows 0.0") == 1
    for before, after in zip(noted.notes, noted.notes[1:], strict=False):
        assert before.startswith("record") or after.startswith("record")  # one end to each transaction
    assert noted.notes[-1] in {"keep", "forget"}
    for before, after in zip(summing.notes, summing.notes[1:], strict=False):
        assert (before == "conclude") is (after in {"keep", "forget"})
