"""`/datapoints`, looking back: pages, series, single readings, and what deleting one does."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API, TIMESTAMP, alone, everything, posted, rest, stop_all
from tests.plant import Server, now_us
from webmacs.model import Role, to_datetime
from webmacs.storage.rollups import MINUTE_US, Rollups

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATAPOINTS, SERIES, LATEST = f"{API}/datapoints", f"{API}/datapoints/series", f"{API}/datapoints/latest"
FIELDS = {"public_id", "value", "timestamp", "event_public_id", "experiment_public_id"}


async def measured(server: Server, readings: list[tuple[float, int]], event: int = 0) -> None:
    """Values with their times, stored through the front door."""
    for start in range(0, len(readings), 500):
        datapoints = [
            server.reading(value, event, timestamp=to_datetime(time_us).isoformat())
            for value, time_us in readings[start : start + 500]
        ]
        reply = await rest(server, "POST", f"{DATAPOINTS}/batch", {"datapoints": datapoints}, Role.OPERATOR)
        assert (reply.status, reply.body["message"].split()[0]) == (201, str(len(datapoints)))


async def listed(server: Server, query: str = "") -> dict[str, Any]:
    reply = await rest(server, "GET", f"{DATAPOINTS}{query}", role=Role.VIEWER)
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.body
    return found


async def series(server: Server, *events: str, **query: object) -> dict[str, list[dict[str, Any]]]:
    reply = await rest(server, "POST", SERIES, {"event_public_ids": events, **query}, Role.VIEWER)
    assert reply.status == 200, reply
    found: dict[str, list[dict[str, Any]]] = reply.body
    return found


async def latest(server: Server, event: int) -> float | None:
    reply = await rest(server, "GET", LATEST, role=Role.VIEWER)
    values = {one["event_public_id"]: one["value"] for one in reply.body}
    return values.get(server.plant.linked[event])


# -- pages -----------------------------------------------------------------------------------------------------------


@alone
async def test_pages_show_the_newest_readings_first(serve: Serve) -> None:
    server = await serve()
    begin_us = now_us() - 60 * MINUTE_US
    await measured(server, [(float(n), begin_us + n * MINUTE_US) for n in range(50)], event=0)
    await measured(server, [(float(100 + n), begin_us + n * MINUTE_US + 1) for n in range(20)], event=1)
    first = await listed(server)
    assert {key: first[key] for key in ("page", "page_size", "total")} == {"page": 1, "page_size": 25, "total": 70}
    assert [one["value"] for one in first["data"]] == [float(n) for n in range(49, 24, -1)]
    assert all(set(one) == FIELDS for one in first["data"])
    assert all(re.fullmatch(TIMESTAMP, one["timestamp"]) for one in first["data"])
    every = await everything(server, DATAPOINTS)
    assert len({one["public_id"] for one in every}) == 70
    times = [datetime.fromisoformat(one["timestamp"]) for one in every]
    assert times == sorted(times, reverse=True)
    beyond = await listed(server, "?page=2147483648&page_size=100")
    assert beyond["data"] == []


@alone
async def test_an_empty_installation_has_an_empty_page(serve: Serve) -> None:
    assert await listed(await serve()) == {"page": 1, "page_size": 25, "total": 0, "data": []}


# -- series ----------------------------------------------------------------------------------------------------------


@alone
async def test_a_series_has_the_readings_of_the_last_minutes_by_time(serve: Serve) -> None:
    server = await serve()
    begin_us = now_us() - 90 * MINUTE_US
    await measured(server, [(float(n), begin_us + n * MINUTE_US) for n in range(80)])
    found = await series(server, *server.plant.linked[:2], "nobody")
    assert set(found) == {*server.plant.linked[:2], "nobody"}
    assert [one["value"] for one in found[server.plant.linked[0]]] == [float(n) for n in range(31, 80)]
    assert found[server.plant.linked[1]] == found["nobody"] == []
    assert all(set(one) == FIELDS for one in found[server.plant.linked[0]])
    few = (await series(server, server.plant.linked[0], minutes=20))[server.plant.linked[0]]
    assert [one["value"] for one in few] == [float(n) for n in range(71, 80)]


@alone
async def test_a_long_series_keeps_its_extremes_rolled_up_or_not(serve: Serve) -> None:
    server = await serve(storage={"rollup_interval_s": 3600.0})
    event, begin_us = server.plant.linked[0], now_us() - 9 * 24 * 60 * MINUTE_US
    readings = [(20.0 + n % 5, begin_us + n * 5 * MINUTE_US) for n in range(2500)]
    readings[700] = (1000.0, readings[700][1])
    readings[1800] = (-1000.0, readings[1800][1])
    await measured(server, readings)
    raw = (await series(server, event, minutes=14_400, max_points=60))[event]
    rollups = Rollups(server.parts.storage)
    while await rollups.advance(now_us()):
        continue
    assert rollups.rolled_us > begin_us
    rolled = (await series(server, event, minutes=14_400, max_points=60))[event]
    for found in (raw, rolled):
        values = [one["value"] for one in found]
        assert 20 <= len(values) <= 60
        assert (min(values), max(values)) == (-1000.0, 1000.0)
        assert (found[0]["timestamp"], values[-1]) == (raw[0]["timestamp"], readings[-1][0])


@alone
async def test_a_reading_of_a_clock_that_is_ahead_is_part_of_the_series(serve: Serve) -> None:
    server = await serve()
    await measured(server, [(7.0, now_us() + 2 * MINUTE_US)])
    event = server.plant.linked[0]
    assert [one["value"] for one in (await series(server, event, minutes=1))[event]] == [7.0]


@alone
async def test_a_series_may_be_of_any_stretch_of_time(serve: Serve) -> None:
    server = await serve()
    begin_us = now_us() - 90 * MINUTE_US
    await measured(server, [(float(n), begin_us + n * MINUTE_US) for n in range(90)])
    event = server.plant.linked[0]

    def moment(minute: float) -> str:
        return to_datetime(begin_us + int(minute * MINUTE_US)).isoformat()

    async def values(**query: object) -> list[float]:
        return [one["value"] for one in (await series(server, event, **query))[event]]

    assert await values(**{"from": moment(10), "until": moment(12.5)}) == [10.0, 11.0, 12.0]
    assert await values(**{"from": moment(10), "until": moment(12)}) == [10.0, 11.0, 12.0]
    assert await values(**{"from": moment(87), "minutes": 1}) == [87.0, 88.0, 89.0]
    assert await values(**{"from": moment(-400 * 24 * 60 - 300)}) == [float(n) for n in range(90)]
    assert await values(**{"from": moment(300)}) == []


FAR = {
    "the first hours there are": {"from": "0001-01-01T00:00:00+14:00", "until": "0001-06-01T00:00:00Z"},
    "the last ones": {"from": "9999-01-01T00:00:00Z", "until": "9999-12-31T23:59:59.999999-14:00"},
    "from then on": {"from": "9999-12-31T23:59:59-14:00"},
    "400 days": {"from": "2020-01-01T00:00:00+01:00", "until": "2021-02-04T00:00:00+01:00"},
}


@pytest.mark.parametrize("stretch", FAR.values(), ids=FAR.keys())
async def test_a_stretch_in_which_nothing_was_measured_is_empty(shared: Server, stretch: dict[str, str]) -> None:
    event = shared.plant.linked[0]
    assert await series(shared, event, **stretch) == {event: []}


async def test_the_same_event_may_be_asked_for_twice(shared: Server) -> None:
    event = shared.plant.linked[0]
    assert set(await series(shared, event, event)) == {event}


BAD = {
    "no events": {},
    "an empty list": {"event_public_ids": []},
    "no list": {"event_public_ids": "abc"},
    "twenty-one": {"event_public_ids": [str(n) for n in range(21)]},
    "a number": {"event_public_ids": [1]},
    "a long id": {"event_public_ids": ["x" * 101]},
    "no minutes": {"event_public_ids": ["a"], "minutes": 0},
    "too many minutes": {"event_public_ids": ["a"], "minutes": 14_401},
    "half a minute": {"event_public_ids": ["a"], "minutes": 0.5},
    "few points": {"event_public_ids": ["a"], "max_points": 9},
    "many points": {"event_public_ids": ["a"], "max_points": 2001},
    "from no time": {"event_public_ids": ["a"], "from": "yesterday"},
    "from a time without an offset": {"event_public_ids": ["a"], "from": "2026-01-01T00:00:00"},
    "until, and no from": {"event_public_ids": ["a"], "until": "2026-01-01T00:00:00Z"},
    "from after until": {"event_public_ids": ["a"], "from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
    "at until": {"event_public_ids": ["a"], "from": "2026-01-01T01:00:00+01:00", "until": "2026-01-01T00:00:00Z"},
    "two years": {"event_public_ids": ["a"], "from": "2024-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_a_series_that_cannot_be_is_422(shared: Server, body: dict[str, object]) -> None:
    reply = await rest(shared, "POST", SERIES, body)
    assert reply.status == 422
    assert re.match("event_public_ids|minutes|max_points|from|until", reply.detail), reply.detail


@pytest.mark.parametrize("event", ["", "\0", "é" * 100], ids=["empty", "U+0000", "not ASCII"])
async def test_an_event_with_a_strange_id_has_no_readings(shared: Server, event: str) -> None:
    assert await series(shared, event) == {event: []}


async def test_a_lone_surrogate_is_no_id(shared: Server) -> None:
    assert (await rest(shared, "POST", SERIES, '{"event_public_ids": ["\\ud800"]}')).status == 422


# -- single readings -------------------------------------------------------------------------------------------------


@alone
async def test_a_reading_is_shown_with_its_experiment_until_that_is_removed(serve: Serve) -> None:
    server = await serve()
    await posted(server, 7.0)
    (one,) = (await listed(server))["data"]
    assert one["experiment_public_id"] == server.plant.experiment
    reply = await rest(server, "GET", f"{DATAPOINTS}/{one['public_id']}", role=Role.VIEWER)
    assert (reply.status, reply.body) == (200, one)
    await stop_all(server)
    assert (await rest(server, "DELETE", f"{API}/experiments/{server.plant.experiment}")).status == 200
    reply = await rest(server, "GET", f"{DATAPOINTS}/{one['public_id']}")
    assert reply.body == {**one, "experiment_public_id": None}


@alone
async def test_after_the_newest_reading_is_deleted_the_one_before_is_the_newest(serve: Serve) -> None:
    server = await serve()
    for value in (1.0, 2.0, 3.0):
        await posted(server, value)
    three, two, one = (await listed(server))["data"]
    for gone, left in ((two, 3.0), (three, 1.0), (one, None)):
        reply = await rest(server, "DELETE", f"{DATAPOINTS}/{gone['public_id']}", role=Role.OPERATOR)
        assert (reply.status, reply.body) == (200, {"status": "success", "message": "datapoint removed"})
        assert await latest(server, 0) == left
        for method in ("GET", "DELETE"):
            again = await rest(server, method, f"{DATAPOINTS}/{gone['public_id']}")
            assert (again.status, again.detail) == (404, f"there is no datapoint {gone['public_id']}")
    assert (await series(server, server.plant.linked[0]))[server.plant.linked[0]] == []


@pytest.mark.parametrize("public_id", ["nobody", "00000001-1-1", "%00", "ffffffffffffffff-1-1", "é"])
async def test_a_reading_that_is_not_there_is_404(shared: Server, public_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert (await rest(shared, method, f"{DATAPOINTS}/{public_id}")).status == 404
