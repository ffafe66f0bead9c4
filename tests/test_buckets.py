"""How often somebody may do something."""

from __future__ import annotations

import pytest

from webmacs.buckets import Buckets, Ration
from webmacs.testing import ManualClock


def test_so_many_at_once_and_then_one_whenever_its_time_has_come() -> None:
    clock = ManualClock()
    buckets = Buckets(6, 10, clock)
    assert [buckets.draw("a") for _ in range(6)] == [0.0] * 6
    assert buckets.draw("a") == pytest.approx(10.0)
    clock.advance(9.0)
    assert buckets.draw("a") == pytest.approx(1.0)  # to be refused costs nothing
    clock.advance(1.001)
    assert buckets.draw("a") == 0.0
    assert buckets.draw("a") == pytest.approx(10.0, abs=0.01)


def test_nobody_draws_from_anothers() -> None:
    buckets = Buckets(1, 10, ManualClock())
    assert (buckets.draw("a"), buckets.draw("b")) == (0.0, 0.0)
    assert buckets.draw("a") > 0


def test_what_is_not_used_does_not_add_up() -> None:
    clock = ManualClock()
    buckets = Buckets(2, 10, clock)
    buckets.draw("a")
    clock.advance(3600.0)
    assert [buckets.draw("a") > 0 for _ in range(3)] == [False, False, True]


def test_only_those_seen_last_are_remembered() -> None:
    buckets = Buckets(1, 2, ManualClock())
    for key in ("a", "b", "c"):
        assert buckets.draw(key) == 0.0
    assert len(buckets) == 2
    assert (buckets.draw("b") > 0, buckets.draw("c") > 0) == (True, True)
    assert buckets.draw("a") == 0.0


def test_a_ration_is_so_many_a_minute_and_counts_the_others() -> None:
    ration = Ration(2)
    assert [ration.take(100.0 + second) for second in range(4)] == [True, True, False, False]
    assert ration.held_back == 2
    assert [ration.take(161.0), ration.take(161.0), ration.take(219.9), ration.take(221.0)] == [True, True, False, True]
    assert ration.take(5.0)  # a clock that was set back holds nobody back for long
