"""The observer that shows readings: what a message holds, and how often an event is in one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.pipeline.fakes import EVENTS, context
from tests.virtual_time import virtual_time
from webmacs.frames import Update
from webmacs.hub import FRONTEND, Client
from webmacs.model import Datapoint, Experiment, Identity, Role, User, to_us
from webmacs.pipeline.base import Committed
from webmacs.pipeline.broadcast import Broadcast, BroadcastSettings, StreamEncoder

INTERVAL_S = 0.2
TICK_S = 0.01
VIEWER = Identity(User(1, "u", "u@example.org", "u", Role.VIEWER, 1, 0), None, token_id=1)


class Wire:
    """The transport of a browser that reads everything at once; remembers what came when."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, dict[str, Any]]] = []

    def write(self, data: bytes) -> None:
        payload = data[data.index(b"{") :]
        self.messages.append((round(asyncio.get_running_loop().time(), 6), json.loads(payload)))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    @property
    def shown(self) -> list[tuple[float, dict[str, float]]]:
        """When which events had which values."""
        return [
            (at, {point["event_public_id"]: point["value"] for point in message["datapoints"]})
            for at, message in self.messages
        ]


class Stage:
    """A started broadcast with a hub."""

    def __init__(self, broadcast: Broadcast) -> None:
        self.broadcast = broadcast
        self.hub = broadcast.context.hub

    def watch(self, wanted: frozenset[str] | None = None) -> Wire:
        wire = Wire()
        self.client = Client(wire, lambda _code, _reason: None, identity=VIEWER, buffer_bytes=1000, wanted=wanted)
        self.hub.join(FRONTEND, self.client)
        return wire

    async def commit(self, **values: float) -> None:
        points = [Datapoint(1, EVENTS[name], 0, float(value), None) for name, value in values.items()]
        await self.broadcast.observe(Committed(1, (), {point.event.id: point for point in points}))


@asynccontextmanager
async def broadcasting(interval_s: float = INTERVAL_S) -> AsyncIterator[Stage]:
    broadcast = Broadcast(BroadcastSettings(interval_s=interval_s))
    await broadcast.start(context())
    yield Stage(broadcast)
    await broadcast.close()


# -- messages --------------------------------------------------------------------------------------------------------


def decoded(update: Update) -> Any:
    return json.loads(update.head + b",".join(update.fragments.values()) + update.tail)


def test_a_message_is_exactly_as_specified() -> None:
    experiment = Experiment(1, "exp-001", "Run", 0, None)
    first = Datapoint(1, replace(EVENTS["a"], public_id="abc-123"), 1_736_951_400_123_456, 23.5, experiment)
    second = Datapoint(2, replace(EVENTS["b"], public_id="def-456"), 1_736_951_400_000_000, 1013.2, None)
    assert decoded(StreamEncoder().update([first, second])) == {
        "type": "datapoints_batch",
        "datapoints": [
            {
                "value": 23.5,
                "event_public_id": "abc-123",
                "timestamp": "2025-01-15T14:30:00.123456+00:00",
                "experiment_public_id": "exp-001",
            },
            {
                "value": 1013.2,
                "event_public_id": "def-456",
                "timestamp": "2025-01-15T14:30:00.000000+00:00",
                "experiment_public_id": None,
            },
        ],
    }


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1),
    st.datetimes(),
)
def test_any_reading_survives_its_encoding(value: float, public_id: str, moment: datetime) -> None:
    time_us = to_us(moment.replace(tzinfo=UTC))
    point = Datapoint(1, replace(EVENTS["a"], public_id=public_id), time_us, value, None)
    [found] = decoded(StreamEncoder().update([point]))["datapoints"]
    assert (found["value"], found["event_public_id"]) == (value, public_id)
    assert found["timestamp"] == f"{moment.isoformat(timespec='microseconds')}+00:00"


def test_a_message_has_an_event_once_and_its_last_reading() -> None:
    points = [Datapoint(number, EVENTS["a"], 0, float(number), None) for number in range(3)]
    assert [point["value"] for point in decoded(StreamEncoder().update(points))["datapoints"]] == [2.0]


# -- how often -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_the_first_reading_goes_out_at_once() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        await stage.commit(a=1, b=2)
        assert wire.shown == [(0.0, {"a": 1.0, "b": 2.0})]


