"""This machine as a source: what it has, and that each batch gets through once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import until
from tests.plant import Server
from webmacs.cli import machine
from webmacs.cli.machine import Channel, Speed
from webmacs.model import Role

Answer = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


def source(*values: float, channel_id: str = "in0") -> Channel:
    """A channel that reads those values in turn, then the last one."""
    left = list(values)
    return Channel(channel_id, "In", "V", 0.0, 1.0, lambda: left.pop(0) if len(left) > 1 else left[0])


def broken(channel_id: str) -> Channel:
    def read() -> float:
        raise OSError("gone")

    return Channel(channel_id, "Broken", "V", 0.0, 1.0, read)


# -- what there is ------------------------------------------------------------------------------------------------


def test_every_machine_has_the_common_channels() -> None:
    found = {channel.id: channel for channel in machine.channels()}
    assert {"cpu_percent", "memory_percent", "memory_used_gb", "disk_percent", "disk_used_gb", "load_avg_1m"} <= set(
        found
    )
    assert found["cpu_percent"].name == "CPU Usage"
    assert found["memory_percent"].unit == "%"
    assert 0 < found["memory_percent"].read() < 100
    assert found["disk_used_gb"].read() > 0


def test_a_channel_says_what_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"coretemp": [SimpleNamespace(current=48.5)]})
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(percent=80.0))
    found = {channel.id: channel for channel in machine.channels()}
    assert found["cpu_temp"].read() == 48.5
    assert found["battery_percent"].read() == 80.0


def test_what_the_machine_has_not_is_no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_temperatures")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=float("nan")))
    found = {channel.id for channel in machine.channels()}
    assert not found & {"cpu_temp", "battery_percent", "disk_read", "disk_written", "cpu_mhz"}
    assert "cpu_percent" in found


def test_sensors_that_are_not_the_processors_are_no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"nvme": [SimpleNamespace(current=30.0)]})
    assert "cpu_temp" not in {channel.id for channel in machine.channels()}


def test_a_speed_is_in_kilobytes_a_second() -> None:
    times, counts = iter([0.0, 2.0, 3.0]), iter([1_000.0, 9_000.0, 10_000.0])
    speed = Speed(lambda: next(counts), lambda: next(times))
    assert [speed(), speed()] == [4.0, 1.0]


@pytest.mark.parametrize(("later_s", "count"), [(1.0, 10.0), (0.0, 2_000.0)])
def test_a_count_that_began_anew_and_a_clock_that_stands_are_no_speed(later_s: float, count: float) -> None:
    times, counts = iter([0.0, later_s]), iter([1_000.0, count])
    assert Speed(lambda: next(counts), lambda: next(times))() == 0.0


# -- how it gets there --------------------------------------------------------------------------------------------


class Receiver:
    """A telemetry socket whose answers a test decides; the last one goes on."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.batches: list[dict[str, Any]] = []
        self.credentials: list[str] = []

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.credentials.append(request.headers["Authorization"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            batch = json.loads(message.data)
            self.batches.append(batch)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            await answer(socket, batch)
        return socket

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The first batches, once there are so many."""
        await until(lambda: len(self.batches) >= count)
        return self.batches[:count]


async def acknowledge(socket: web.WebSocketResponse, batch: dict[str, Any]) -> None:
    await socket.send_json({"type": "ack", "batch_id": batch["batch_id"], "accepted": len(batch["datapoints"])})


async def hang_up(socket: web.WebSocketResponse, _batch: dict[str, Any]) -> None:
    await socket.close()


async def refuse(socket: web.WebSocketResponse, batch: dict[str, Any]) -> None:
    await socket.send_json({"type": "error", "message": "no", "batch_id": batch["batch_id"], "retry": False})


async def put_off(socket: web.WebSocketResponse, batch: dict[str, Any]) -> None:
    await socket.send_json({"type": "error", "message": "later", "batch_id": batch["batch_id"], "retry": True})


async def expel(socket: web.WebSocketResponse, _batch: dict[str, Any]) -> None:
    await socket.close(code=1008, message=b"Token has been revoked")


@asynccontextmanager
async def sending(receiver: Receiver, *sources: Channel, interval_s: float = 0.01) -> AsyncIterator[asyncio.Task[None]]:
    app = web.Application()
    app.router.add_get("/ws/controller/telemetry", receiver.handle)
    async with TestServer(app) as server:
        address = str(server.make_url("")).rstrip("/")
        events = {channel.id: f"event of {channel.id}" for channel in sources if channel.id != "unlinked"}
        task = asyncio.create_task(machine.stream(address, "wm_token", sources, events, interval_s))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_batch_holds_a_reading_of_each_linked_channel() -> None:
    receiver = Receiver(acknowledge)
    async with sending(receiver, source(1.23456), source(2.0, channel_id="in1"), source(3.0, channel_id="unlinked")):
        (batch,) = await receiver.until(1)
    found = [(item["event_public_id"], item["value"]) for item in batch["datapoints"]]
    assert found == [("event of in0", 1.235), ("event of in1", 2.0)]
    assert all(item["timestamp"].endswith("+00:00") for item in batch["datapoints"])
    assert receiver.credentials == ["Bearer wm_token"]


async def test_each_batch_has_an_identity_of_its_own() -> None:
    receiver = Receiver(acknowledge)
    async with sending(receiver, source(1.0)):
        batches = await receiver.until(3)
    assert len({batch["batch_id"] for batch in batches}) == 3
    assert len(receiver.credentials) == 1


async def test_answers_to_others_are_passed_over() -> None:
    async def chatter(socket: web.WebSocketResponse, batch: dict[str, Any]) -> None:
        await acknowledge(socket, {**batch, "batch_id": "another"})
        await acknowledge(socket, batch)

    receiver = Receiver(chatter)
    async with sending(receiver, source(1.0)):
        batches = await receiver.until(3)
    assert len({batch["batch_id"] for batch in batches}) == 3


async def test_batches_come_on_a_steady_beat() -> None:
    receiver = Receiver(acknowledge)
    loop = asyncio.get_running_loop()
    async with sending(receiver, source(1.0), interval_s=0.05):
        await receiver.until(1)
        began = loop.time()
        await receiver.until(7)
    assert 0.25 < loop.time() - began < 2


@pytest.mark.parametrize("answer", [hang_up, put_off])
async def test_a_batch_that_was_not_acknowledged_is_sent_again(answer: Answer) -> None:
    receiver = Receiver(answer, acknowledge)
    async with sending(receiver, source(1.0, 2.0)):
        first, again, other = await receiver.until(3)
    assert again == first
    assert other["batch_id"] != first["batch_id"]
    assert len(receiver.credentials) == 2


async def test_a_batch_that_is_refused_for_good_is_left_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(refuse, refuse, acknowledge, refuse, acknowledge)
    async with sending(receiver, source(1.0)):
        batches = await receiver.until(5)
    assert len({batch["batch_id"] for batch in batches}) == 5
    assert [record.getMessage() for record in caplog.records] == ["readings of this machine were refused: no"] * 2


async def test_a_token_that_is_not_good_any_more_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(expel)
    async with sending(receiver, source(1.0)) as task:
        await asyncio.wait_for(task, 10)
    assert "start again" in caplog.text


async def test_a_sensor_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(acknowledge)
    async with sending(receiver, broken("in0"), source(2.0, channel_id="in1")):
        (batch,) = await receiver.until(1)
    assert [item["event_public_id"] for item in batch["datapoints"]] == ["event of in1"]


async def test_a_server_that_is_away_is_waited_for(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "webmacs.cli.machine")
    receiver = Receiver(acknowledge)
    app = web.Application()
    app.router.add_get("/ws/controller/telemetry", receiver.handle)
    address = f"http://127.0.0.1:{port}"
    task = asyncio.create_task(machine.stream(address, "t", [source(1.0)], {"in0": "e"}, 0.01))
    try:
        await until(lambda: "no connection" in caplog.text)
        async with TestServer(app, port=port):
            await receiver.until(1)
            task.cancel()
            await asyncio.wait([task])
    finally:
        task.cancel()


async def test_the_readings_are_stored_by_a_real_server(server: Server) -> None:
    events = {"in0": server.plant.linked[0], "in1": server.plant.linked[1]}
    sources = [source(1.0, 2.0, 3.0), source(4.0, channel_id="in1")]
    stream = await server.stream()
    token = server.plant.tokens[Role.OPERATOR]
    task = asyncio.create_task(machine.stream(server.address, token, sources, events, 0.25))
    seen: set[float] = set()
    try:
        async with asyncio.timeout(10):
            while not {1.0, 2.0, 3.0, 4.0} <= seen:
                seen |= {datapoint["value"] for datapoint in (await stream.receive_json())["datapoints"]}
    finally:
        task.cancel()
        await asyncio.wait([task])
