"""What a transaction holds before it is one, and which readings are the newest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.pipeline.fakes import EVENTS, SNAPSHOT, Noted, Summing
from tests.virtual_time import virtual_time
from webmacs.catalog import Snapshot
from webmacs.errors import InvalidRows
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.model import BatchKey, BatchRecord, Datapoint, Event, Reading, Write
from webmacs.pipeline.base import Batch, Contribution, Recorder, StageSettings, Stored
from webmacs.pipeline.counts import Failures
from webmacs.pipeline.draft import Draft
from webmacs.pipeline.persist import Persist
from webmacs.storage.base import Part
from webmacs.testing import ManualClock

NOW_US = 1_000
A, B = EVENTS["a"], EVENTS["b"]


def reading(value: float, time_us: int = NOW_US, event: str = "a") -> Reading:
    return Reading(EVENTS[event], time_us, value, None)


def batch(*readings: Reading, batch_id: str | None = None, received_us: int = NOW_US) -> Batch:
    return Batch(None, 7, received_us, batch_id=batch_id, readings=list(readings), judged_by=SNAPSHOT, digest="d")


def draft_of(*batches: Batch, others: Sequence[Recorder] = (), latest: LatestValues | None = None) -> Draft:
    draft = Draft(SNAPSHOT, latest or LatestValues(), Failures(Metrics(), ManualClock()))
    for one in batches:
        draft.record(one, Persist(StageSettings()), others)
    return draft


def newest(draft: Draft, first_id: int = 1) -> dict[str, tuple[int, float]]:
    return {point.event.public_id: (point.id, point.value) for point in draft.committed(first_id).newest.values()}


def test_a_commit_has_the_readings_of_all_batches_in_order() -> None:
    draft = draft_of(batch(reading(1), reading(2)), batch(), batch(reading(3)))
    commit = draft.commit(5, 100)
    assert (commit.seq, commit.first_id, list(commit.readings)) == (5, 100, [reading(1), reading(2), reading(3)])
    assert (commit.batches, commit.writes) == ([], [])


def test_a_commit_has_the_writes_of_all_recorders_in_order() -> None:
    draft = draft_of(batch(reading(1)), batch(reading(2)), others=[Noted(), Noted()])
    statements = [write.statement for write in draft.commit(1, 1).writes]
    assert statements == ["note [1]", "note [1]", "note [2]", "note [2]"]


def test_what_takes_the_place_of_persist_may_add_writes_too() -> None:
    class Chatty(Persist):
        def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
            return Contribution(batch.readings, [Write("chat")])

    draft = draft_of()
    draft.record(batch(reading(1)), Chatty(StageSettings()), [Noted()])
    assert [write.statement for write in draft.commit(1, 1).writes] == ["chat", "note [1]"]


def test_what_a_recorder_adds_to_the_transaction_as_a_whole_comes_after_what_all_add_for_its_batches() -> None:
    others = [Summing(), Noted(), Summing()]
    draft = draft_of(batch(reading(1)), batch(reading(2)), others=others)
    assert [stage.notes for stage in others if isinstance(stage, Summing)] == [["record [1]", "record [2]"]] * 2
    draft.conclude(others)
    statements = [write.statement for write in draft.commit(1, 1).writes]
    assert statements == ["note [1]", "note [2]", "sum [1, 2]", "sum [1, 2]"]


def test_most_recorders_have_nothing_to_add_at_the_end() -> None:
    draft = draft_of()
    draft.conclude([Persist(StageSettings())])
    assert draft.empty


def test_a_transaction_of_no_readings_may_hold_what_a_recorder_adds_at_the_end() -> None:
    others = [Summing()]
    draft = draft_of(batch(), others=others)
    assert draft.empty
    draft.conclude(others)
    assert not draft.empty


def test_a_batch_with_an_identity_is_remembered_with_its_numbers() -> None:
    named = batch(reading(1), batch_id="x")
    named.invalid, named.unlinked, named.skewed = 2, 3, 4
    assert draft_of(batch(reading(0)), named).commit(1, 1).batches == [
        BatchRecord(BatchKey(7, "x"), "d", 1, 2, 3, 4, NOW_US)
    ]


def test_what_was_prepared_comes_with_its_readings_and_the_others_in_between_go_together() -> None:
    known, more, small, last, rest = (batch(reading(n), reading(n + 0.5)) for n in range(5))
    known.prepared, last.prepared = "known", "last"
    draft = draft_of(known, more, small, last, rest)
    commit = draft.commit(1, 1)
    assert [(part.prepared, [one.value for one in part.readings]) for part in commit.parts] == [
        ("known", [0.0, 0.5]),
        (None, [1.0, 1.5, 2.0, 2.5]),
        ("last", [3.0, 3.5]),
        (None, [4.0, 4.5]),
    ]
    assert [one for part in commit.parts for one in part.readings] == commit.readings


def test_what_was_prepared_is_of_no_use_when_readings_have_gone_since() -> None:
    gone = Event(99, "gone", "Gone", "V", "sensor", 0.0, 1.0)
    judged = batch(reading(1.0), Reading(gone, NOW_US, 2.0, None))
    judged.judged_by, judged.prepared = Snapshot(), "both"
    assert draft_of(judged).commit(1, 1).parts == [Part([reading(1.0)])]


def test_a_commit_of_nothing_that_was_prepared_is_one_part() -> None:
    assert draft_of(batch(reading(1.0)), batch(reading(2.0))).commit(1, 1).parts == [Part([reading(1.0), reading(2.0)])]
    assert draft_of(batch(batch_id="x")).commit(1, 1).parts == ()


def test_each_batch_has_its_own_outcome() -> None:
    first, second = batch(reading(1), reading(2)), batch(reading(3))
    second.invalid = 1
    assert draft_of(first, second).outcomes == [(first, Stored(2, 0, 0, 0)), (second, Stored(1, 1, 0, 0))]


@pytest.mark.parametrize(
    ("draft", "empty"),
    [
        (draft_of(), True),
        (draft_of(batch()), True),
        (draft_of(batch(reading(1))), False),
        (draft_of(batch(batch_id="x")), False),
        (draft_of(batch(), others=[Noted()]), False),
    ],
    ids=["no batch", "nothing left", "a reading", "an identity", "a write"],
)
def test_a_draft_is_empty_when_there_is_nothing_to_store(draft: Draft, empty: bool) -> None:
    assert draft.empty is empty


def test_every_recorder_judges_by_the_same_snapshot() -> None:
    asked: list[object] = []

    class Asking(Persist):
        def record(self, batch: Batch, catalog: Snapshot) -> Contribution:
            asked.append(catalog)
            return Contribution()

    stage = Asking(StageSettings())
    draft_of().record(batch(), stage, [stage])
    assert [snapshot is SNAPSHOT for snapshot in asked] == [True, True]


# -- the newest ------------------------------------------------------------------------------------------------------


def test_the_newest_of_each_event_has_the_id_it_is_stored_under() -> None:
    draft = draft_of(batch(reading(1), reading(2, event="b")), batch(reading(3)))
    assert newest(draft, 100) == {"a": (102, 3.0), "b": (101, 2.0)}
    assert draft.committed(100).first_id == 100


def test_a_late_reading_is_stored_and_is_no_news() -> None:
    late = batch(reading(1, NOW_US - 50), received_us=NOW_US)
    latest = LatestValues()
    latest.load([Datapoint(1, A, NOW_US - 20, 9.0, None)])
    draft = draft_of(late, latest=latest)
    assert (len(draft.readings), newest(draft), late.newest) == (1, {}, {})


def test_within_one_commit_a_late_reading_does_not_replace_a_newer_one() -> None:
    draft = draft_of(batch(reading(1, NOW_US - 10)), batch(reading(2, NOW_US - 30)), batch(reading(3, NOW_US - 20)))
    assert newest(draft) == {"a": (1, 1.0)}


def test_a_reading_timed_by_the_server_is_news_also_after_its_clock_stepped_back() -> None:
    latest = LatestValues()
    latest.load([Datapoint(1, A, NOW_US + 20, 9.0, None)])
    stepped_back = batch(reading(1))
    assert newest(draft_of(stepped_back, latest=latest)) == {"a": (1, 1.0)}
    assert stepped_back.newest == {A.id: reading(1)}


def test_news_of_a_batch_are_its_last_readings_that_advanced() -> None:
    first = batch(reading(1, NOW_US - 9), reading(2, NOW_US - 5), reading(3, NOW_US - 7), reading(4, event="b"))
    second = batch(reading(5, NOW_US - 6), reading(6, NOW_US - 5))
    draft_of(first, second)
    assert first.newest == {A.id: reading(2, NOW_US - 5), B.id: reading(4, event="b")}
    assert second.newest == {A.id: reading(6, NOW_US - 5)}


def test_drafting_changes_nothing_until_it_is_committed() -> None:
    latest = LatestValues()
    draft_of(batch(reading(1)), latest=latest)
    assert dict(latest.all()) == {}


# -- failures --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_recorder_that_raises_adds_nothing_for_that_batch() -> None:
    noted = Noted()
    noted.fails_on = {1.0}
    draft = draft_of(batch(reading(1.0)), batch(reading(2.0)), others=[noted])
    assert [write.statement for write in draft.commit(1, 1).writes] == ["note [2.0]"]
    assert len(draft.readings) == 2


class Halfway(Summing):
    """Yields one statement, then fails."""

    name = "halfway"

    def conclude(self) -> Iterator[Write]:  # type: ignore[override]
        yield Write("half")
        raise RuntimeError("as told")


def test_a_recorder_that_cannot_conclude_leaves_out_what_it_would_have_added_then_and_nothing_else() -> None:
    others = [Summing(), Halfway(), Noted(), Summing()]
    metrics = Metrics()
    draft = Draft(SNAPSHOT, LatestValues(), Failures(metrics, ManualClock()))
    draft.record(batch(reading(1.0)), Persist(StageSettings()), others)
    draft.conclude(others)
    assert [write.statement for write in draft.commit(1, 1).writes] == ["note [1.0]", "sum [1.0]", "sum [1.0]"]
    assert len(draft.readings) == 1
    assert metrics.counter("stage_failures", "", stage="halfway").value == 1


def said_of(others: Sequence[Recorder], caplog: pytest.LogCaptureFixture) -> list[str]:
    draft = draft_of(batch(reading(1.0)), others=others)
    draft.conclude(others)
    return [f"{record.getMessage()}: {record.exc_info[1]}" for record in caplog.records if record.exc_info]


def test_that_a_recorder_failed_is_said_with_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    noted, summing = Noted(), Summing()
    noted.fails_on = summing.cannot_conclude = {1.0}
    assert said_of([noted, summing], caplog) == [
        "stage noted failed; the batch is stored without its rows: as told",
        "stage summing failed; what it would have added to the transaction is left out: as told",
    ]


def test_that_a_recorder_is_no_place_for_readings_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert said_of([Persist(StageSettings())], caplog) == [
        "stage  failed; the batch is stored without its rows: readings are added by a gate; a recorder adds writes"
    ]


def test_when_persist_raises_the_rows_are_at_fault() -> None:
    class Broken(Persist):
        name = "persist"

        def record(self, batch: Batch, catalog: object) -> Contribution:
            raise KeyError("no")

    draft = draft_of()
    with pytest.raises(InvalidRows, match=r"persist: KeyError\('no'\)"):
        draft.record(batch(reading(1)), Broken(StageSettings()), ())