@virtual_time
async def test_the_last_reading_of_a_burst_goes_out_when_the_window_ends() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        for number in range(10):
            await stage.commit(a=number)
            await asyncio.sleep(0.005)
        await asyncio.sleep(10)
        assert wire.shown == [(0.0, {"a": 0.0}), (INTERVAL_S, {"a": 9.0})]


@virtual_time
async def test_a_steady_flow_is_shown_once_an_interval() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        for number in range(101):
            await stage.commit(a=number)
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)
        times = [at for at, _ in wire.shown]
        assert all(after - before > INTERVAL_S - 1e-5 for before, after in pairwise(times))
        assert len(times) in {5, 6}  # in 1.01 seconds
        assert wire.shown[-1][1] == {"a": 100.0}


@virtual_time
async def test_windows_that_end_within_one_tick_share_a_message() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        for name, value in (("a", 1), ("b", 2), ("c", 3)):
            await stage.commit(**{name: value})
            await stage.commit(**{name: value * 10})
            await asyncio.sleep(TICK_S / 4)
        await asyncio.sleep(10)
        assert len(wire.shown) <= 5
        assert {name: value for _, shown in wire.shown for name, value in shown.items()} == {"a": 10, "b": 20, "c": 30}


@virtual_time
async def test_without_an_interval_everything_goes_out_at_once() -> None:
    async with broadcasting(interval_s=0.0) as stage:
        wire = stage.watch()
        for number in range(3):
            await stage.commit(a=number)
        assert wire.shown == [(0.0, {"a": 0.0}), (0.0, {"a": 1.0}), (0.0, {"a": 2.0})]


@virtual_time
async def test_a_filtered_browser_gets_only_what_it_wants() -> None:
    async with broadcasting() as stage:
        wire = stage.watch(frozenset({"b", "nobody"}))
        await stage.commit(a=1)
        await stage.commit(b=2, c=3)
        assert wire.shown == [(0.0, {"b": 2.0})]


@virtual_time
async def test_a_commit_without_news_sends_nothing() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        await stage.commit()
        await asyncio.sleep(1)
        assert wire.shown == []


@virtual_time
async def test_what_nobody_watched_is_not_shown_to_who_comes_later() -> None:
    async with broadcasting() as stage:
        stage.watch()
        await stage.commit(a=1)
        await stage.commit(a=2)
        stage.hub.leave(stage.client)
        await stage.commit(a=3)
        wire = stage.watch()
        await asyncio.sleep(1)
        await stage.commit(b=4)
        assert wire.shown == [(1.0, {"b": 4.0})]


@virtual_time
async def test_who_comes_after_a_time_without_watchers_gets_the_last_reading_of_a_burst() -> None:
    async with broadcasting() as stage:
        stage.watch()
        await stage.commit(a=1)
        await stage.commit(a=2)
        stage.hub.leave(stage.client)
        await stage.commit(a=3)
        wire = stage.watch()
        await stage.commit(a=4)
        await stage.commit(a=5)
        await asyncio.sleep(1)
        assert wire.shown == [(0.0, {"a": 4.0}), (INTERVAL_S, {"a": 5.0})]


@virtual_time
async def test_closing_sends_what_still_waits_for_its_window() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        await stage.commit(a=1)
        await stage.commit(a=2)
    assert wire.shown == [(0.0, {"a": 1.0}), (0.0, {"a": 2.0})]
    await asyncio.sleep(1)
    assert len(wire.shown) == 2


@virtual_time
async def test_the_stream_converges_to_the_newest_whatever_the_rhythm() -> None:
    async with broadcasting() as stage:
        wire = stage.watch()
        for number, pause in enumerate((0.0, 0.19, 0.01, 0.2, 0.05, 0.3, 0.001)):
            await stage.commit(a=number, b=-number)
            await asyncio.sleep(pause)
        await asyncio.sleep(10)
        for name, sign in (("a", 1), ("b", -1)):
            seen = [(at, shown[name]) for at, shown in wire.shown if name in shown]
            assert seen[-1][1] == 6.0 * sign
            assert [sign * value for _, value in seen] == sorted(sign * value for _, value in seen)


def test_the_interval_is_a_fifth_of_a_second_by_default() -> None:
    assert BroadcastSettings().interval_s == INTERVAL_S


@pytest.mark.parametrize("interval_s", [-0.1, float("inf"), float("nan")])
def test_an_impossible_interval_is_refused(interval_s: float) -> None:
    with pytest.raises(ValidationError):
        BroadcastSettings(interval_s=interval_s)
