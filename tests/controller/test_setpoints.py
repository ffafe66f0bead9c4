"""Setpoints from a server to a device, in time or not at all; and what the server is told of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.controller.conftest import agent_for, scene, until
from tests.controller.devices import Bench
from tests.controller.fakes import FakeClock
from tests.controller.pretender import Pretender, instance, pretending
from tests.handlers.rest import API, rest
from tests.plant import Server
from webmacs.controller.clocks import Clocks
from webmacs.controller.credentials import Credentials
from webmacs.controller.instances import State, enabled_instances
from webmacs.controller.outputs import Key, Outputs, Policy
from webmacs.controller.setpoints import Setpoints
from webmacs.controller.wire import Setpoint, setpoint
from webmacs.model import Role
from webmacs.plugins.base import Health

HEATER = "one.heater"


@pytest.fixture
def pretender() -> Pretender:
    pretender = Pretender()
    pretender.plugins = [instance()]
    return pretender


async def test_a_setpoint_reaches_the_device_and_everybody_sees_what_it_has(
    tmp_path: Path, bench: Bench, pretender: Pretender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.read_back = lambda value: value + 0.25
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 40.0)
        await until(lambda: "heater=40" in bench.log)
        await until(lambda: pretender.reports == [(HEATER, 40.25)])
    assert "output set: instance='Rig one' channel='heater' value=40.0 reason='setpoint' setpoint_us=" in caplog.text
    assert "read_back=40.25" in caplog.text
    assert bench.log == ["open", "heater=40", "heater=0", "close"]
    assert pretender.reports[1:] == [(HEATER, 0.25)]  # also what it was left with


@pytest.mark.parametrize(("age_s", "log"), [(30.0, ["open", "heater=40"]), (61.0, ["open"])])
async def test_what_was_given_before_the_controller_came_is_set_only_while_it_lives(
    tmp_path: Path, bench: Bench, pretender: Pretender, age_s: float, log: list[str]
) -> None:
    pretender.setpoints = [pretender.setpoint(HEATER, 40.0, age_s), pretender.setpoint("somebody.else", 1.0)]
    async with scene(pretender, tmp_path, bench):
        await until(lambda: len(pretender.values) >= 30)
        assert bench.log == log


async def test_the_age_of_a_setpoint_is_counted_by_the_servers_clock(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    pretender.ahead_s = -86_400.0  # the clock here is a day ahead of it
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 40.0)
        await until(lambda: "heater=40" in bench.log)


async def test_after_a_reconnection_the_same_setpoint_is_not_set_again(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: pretender.values)
        pretender.setpoints = [pretender.setpoint(HEATER, 40.0)]
        await pretender.say({"type": "setpoints", "setpoints": pretender.setpoints})
        await until(lambda: "heater=40" in bench.log)
        pretender.cut()
        await until(lambda: pretender.connections == 2 and agent.connected_at is not None)
        before = len(pretender.values)
        await until(lambda: len(pretender.values) >= before + 15)
        assert bench.log == ["open", "heater=40"]


async def test_without_a_server_outputs_become_safe(tmp_path: Path, bench: Bench, pretender: Pretender) -> None:
    async with pretending(pretender) as address, agent_for(address, tmp_path, bench, safe_after_s=0.3) as agent:
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 40.0)
        await pretender.give("one.valve", 10.0)
        await until(lambda: {"heater=40", "valve=10"} <= set(bench.log))
        pretender.features, pretender.status = None, 503
        agent._transport._server.address = "http://127.0.0.1:9"
        pretender.cut()
        await until(lambda: bench.log[-1] == "heater=0")  # the valve has no safe value
        assert bench.log.count("heater=0") == 1


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_where_nobody_pushes_setpoints_they_are_asked_for(
    tmp_path: Path, bench: Bench, pretender: Pretender, transport: str
) -> None:
    pretender.features = None
    async with scene(pretender, tmp_path, bench, transport=transport):
        await until(lambda: pretender.values)
        pretender.latest = [pretender.setpoint(HEATER, 40.0), {"nonsense": True}]
        await until(lambda: "heater=40" in bench.log)
        await until(lambda: pretender.reports)
        (report,) = [
            reading
            for batch in pretender.batches
            for reading in batch["datapoints"]
            if reading["event_public_id"] == HEATER
        ]
        pretender.latest = [report]  # our own reading is the newest now
        before = len(pretender.values)
        await until(lambda: len(pretender.values) >= before + 30)
        assert bench.log == ["open", "heater=40"]


async def test_a_real_server_is_asked(server: Server, tmp_path: Path, bench: Bench) -> None:
    """One that pushes nothing yet, on each storage."""

    async def post(path: str, body: dict[str, Any]) -> None:
        reply = await rest(server, "POST", f"{API}{path}", body=body)
        assert reply.status == 201, reply.body

    channel = {"channel_id": "heater", "channel_name": "Heater", "direction": "output", "unit": "%"}
    event = server.plant.unlinked
    await post(f"/plugins/{server.plant.plugin}/channels", {**channel, "event_public_id": event})
    credentials = Credentials(token=server.plant.tokens[Role.ADMIN])
    async with agent_for(server.address, tmp_path / "spool", bench, credentials=credentials) as agent:
        await until(lambda: agent.outbox.totals.stored >= 3)
        await post("/datapoints", {"event_public_id": event, "value": 55.0})
        await until(lambda: "heater=55" in bench.log)
        stored = agent.outbox.totals.stored
        await until(lambda: agent.outbox.totals.stored >= stored + 30)
    assert bench.log.count("heater=55") == 1
    assert bench.log[-2:] == ["heater=0", "close"]


async def test_what_a_device_refuses_is_said_and_tried_until_it_is_too_old(
    tmp_path: Path, bench: Bench, pretender: Pretender, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 140.0)
        (worker,) = agent.fleet.workers
        await until(lambda: worker.state is State.ERROR)
        assert worker.message.startswith("heater could not be set to 140: channel 'heater' cannot be set to 140.0")
        await pretender.give(HEATER, 40.0)
        await until(lambda: worker.state is State.CONNECTED)
    assert "output failed: instance='Rig one' channel='heater' value=140.0 reason='setpoint'" in caplog.text


async def test_an_output_that_has_something_else_than_it_was_set_to_is_an_error(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    bench.read_back = lambda value: value / 2
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 40.0)
        (worker,) = agent.fleet.workers
        await until(lambda: worker.message == "heater was set to 40, and the device has 20")
        bench.read_back = lambda value: None
        await pretender.give(HEATER, 41.0)
        await until(lambda: worker.state is State.CONNECTED)


async def test_a_device_that_says_it_is_unwell_is_believed(tmp_path: Path, bench: Bench, pretender: Pretender) -> None:
    async with scene(pretender, tmp_path, bench) as agent:
        await until(lambda: pretender.values)
        (worker,) = agent.fleet.workers
        bench.health = Health(ok=False, message="the filter is full")
        await until(lambda: worker.message == "the filter is full")
        bench.hangs.add("health")
        await until(lambda: worker.message.startswith("the device does not answer"))
        bench.hangs.clear()
        bench.health = Health(ok=True)
        await until(lambda: worker.state is State.CONNECTED)


async def test_outputs_are_safe_before_a_plugin_that_breaks_is_opened_again(
    tmp_path: Path, bench: Bench, pretender: Pretender
) -> None:
    async with scene(pretender, tmp_path, bench):
        await until(lambda: pretender.values)
        await pretender.give(HEATER, 40.0)
        await until(lambda: "heater=40" in bench.log)
        bench.fails["read"] = ZeroDivisionError("a bug")
        await until(lambda: bench.log[2:4] == ["heater=0", "close"])
        del bench.fails["read"]
        await until(lambda: bench.log[4:6] == ["open", "heater=40"])  # which still lives


# -- by itself ---------------------------------------------------------------------------------------------------------


async def test_what_we_told_ourselves_is_no_setpoint() -> None:
    woken: list[str] = []
    clock = FakeClock()
    outputs = Outputs(Policy(60.0, 0.0, 10.0), 0.0)
    setpoints = Setpoints(outputs, Clocks(clock, 2.0), woken.append)
    setpoints.follow(enabled_instances([instance()]))
    outputs.opened(Key("one", "heater"), 0.0, 0.0)
    now_us = clock.wall_ns() // 1000
    setpoints.reported(HEATER, now_us)
    setpoints.given([Setpoint(HEATER, 40.0, now_us)])
    assert woken == []
    setpoints.given([Setpoint(HEATER, 40.0, now_us + 1), Setpoint("unknown", 1.0, now_us)])
    assert woken == ["one"]
    setpoints.follow([])
    assert not setpoints.events


@pytest.mark.parametrize(
    "given",
    [
        {"event_public_id": "e", "value": 1.0},
        {"event_public_id": "e", "value": "x", "timestamp": "2026-01-01T00:00:00+00:00"},
        {"event_public_id": "e", "value": float("nan"), "timestamp": "2026-01-01T00:00:00+00:00"},
        {"event_public_id": "e", "value": 1.0, "timestamp": "2026-01-01T00:00:00"},
        {"event_public_id": "e", "value": 1.0, "timestamp": None},
    ],
)
def test_what_is_no_setpoint_is_none(given: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        setpoint(given)
