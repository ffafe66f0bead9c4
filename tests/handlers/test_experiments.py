"""`/experiments`, row by row, and the readings of one as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from datetime import datetime
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import (
    API,
    EVENTS,
    EXPERIMENTS,
    LOGS,
    TIMESTAMP,
    WEBHOOKS,
    alone,
    changed,
    everything,
    fresh,
    made,
    posted,
    rest,
    shown,
    stop_all,
    told,
)
from tests.plant import Server
from tests.wire import call, history
from webmacs.errors import StorageUnavailable
from webmacs.model import Datapoint, Reading, Role, to_datetime
from webmacs.storage.base import Commit

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = "timestamp,event_name,event_public_id,value,unit,datapoint_public_id\r\n"
BATCH = f"{API}/datapoints/batch"


async def start(server: Server, name: str | None = None) -> dict[str, Any]:
    """Start one, when no other runs any more."""
    await stop_all(server)
    name = name or fresh("Run")
    reply = await rest(server, "POST", EXPERIMENTS.path, {"name": name}, Role.OPERATOR)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": f"experiment {name} started"})
    (running,) = [item for item in await everything(server, EXPERIMENTS.path) if item["stopped_on"] is None]
    assert running["name"] == name
    return running


async def stop(server: Server, experiment: dict[str, Any]) -> None:
    reply = await rest(server, "PUT", f"{EXPERIMENTS.path}/{experiment['public_id']}/stop", role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "experiment stopped"})


async def exported(server: Server, experiment: dict[str, Any]) -> str:
    reply = await rest(server, "GET", f"{EXPERIMENTS.path}/{experiment['public_id']}/export/csv", role=Role.VIEWER)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return str(reply.body.decode())


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_experiment_is_started_shown_renamed_stopped_and_removed(shared: Server, slash: str) -> None:
    await stop_all(shared)
    name = fresh("Lauf 1 °C")
    assert (await rest(shared, "POST", EXPERIMENTS.path + slash, {"name": name}, Role.OPERATOR)).status == 201
    experiment = (await everything(shared, EXPERIMENTS.path + slash))[-1]
    assert re.fullmatch(TIMESTAMP, experiment["started_on"])
    assert experiment == {
        "public_id": experiment["public_id"],
        "name": name,
        "started_on": experiment["started_on"],
        "stopped_on": None,
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me", role=Role.OPERATOR)).body["public_id"],
    }
    path = f"{EXPERIMENTS.path}/{experiment['public_id']}"
    assert (await rest(shared, "GET", path + slash, role=Role.VIEWER)).body == experiment
    renamed = {**experiment, "name": fresh()}
    reply = await rest(shared, "PUT", path + slash, {"name": renamed["name"], "stopped_on": "now"}, Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "experiment changed"})
    assert (await rest(shared, "GET", path)).body == renamed
    assert (await rest(shared, "PUT", f"{path}/stop{slash}", role=Role.OPERATOR)).status == 200
    stopped = (await rest(shared, "GET", path)).body
    assert re.fullmatch(TIMESTAMP, stopped["stopped_on"])
    assert datetime.fromisoformat(stopped["stopped_on"]) > datetime.fromisoformat(stopped["started_on"])
    assert stopped == {**renamed, "stopped_on": stopped["stopped_on"]}
    reply = await rest(shared, "DELETE", path + slash, role=Role.OPERATOR)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "experiment removed"})
    for method, where, sent in (
        ("GET", path, None),
        ("PUT", path, {}),
        ("PUT", f"{path}/stop", None),
        ("GET", f"{path}/export/csv", None),
        ("DELETE", path, None),
    ):
        reply = await rest(shared, method, where, sent)
        assert (reply.status, reply.detail) == (404, f"there is no experiment {experiment['public_id']}")
        assert reply.headers["Content-Type"].startswith("application/json")


async def test_one_experiment_runs_at_a_time(shared: Server) -> None:
    running = await start(shared)
    for name in (fresh(), running["name"]):
        reply = await rest(shared, "POST", EXPERIMENTS.path, {"name": name})
        assert (reply.status, reply.detail) == (409, f"experiment {running['name']!r} is running; stop it first")
    assert await shown(shared, EXPERIMENTS, running["public_id"]) == running
    await stop(shared, running)
    reply = await rest(shared, "POST", EXPERIMENTS.path, {"name": running["name"]})
    assert (reply.status, reply.detail) == (409, f"an experiment called {running['name']!r} exists already")


async def test_of_five_that_start_at_once_one_does(shared: Server) -> None:
    await stop_all(shared)
    replies = await asyncio.gather(*(rest(shared, "POST", EXPERIMENTS.path, {"name": fresh()}) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [201, 409, 409, 409, 409]
    assert all("is running; stop it first" in reply.detail for reply in replies if reply.status == 409)


@alone
async def test_start_and_stop_are_told_and_logged_once(server: Server) -> None:
    await stop_all(server)
    webhook = await made(server, WEBHOOKS, events=["experiment.started", "experiment.stopped"])
    experiment = await start(server, "Run 2")
    await stop(server, experiment)
    once = await shown(server, EXPERIMENTS, experiment["public_id"])
    await stop(server, experiment)
    await asyncio.gather(*(stop(server, experiment) for _ in range(3)))
    assert await shown(server, EXPERIMENTS, experiment["public_id"]) == once
    deliveries = await told(server, webhook["public_id"])
    assert [delivery["event_type"] for delivery in deliveries] == ["experiment.stopped", "experiment.started"]
    entries = [entry["content"] for entry in await everything(server, LOGS.path) if "'Run 2'" in entry["content"]]
    assert entries == ["experiment 'Run 2' stopped", "experiment 'Run 2' started"]


@alone
async def test_of_five_that_stop_it_at_once_one_is_heard_of(server: Server) -> None:
    webhook = await made(server, WEBHOOKS, events=["experiment.stopped"])
    experiment = await shown(server, EXPERIMENTS, server.plant.experiment)
    await asyncio.gather(*(stop(server, experiment) for _ in range(5)))
    assert len(await told(server, webhook["public_id"])) == 1


@alone
async def test_start_and_stop_are_told_without_delay(serve: Serve) -> None:
    server = await serve(webhooks={"poll_interval_s": 600.0})
    webhook = await made(server, WEBHOOKS, events=["experiment.started", "experiment.stopped"])
    await stop(server, await shown(server, EXPERIMENTS, server.plant.experiment))
    await start(server)
    async with asyncio.timeout(30):
        while not all(delivery["attempts"] for delivery in await told(server, webhook["public_id"])):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(await told(server, webhook["public_id"])) == 2


@alone
async def test_a_reading_belongs_to_what_runs_at_its_time(server: Server) -> None:
    first = await shown(server, EXPERIMENTS, server.plant.experiment)
    await posted(server, 1.0)
    await stop(server, first)
    await posted(server, 2.0)
    second = await start(server)
    await posted(server, 3.0)
    of = [(point.value, point.experiment and point.experiment.public_id) for point in await history(server)]
    assert of == [(1.0, first["public_id"]), (2.0, None), (3.0, second["public_id"])]


@alone
async def test_the_readings_of_a_removed_experiment_stay_and_belong_to_none(server: Server) -> None:
    await posted(server, 1.0)
    assert (await rest(server, "DELETE", f"{EXPERIMENTS.path}/{server.plant.experiment}")).status == 200
    (point,) = (await rest(server, "GET", f"{API}/datapoints/latest")).body
    assert (point["value"], point["experiment_public_id"]) == (1.0, None)
    await posted(server, 2.0)
    assert [(point.value, point.experiment) for point in await history(server)] == [(1.0, None), (2.0, None)]
    await start(server)  # it ran when it was removed, and is in nobody's way


# -- CSV -------------------------------------------------------------------------------------------------------------


def line(point: Datapoint) -> str:
    time = to_datetime(point.time_us).isoformat(timespec="microseconds")
    return f"{time},{point.event.name},{point.event.public_id},{point.value!r},{point.event.unit},{point.public_id}\r\n"


@alone
async def test_the_file_byte_for_byte(server: Server) -> None:
    experiment = await shown(server, EXPERIMENTS, server.plant.experiment)
    assert await exported(server, experiment) == HEADER
    for value, event in ((7.0, 1), (-0.125, 0), (1e300, 1), (0.1, 0)):
        await posted(server, value, event)
    points = sorted([*await history(server, 0), *await history(server, 1)], key=lambda point: (point.time_us, point.id))
    expected = HEADER + "".join(line(point) for point in points)
    assert [point.value for point in points] == [7.0, -0.125, 1e300, 0.1]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00,Sensor 1,", line(points[0]))
    assert ",7.0,V," in expected
    assert await exported(server, experiment) == expected  # while it runs
    await stop(server, experiment)
    await posted(server, 5.0)
    await start(server)
    await posted(server, 6.0)
    assert await exported(server, experiment) == expected
    reply = await rest(server, "GET", f"{EXPERIMENTS.path}/{experiment['public_id']}/export/csv")
    assert reply.headers["Transfer-Encoding"] == "chunked"
    disposition = f'attachment; filename="experiment_Run_1_{experiment["public_id"][:8]}.csv"'
    assert reply.headers["Content-Disposition"] == disposition


@alone
async def test_a_reading_taken_for_its_own_just_after_the_end_is_in_the_file(server: Server) -> None:
    """By another server, which had not heard of the end yet."""
    await stop(server, await shown(server, EXPERIMENTS, server.plant.experiment))
    await start(server)
    snapshot = server.parts.catalog.current
    ended, now = snapshot.experiments
    assert ended.stopped_us is not None
    event, late_us = snapshot.events[server.plant.linked[0]], ended.stopped_us + 900_000
    readings = [Reading(event, late_us, 1.0, ended), Reading(event, late_us, 2.0, now)]
    first_id = await server.parts.storage.reserve(2)
    await server.parts.storage.append(Commit(1 << 30, first_id, readings))
    (row,) = (await exported(server, await shown(server, EXPERIMENTS, ended.public_id))).splitlines()[1:]
    assert row.split(",")[3] == "1.0"


@alone
async def test_what_needs_quotes_is_quoted_and_nothing_else(server: Server) -> None:
    experiment = await shown(server, EXPERIMENTS, server.plant.experiment)
    name, unit = 'a "big", old\r\nthing', "m³/h;=1+1"
    await changed(server, EVENTS, server.plant.linked[0], {"name": name, "unit": unit})
    await posted(server, 2.0)
    text = await exported(server, experiment)
    assert ',"a ""big"", old\r\nthing",' in text
    assert ",2.0,m³/h;=1+1," in text
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[1:5] for row in rows[1:]] == [[name, server.plant.linked[0], "2.0", unit]]


NAMES = [
    ("Run 1/2", "experiment_Run_1-2_{}.csv", None),
    ('a"b\\c', "experiment_a_b_c_{}.csv", "experiment_a%22b%5Cc_{}.csv"),
    ("Öl 🌡", "experiment__l___{}.csv", "experiment_%C3%96l_%F0%9F%8C%A1_{}.csv"),
    ("a\r\nSet-Cookie: b", "experiment_a__Set-Cookie:_b_{}.csv", "experiment_a%0D%0ASet-Cookie%3A_b_{}.csv"),
    ("a;b,c'", "experiment_a;b,c'_{}.csv", None),
]


@pytest.mark.parametrize(("name", "plain", "whole"), NAMES, ids=lambda text: ascii(text)[:20])
async def test_the_file_is_named_for_the_experiment(shared: Server, name: str, plain: str, whole: str | None) -> None:
    experiment = await made(shared, EXPERIMENTS)
    await changed(shared, EXPERIMENTS, experiment["public_id"], {"name": name})
    reply = await rest(shared, "GET", f"{EXPERIMENTS.path}/{experiment['public_id']}/export/csv")
    number = experiment["public_id"][:8]
    expected = f'attachment; filename="{plain.format(number)}"'
    expected += "" if whole is None else f"; filename*=UTF-8''{whole.format(number)}"
    assert reply.headers["Content-Disposition"] == expected
    assert "Set-Cookie" not in reply.headers
    assert (await rest(shared, "DELETE", f"{EXPERIMENTS.path}/{experiment['public_id']}")).status == 200


async def fill(server: Server, count: int) -> None:
    """So many readings, their values rising, of all linked events in turn."""
    for first in range(0, count, 500):
        batch = [server.reading(float(number), number % 3) for number in range(first, first + 500)]
        assert (await rest(server, "POST", BATCH, {"datapoints": batch}, Role.OPERATOR)).status == 201


@alone
async def test_thirty_thousand_readings_of_several_events_in_order(server: Server) -> None:
    await fill(server, 30_000)
    text = await exported(server, await shown(server, EXPERIMENTS, server.plant.experiment))
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [float(row[3]) for row in rows] == [float(number) for number in range(30_000)]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert len({row[5] for row in rows}) == 30_000


@alone
async def test_who_leaves_in_the_middle_does_no_harm(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    await fill(server, 10_000)
    path = f"{EXPERIMENTS.path}/{server.plant.experiment}/export/csv"
    for _ in range(3):
        async with server.client.get(server.address + path, headers=server.headers()) as response:
            assert (await response.content.readline()).decode() == HEADER
            response.close()
    assert (
        len((await exported(server, await shown(server, EXPERIMENTS, server.plant.experiment))).splitlines()) == 10_001
    )
    assert (await rest(server, "GET", "/health")).body["status"] == "ok"
    assert [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


@alone
async def test_an_error_before_the_first_line_is_an_answer_like_any_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_arguments: object, **_options: object) -> list[Datapoint]:
        raise StorageUnavailable("the database did not answer in time")

    monkeypatch.setattr(server.parts.storage, "history", away)
    path = f"{EXPERIMENTS.path}/{server.plant.experiment}/export/csv"
    reply = await call(server, "GET", path, server.plant.tokens[Role.VIEWER])
    assert (reply.status, reply.detail) == (503, "Storage unavailable, try again in a moment")
    assert "Content-Disposition" not in reply.headers


@alone
async def test_a_file_that_breaks_off_does_not_look_whole(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(server, 10_000)
    read, calls = server.parts.storage.history, 0

    async def away(*arguments: Any, **options: Any) -> list[Datapoint]:
        nonlocal calls
        calls += 1
        if calls > 6:
            raise StorageUnavailable("away")
        return await read(*arguments, **options)

    monkeypatch.setattr(server.parts.storage, "history", away)
    path = f"{EXPERIMENTS.path}/{server.plant.experiment}/export/csv"
    with pytest.raises(Exception, match="payload"):
        await rest(server, "GET", path)
