"""The newest value of each event: by time of measurement, and always by what the server has timed itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS
from webmacs.latest import LatestValues
from webmacs.model import Datapoint, Experiment, Reading

A, B = EVENTS["a"], EVENTS["b"]
LAST = Datapoint(1, A, 1_000, 1.0, None)


def reading(time_us: int, value: float = 2.0) -> Reading:
    return Reading(A, time_us, value, None)


def loaded(*datapoints: Datapoint) -> LatestValues:
    latest = LatestValues()
    latest.load(datapoints)
    return latest


def test_the_first_reading_of_an_event_advances_it() -> None:
    assert loaded().advances(reading(5), 10_000, {})


@pytest.mark.parametrize(("time_us", "advances"), [(1_001, True), (1_000, True), (999, False)])
def test_a_reading_advances_unless_it_is_older_than_the_newest(time_us: int, advances: bool) -> None:
    assert loaded(LAST).advances(reading(time_us), 10_000, {}) is advances


def test_a_reading_timed_by_the_server_advances_also_after_its_clock_stepped_back() -> None:
    assert loaded(LAST).advances(reading(400), 400, {})


@pytest.mark.parametrize(("time_us", "advances"), [(3_000, True), (2_000, True), (1_500, False)])
def test_what_is_about_to_be_committed_counts_as_newer(time_us: int, advances: bool) -> None:
    assert loaded(LAST).advances(reading(time_us), 10_000, {A.id: reading(2_000)}) is advances


def test_what_is_about_to_be_committed_counts_also_where_it_is_older_than_the_newest() -> None:
    """After the server's clock stepped back, the readings that follow build on the one it has timed."""
    assert loaded(LAST).advances(reading(500), 10_000, {A.id: reading(400)})


def test_other_events_do_not_matter() -> None:
    assert loaded(LAST._replace(event=B)).advances(reading(1), 10_000, {B.id: reading(5)})


def test_what_is_committed_is_taken_over() -> None:
    latest = loaded(LAST)
    other = Datapoint(2, B, 5, 5.0, None)
    latest.apply({B.id: other})
    assert latest.all() == {A.id: LAST, B.id: other}


def test_loading_replaces_everything() -> None:
    latest = loaded(LAST)
    latest.load([])
    assert latest.all() == {}


def test_events_that_are_gone_are_forgotten() -> None:
    latest = loaded(LAST, Datapoint(2, B, 5, 5.0, None))
    latest.retain({A.id}, ())
    assert latest.all() == {A.id: LAST}


def test_when_the_newest_is_deleted_another_one_takes_its_place() -> None:
    before = Datapoint(0, A, 900, 0.5, None)
    latest = loaded(LAST)
    latest.replace(before, None)  # it was not the newest
    assert latest.all() == {A.id: LAST}
    latest.replace(LAST, before)
    assert latest.all() == {A.id: before}
    latest.replace(before, None)
    assert latest.all() == {}


def test_a_reading_outlasts_its_experiment() -> None:
    here, gone = (Experiment(number, f"x{number}", f"Run {number}", 0, None) for number in (1, 2))
    latest = loaded(LAST._replace(experiment=here), LAST._replace(event=B, experiment=gone))
    latest.retain({A.id, B.id}, {here.id})
    assert latest.all() == {A.id: LAST._replace(experiment=here), B.id: LAST._replace(event=B)}


@given(st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 50)), min_size=1))
def test_the_newest_is_never_overtaken_by_an_older_measurement(arrivals: list[tuple[int, int | None]]) -> None:
    """Each arrival is the time of receipt, and the time of measurement if the sender gave one."""
    latest = loaded()
    for number, (received_us, measured_us) in enumerate(arrivals):
        time_us = received_us if measured_us is None else measured_us
        before = latest.all().get(A.id)
        if latest.advances(reading(time_us), received_us, {}):
            latest.apply({A.id: Datapoint(number, A, time_us, 0.0, None)})
        after = latest.all()[A.id]
        if measured_us is None:
            assert (after.id, after.time_us) == (number, received_us)
        elif before is not None:
            assert after.time_us >= before.time_us or after.time_us == received_us
