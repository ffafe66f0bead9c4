"""When a reading was taken: by its own word where that can be believed, else by the server's clock.

Protocol decisions, "`datapoints[].timestamp`".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.plant import Server, now_us
from tests.wire import acknowledged, history, points
from webmacs import experiments
from webmacs.model import Role, to_datetime, to_us
from webmacs.testing import START_US, ManualClock

MINUTE_US = 60_000_000
DAY_S = 86_400.0


async def send(server: Server, *items: dict[str, Any], batch_id: str = "one") -> Any:
    return await acknowledged(await server.telemetry(), {"datapoints": list(items), "batch_id": batch_id})


async def latest(server: Server) -> dict[str, Any]:
    """What `GET /api/v1/datapoints/latest` says, by event."""
    url = f"{server.address}/api/v1/datapoints/latest"
    async with server.client.get(url, headers=server.headers(Role.VIEWER)) as response:
        return {point["event_public_id"]: point for point in await response.json()}


@pytest.fixture
def taken() -> datetime:
    """A moment ago, in whole microseconds."""
    return to_datetime(now_us() - MINUTE_US)


# -- which times are believed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [0, 2, -5, 5.75, -12, 14])
async def test_a_reading_is_stored_at_its_own_time_whatever_the_offset(
    server: Server, taken: datetime, hours: float
) -> None:
    there = taken.astimezone(timezone(timedelta(hours=hours)))
    assert (await send(server, server.reading(timestamp=there.isoformat())))["skewed"] == 0
    assert [datapoint.time_us for datapoint in await history(server)] == [to_us(taken)]


@pytest.mark.parametrize("timespec", ["seconds", "milliseconds", "microseconds"])
async def test_z_is_an_offset_and_fractions_are_kept(server: Server, taken: datetime, timespec: str) -> None:
    text = taken.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
    await send(server, server.reading(timestamp=text))
    assert [datapoint.time_us for datapoint in await history(server)] == [to_us(datetime.fromisoformat(text))]


async def test_without_one_it_is_the_servers_time_of_receipt(server: Server) -> None:
    before = now_us()
    assert (await send(server, server.reading(), server.reading(timestamp=None)))["skewed"] == 0
    first, second = await history(server)
    assert first.time_us == second.time_us
    assert before <= first.time_us <= now_us()


GARBAGE = [
    "",
    "now",
    "yesterday",
    "12:00",
    "2026-13-01T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "\ud800",
    "9" * 1000,
    "\x00",
]


@pytest.mark.parametrize("timestamp", [*GARBAGE, 0, 1767225600, 1.5, True, [], {}, ["2026-01-01T00:00:00Z"]])
async def test_what_is_no_time_is_kept_at_the_time_of_receipt_and_counted(server: Server, timestamp: object) -> None:
    before = now_us()
    answer = await send(server, server.reading(timestamp=timestamp))
    assert (answer["accepted"], answer["skewed"]) == (1, 1)
    (datapoint,) = await history(server)
    assert before <= datapoint.time_us <= now_us()


async def test_a_time_without_an_offset_says_nothing(server: Server, taken: datetime) -> None:
    answer = await send(server, server.reading(timestamp=taken.replace(tzinfo=None).isoformat()))
    assert (answer["accepted"], answer["skewed"]) == (1, 1)
    (datapoint,) = await history(server)
    assert datapoint.time_us > to_us(taken)


@pytest.mark.parametrize("extreme", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
async def test_the_ends_of_the_calendar_are_wrong_clocks(server: Server, extreme: str) -> None:
    assert (await send(server, server.reading(timestamp=extreme)))["skewed"] == 1


@pytest.mark.parametrize(
    ("off_s", "skewed"),
    [(299.0, 0), (300.0, 0), (300.000_001, 1), (3600.0, 1), (-399 * DAY_S, 0), (-400 * DAY_S, 0), (-401 * DAY_S, 1)],
)
async def test_a_clock_that_is_too_far_ahead_or_behind_is_wrong(serve: Serve, off_s: float, skewed: int) -> None:
    server = await serve(clock=ManualClock())
    own_us = START_US + round(off_s * 1e6)
    answer = await send(server, server.reading(timestamp=to_datetime(own_us).isoformat()))
    assert (answer["accepted"], answer["skewed"]) == (1, skewed)
    assert [datapoint.time_us for datapoint in await history(server)] == [START_US if skewed else own_us]


async def test_both_limits_are_settings(serve: Serve) -> None:
    server = await serve(clock=ManualClock(), pipeline={"max_clock_skew_s": 1, "max_reading_age_s": 10})
    times = [to_datetime(START_US + offset_us).isoformat() for offset_us in (1_000_000, 1_000_001)]
    times += [to_datetime(START_US - offset_us).isoformat() for offset_us in (10_000_000, 10_000_001)]
    assert (await send(server, *(server.reading(timestamp=time) for time in times)))["skewed"] == 2


async def test_skewed_readings_are_counted_in_the_metrics(server: Server) -> None:
    await send(server, server.reading(timestamp="now"), server.reading(timestamp="now"), server.reading())
    assert b"webmacs_readings_skewed_total 2.0" in server.parts.metrics.text()


# -- late readings ---------------------------------------------------------------------------------------------


async def test_late_readings_belong_to_the_experiment_that_ran_then(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock)
    storage, now = server.parts.storage, START_US
    await experiments.stop(storage, server.plant.experiment, now_us=now_us())
    for name, begin, end in (("old", 50, 40), ("older", 30, 20)):
        public_id = await experiments.start(storage, name=name, now_us=now - begin * MINUTE_US)
        await experiments.stop(storage, public_id, now_us=now - end * MINUTE_US)
    await server.parts.catalog.reload()
    minutes = [51, 50, 45, 40, 35, 30, 20.000_001, 20, 1]
    times = [to_datetime(now - round(ago * MINUTE_US)).isoformat() for ago in minutes]
    await send(server, *(server.reading(timestamp=time) for time in times))
    names = [datapoint.experiment and datapoint.experiment.name for datapoint in await history(server)]
    assert names == [None, "old", "old", None, None, "older", "older", None, None]


async def test_a_late_reading_does_not_move_the_latest(server: Server, taken: datetime) -> None:
    event = server.plant.linked[0]
    await send(server, server.reading(1.0), batch_id="now")
    newest = (await latest(server))[event]
    await send(server, server.reading(2.0, timestamp=taken.isoformat()), batch_id="late")
    assert (await latest(server))[event] == newest
    assert [datapoint.value for datapoint in await history(server)] == [2.0, 1.0]


async def test_a_late_reading_is_the_latest_where_there_is_none(server: Server, taken: datetime) -> None:
    await send(server, server.reading(2.0, timestamp=taken.isoformat()))
    assert (await latest(server))[server.plant.linked[0]]["value"] == 2.0


async def test_a_late_reading_is_not_broadcast(server: Server, taken: datetime) -> None:
    stream = await server.stream()
    await send(server, server.reading(1.0), batch_id="now")
    assert [point["value"] for point in await points(stream)] == [1.0]
    await send(server, server.reading(2.0, timestamp=taken.isoformat()), batch_id="late")
    await send(server, server.reading(3.0, event=1), batch_id="another event")
    assert [point["value"] for point in await points(stream)] == [3.0]


async def test_late_readings_in_order_are_the_newest_one_after_the_other(server: Server, taken: datetime) -> None:
    times = [(taken + timedelta(seconds=number)).isoformat() for number in (0, 2, 1)]
    await send(server, *(server.reading(float(number), timestamp=time) for number, time in enumerate(times)))
    assert (await latest(server))[server.plant.linked[0]]["value"] == 1.0


async def test_a_reading_timed_by_the_server_is_the_latest_also_after_its_clock_stepped_back(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock)
    stream = await server.stream()
    await send(server, server.reading(1.0), batch_id="before")
    assert [point["value"] for point in await points(stream)] == [1.0]
    clock.step(-3600)
    await send(server, server.reading(2.0), batch_id="after")
    assert (await latest(server))[server.plant.linked[0]]["value"] == 2.0
    assert [point["value"] for point in await points(stream)] == [2.0]


async def test_the_stream_shows_utc_with_offset_and_six_digits(server: Server) -> None:
    stream = await server.stream()
    there = datetime.now(timezone(timedelta(hours=2))).replace(microsecond=0)
    await send(server, server.reading(timestamp=there.isoformat()))
    (point,) = await points(stream)
    assert point["timestamp"] == there.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000+00:00")
