"""What `benchmarks.dashboard` makes of a browser's trace."""

from __future__ import annotations

from typing import Any

from benchmarks.dashboard import costs
from benchmarks.hourglass import FIRST, ROUND_S, value_at

MAIN = {"pid": 1, "tid": 2}


def span(name: str, begin: float, length: float, **thread: int) -> dict[str, Any]:
    return {"name": name, "ph": "X", "ts": begin * 1000, "dur": length * 1000, **(thread or MAIN)}


def frame(begin: float) -> dict[str, Any]:
    return {"name": "AnimationFrame", "ph": "b", "ts": begin * 1000, **MAIN}


def test_a_frame_costs_what_was_done_since_it_began() -> None:
    trace = [
        frame(0),
        span("FunctionCall", 1, 4),
        span("Paint", 6, 2),
        frame(16),
        span("FireAnimationFrame", 17, 3),
        frame(32),
    ]
    assert list(costs(trace)) == [(4.0, 2.0), (3.0, 0.0)]


def test_layout_that_a_script_asks_for_is_layout() -> None:
    trace = [frame(0), span("FunctionCall", 1, 10), span("Layout", 2, 4), frame(16)]
    assert list(costs(trace)) == [(6.0, 4.0)]


def test_a_call_within_a_call_is_counted_once() -> None:
    trace = [
        frame(0),
        span("FireAnimationFrame", 1, 10),
        span("FunctionCall", 2, 8),
        span("v8.callFunction", 3, 1),
        frame(16),
    ]
    assert list(costs(trace)) == [(10.0, 0.0)]


def test_other_threads_and_what_was_before_the_first_frame_are_left_out() -> None:
    trace = [span("FunctionCall", 0, 1), frame(2), span("Paint", 3, 9, pid=1, tid=7), frame(16)]
    assert list(costs(trace)) == [(0.0, 0.0)]
    assert list(costs([])) == []


def test_a_value_says_when_it_was_sent() -> None:
    assert value_at(9 * 1000) == FIRST
    assert value_at(9 * 1000 + 2.5) == FIRST + 2.5
    assert FIRST <= value_at(123456.789) < FIRST + ROUND_S
