"""Which of a batch's readings are stored."""

from __future__ import annotations

from tests.pipeline.fakes import EVENTS, SNAPSHOT
from webmacs.catalog import Snapshot
from webmacs.model import Reading
from webmacs.pipeline.base import Batch, Contribution, StageSettings
from webmacs.pipeline.persist import Persist

READINGS = [Reading(EVENTS[public_id], 0, 1.0, None) for public_id in "abca"]


def contributed(catalog: Snapshot) -> Contribution:
    batch = Batch(None, 1, 0, readings=READINGS, judged_by=SNAPSHOT)
    return Persist(StageSettings()).record(batch, catalog)


def test_all_that_the_filter_left_is_stored() -> None:
    assert contributed(SNAPSHOT) == Contribution(READINGS)


def test_readings_of_an_event_deleted_since_go_with_it() -> None:
    catalog = Snapshot(events={"b": EVENTS["b"], "c": EVENTS["c"]})
    assert contributed(catalog) == Contribution(READINGS[1:3])


def test_readings_of_an_event_that_was_only_unlinked_since_are_stored() -> None:
    assert contributed(Snapshot(events=EVENTS)) == Contribution(READINGS)
