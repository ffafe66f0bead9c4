"""Beats: no drift, none made up for, each counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webmacs.controller.schedule import Schedule


def test_channels_with_the_same_interval_are_read_together() -> None:
    schedule = Schedule({"a": 1.0, "b": 0.5, "c": 1.0}, 0.1)
    assert schedule.next_at() == 0.5
    assert schedule.due(0.4) == []
    assert schedule.due(0.5) == ["b"]
    assert sorted(schedule.due(1.0)) == ["a", "b", "c"]
    assert schedule.due(1.0) == []
    assert schedule.next_at() == 1.5


def test_beats_that_are_over_are_missed_and_not_made_up_for() -> None:
    schedule = Schedule({"a": 0.01}, 0.0)
    assert schedule.due(0.0) == ["a"]
    assert schedule.due(0.055) == ["a"]  # the one at 0.05, instead of those at 0.01 to 0.04
    assert schedule.missed == 4
    assert schedule.due(0.06) == ["a"]
    assert schedule.missed == 4


def test_nothing_to_read_is_never_due() -> None:
    schedule = Schedule({}, 5.0)
    assert (schedule.next_at(), schedule.due(1e9), schedule.missed) == (None, [], 0)


@given(
    interval_s=st.sampled_from([0.01, 0.1, 0.25, 1.0, 7.0]),
    start=st.floats(0, 1e6),
    lateness=st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
def test_every_beat_is_read_or_missed_and_none_drifts(interval_s: float, start: float, lateness: list[float]) -> None:
    schedule = Schedule({"a": interval_s}, start)
    first = schedule.next_at()
    assert first is not None
    read = 0
    now = first
    for late in lateness:
        at = schedule.next_at()
        assert at is not None
        assert abs(at / interval_s - round(at / interval_s)) < 1e-3  # on the grid that all devices share
        now = at + late * interval_s
        assert schedule.due(now) == ["a"]
        read += 1
    following = schedule.next_at()
    assert following is not None
    assert now < following <= now + interval_s + 1e-5
    assert read + schedule.missed == round((following - first) / interval_s)
