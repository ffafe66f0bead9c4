"""Batches, outcomes and commits as values."""

from __future__ import annotations

import math

from tests.pipeline.fakes import EVENTS
from webmacs.model import Datapoint, Reading
from webmacs.pipeline.base import Batch, Committed, Outcome, Refused, Stored


def point(event: str, number: int) -> Datapoint:
    return Datapoint(number, EVENTS[event], number, float(number), None)


def test_an_acknowledgement_has_all_numbers_and_says_what_was_rejected() -> None:
    assert Stored(5, 1, 2, 3).numbers() == {"accepted": 5, "rejected": 3, "invalid": 1, "unlinked": 2, "skewed": 3}


def test_only_a_duplicate_is_called_one() -> None:
    assert Stored(5, 0, 0, 0, duplicate=True).numbers()["duplicate"] is True


def test_a_batch_is_settled_once() -> None:
    told: list[Outcome] = []
    batch = Batch(None, 1, 0, reply=lambda _batch, outcome: told.append(outcome))
    assert [batch.settle(Stored(1, 0, 0, 0)), batch.settle(Refused("no", retry=False))] == [True, False]
    assert told == [Stored(1, 0, 0, 0)]


def test_a_batch_that_nobody_waits_for_is_settled_too() -> None:
    batch = Batch(None, 1, 0)
    assert (batch.settle(Stored(1, 0, 0, 0)), batch.settled) == (True, True)


def test_what_is_no_finite_number_counts_beside_what_was_invalid_before() -> None:
    readings = [Reading(EVENTS["a"], 0, value, None) for value in (1.0, math.nan, math.inf)]
    batch = Batch(None, 1, 0, readings=readings, invalid=3)
    batch.keep_finite()
    assert (batch.readings, batch.invalid) == (readings[:1], 5)


def test_two_commits_coalesce_to_the_newest_of_each_event() -> None:
    first = Committed(1, [Reading(EVENTS["a"], 0, 0.0, None)], {1: point("a", 1), 2: point("b", 2)})
    second = Committed(7, [Reading(EVENTS["a"], 0, 0.0, None)], {2: point("b", 7), 3: point("c", 8)})
    assert first.coalesced(second) == Committed(7, (), {1: point("a", 1), 2: point("b", 7), 3: point("c", 8)})
