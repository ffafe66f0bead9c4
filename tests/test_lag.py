"""How late the event loop is, as an operator sees it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.plant import Server
from tests.test_metrics import samples
from webmacs.lag import BOUNDS_S, LoopLag
from webmacs.metrics import Metrics
from webmacs.tasks import end

DEADLINE_S = 30.0


class Watched:
    """A lag whose measurements and whose clock are given."""

    def __init__(self, warn_s: float = 0.5) -> None:
        self.now, self.metrics = 1000.0, Metrics()
        self.lag = LoopLag(self.metrics, warn_s, lambda: self.now)

    def wakes(self, *lags_s: float, after_s: float = 0.05) -> None:
        for lag_s in lags_s:
            self.now += after_s
            self.lag.note(lag_s, self.now)

    @property
    def longest_s(self) -> float:
        return samples(self.metrics)["webmacs_loop_lag_longest_seconds", ()]

    def below(self, bound_s: float) -> float:
        return samples(self.metrics)["webmacs_loop_lag_seconds_bucket", (("le", str(bound_s)),)]


def test_how_often_it_was_how_late_is_counted() -> None:
    watched = Watched()
    watched.wakes(0.0, 0.0004, 0.02, 0.021, 7.0)
    assert [watched.below(bound_s) for bound_s in (0.001, 0.015, 0.02, 0.03, 5.0)] == [2, 2, 3, 4, 4]
    assert samples(watched.metrics)["webmacs_loop_lag_seconds_count", ()] == 5
    assert samples(watched.metrics)["webmacs_loop_lag_seconds_sum", ()] == pytest.approx(7.0414)


def test_the_longest_is_that_of_the_last_minute() -> None:
    watched = Watched()
    assert watched.longest_s == 0
    watched.wakes(0.2, 0.3, 0.1)
    assert watched.longest_s == 0.3
    watched.wakes(0.01, after_s=50)
    assert watched.longest_s == 0.3
    watched.wakes(0.02, after_s=15)
    assert watched.longest_s == 0.02


def test_the_longest_is_forgotten_also_when_nothing_was_measured_since() -> None:
    watched = Watched()
    watched.wakes(0.3)
    watched.now += 62
    assert watched.longest_s == 0


def test_what_it_remembers_is_bounded() -> None:
    watched = Watched()
    watched.wakes(*[0.001] * 500, after_s=1)
    assert len(watched.lag._recent) == 60


def test_a_loop_that_was_held_up_is_said_once_a_minute_and_the_rest_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(warn_s=0.5)
    watched.wakes(0.49)
    assert caplog.messages == []
    watched.wakes(0.5, 0.7, 0.8)
    assert [message.split(":")[0] for message in caplog.messages] == ["the event loop was held up for 0.50 s"]
    watched.wakes(1.25, after_s=61)
    assert caplog.messages[1].startswith("the event loop was held up for 1.25 s, and 2 times more since")
    watched.wakes(0.6, after_s=61)
    assert caplog.messages[2].startswith("the event loop was held up for 0.60 s: all clients waited")


async def test_who_blocks_the_loop_is_seen() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics, 60.0)
    measuring = asyncio.create_task(lag.run())
    await asyncio.sleep(0)  # it has asked to be woken
    time.sleep(0.4)  # noqa: ASYNC251 - that is what is to be seen
    async with asyncio.timeout(DEADLINE_S):
        while not lag.longest_s():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    await end(measuring)
    assert lag.longest_s() >= 0.3
    found = samples(metrics)
    assert (
        found["webmacs_loop_lag_seconds_count", ()] - found["webmacs_loop_lag_seconds_bucket", (("le", "0.25"),)] == 1
    )


async def test_a_server_measures_itself(server: Server) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while samples(server.parts.metrics)["webmacs_loop_lag_seconds_count", ()] < 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


def test_the_bounds_rise() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
