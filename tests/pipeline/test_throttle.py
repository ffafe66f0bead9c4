"""The throttle against a model of what it promises."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from webmacs.pipeline.throttle import Throttle

INTERVAL_S = 4.0
KEYS = st.sampled_from("abc")


def test_the_first_item_of_a_key_passes_at_once() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    assert (throttle.offer("a", 1, 0.0), throttle.offer("b", 2, 0.0)) == (True, True)


def test_of_a_burst_the_last_item_passes_when_the_window_ends() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    assert [throttle.offer("a", number, number / 10) for number in range(10)] == [True, *[False] * 9]
    assert (throttle.flush(3.9), throttle.next_flush(), throttle.flush(4.0)) == ([], 4.0, [("a", 9)])


def test_what_passes_at_the_end_of_a_window_opens_the_next_one() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    throttle.offer("a", 1, 0.0)
    throttle.offer("a", 2, 1.0)
    throttle.flush(5.0)
    assert throttle.offer("a", 3, 8.9) is False
    assert (throttle.flush(8.9), throttle.flush(9.0)) == ([], [("a", 3)])


def test_a_key_that_was_quiet_for_a_window_passes_at_once_again() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    throttle.offer("a", 1, 0.0)
    assert throttle.flush(4.0) == []
    assert throttle.offer("a", 2, 4.0) is True


def test_windows_that_end_first_are_flushed_first() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    for now, key in enumerate("abc"):
        throttle.offer(key, 1, now)
        throttle.offer(key, 2, now)
    assert throttle.next_flush() == 4.0
    assert [throttle.flush(now) for now in (4.0, 5.5, 6.0)] == [[("a", 2)], [("b", 2)], [("c", 2)]]


def test_nothing_is_due_while_nothing_waits() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    throttle.offer("a", 1, 0.0)
    assert throttle.next_flush() is None


def test_without_an_interval_everything_passes_by_the_next_flush() -> None:
    throttle = Throttle[str, int](0.0)
    assert (throttle.offer("a", 1, 0.0), throttle.offer("a", 2, 0.0), throttle.flush(0.0)) == (True, False, [("a", 2)])


def test_at_the_end_of_time_all_that_waits_passes() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    for key in "aab":
        throttle.offer(key, 1, 0.0)
    assert throttle.flush(math.inf) == [("a", 1)]
    assert throttle.flush(math.inf) == []


def test_after_clear_every_key_passes_at_once() -> None:
    throttle = Throttle[str, int](INTERVAL_S)
    throttle.offer("a", 1, 0.0)
    throttle.offer("a", 2, 0.0)
    throttle.clear()
    assert (throttle.next_flush(), throttle.offer("a", 3, 0.1)) == (None, True)


class ThrottleMachine(RuleBasedStateMachine):
    """Items of a few keys at any times, flushed at any times, on time or late."""

    def __init__(self) -> None:
        super().__init__()
        self.throttle = Throttle[str, int](INTERVAL_S)
        self.now = 0.0
        self.made = 0
        self.last_offered: dict[str, int] = {}
        self.passed: dict[str, list[tuple[float, int]]] = {}

    @rule(key=KEYS)
    def offer(self, key: str) -> None:
        self.made += 1
        self.last_offered[key] = self.made
        if self.throttle.offer(key, self.made, self.now):
            self.note(key, self.made)

    @rule(seconds=st.integers(0, 6) | st.floats(0, 6))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def flush(self) -> None:
        for key, item in self.throttle.flush(self.now):
            self.note(key, item)
        due = self.throttle.next_flush()
        assert due is None or due <= self.now + INTERVAL_S

    @rule()
    def everything_ends(self) -> None:
        """Two windows later each key's last item has passed, and nothing is kept."""
        for _ in range(2):
            self.now += INTERVAL_S + 1e-6
            self.flush()
        assert {key: items[-1][1] for key, items in self.passed.items()} == self.last_offered
        assert self.throttle.next_flush() is None
        assert not self.throttle._opened
        assert not self.throttle._pending

    def note(self, key: str, item: int) -> None:
        before = self.passed.setdefault(key, [])
        if before:
            assert self.now - before[-1][0] >= INTERVAL_S  # never two of one key closer than the interval
            assert item > before[-1][1]  # never an older one after a newer one
        before.append((self.now, item))

    @invariant()
    def it_keeps_at_most_one_item_and_one_window_a_key(self) -> None:
        assert self.throttle._pending.keys() <= self.throttle._opened.keys() <= self.last_offered.keys()
        assert all(self.last_offered[key] == item for key, item in self.throttle._pending.items())


TestThrottle = ThrottleMachine.TestCase
TestThrottle.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
