"""What a controller is told that asks for it, `agent=1`: and that no other one is told anything.

`docs/protocol.md`, "Opt-in: to be told".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse

from tests.handlers.conftest import Serve
from tests.handlers.rest import API, PLUGINS, RULES, changed, made, rest
from tests.plant import Server, running_server
from tests.test_hub import DEADLINE_S, MARK, Peer
from tests.virtual_time import LoopClock, virtual_time
from tests.wire import (
    STREAM,
    TELEMETRY,
    acknowledged,
    agent,
    call,
    connect,
    ending,
    heard,
    points,
    refusal,
)
from webmacs import __version__
from webmacs.catalog import Catalog, Snapshot
from webmacs.config import Settings
from webmacs.given import Given, NewestGiven
from webmacs.handlers.agents import Agents
from webmacs.hub import CONTROLLER, SWEEP_S, TOO_SLOW, TRY_AGAIN_LATER, Hub
from webmacs.metrics import Metrics
from webmacs.model import Channel, Direction, Event, Plugin, Role, Scope, Write
from webmacs.testing import START_US, ManualClock

DATAPOINTS, BATCH, TOKENS = f"{API}/datapoints", f"{API}/datapoints/batch", f"{API}/tokens"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"


async def reactor(server: Server, **more: object) -> tuple[dict[str, Any], dict[str, str]]:
    """An instance with seven inputs and two outputs, and its events by channel."""
    instance = await made(server, PLUGINS, plugin_id="simulated", **more)
    return instance, {one["channel_id"]: one["event_public_id"] for one in instance["channel_mappings"]}


async def give(server: Server, event: str, value: float, **more: object) -> None:
    """A setpoint, stored."""
    reply = await rest(server, "POST", DATAPOINTS, {"event_public_id": event, "value": value, **more}, Role.OPERATOR)
    assert reply.status == 201, reply


async def token(server: Server, scope: Scope, **body: object) -> str:
    """The text of a new token."""
    owner = await server.newcomer(Role.OPERATOR)
    reply = await call(server, "POST", TOKENS, owner.jwt, json={"name": "rig", "scope": scope, **body})
    assert reply.status == 201, reply
    text: str = reply.body["token"]
    return text


async def greeted(server: Server, text: str | None = None) -> tuple[ClientWebSocketResponse, dict[str, float]]:
    """An agent's socket after its hello, and the setpoints that it was told at once."""
    socket = await agent(server, text or server.plant.tokens[Role.OPERATOR])
    assert (await heard(socket))["type"] == "hello"
    return socket, await setpoints(socket)


async def setpoints(socket: ClientWebSocketResponse) -> dict[str, float]:
    """The next message, which is of setpoints."""
    message = await heard(socket)
    assert (message["type"], set(message)) == ("setpoints", {"type", "setpoints"}), message
    for one in message["setpoints"]:
        assert set(one) == {"event_public_id", "value", "timestamp"}
        assert re.fullmatch(MOMENT, one["timestamp"])
    return {one["event_public_id"]: one["value"] for one in message["setpoints"]}


async def silent(socket: ClientWebSocketResponse, server: Server) -> None:
    """Nothing has been sent to it: the answer to a batch would come after that."""
    batch_id = f"{id(socket)}-{server.parts.clock.now_us()}"
    assert (await acknowledged(socket, {"datapoints": [server.reading()], "batch_id": batch_id}))["type"] == "ack"


# -- hello -----------------------------------------------------------------------------------------------------------


async def test_hello_comes_first_and_then_the_setpoints_also_if_there_are_none(serve: Serve) -> None:
    server = await serve(
        clock=ManualClock(START_US + 5), pipeline={"max_batch_size": 7}, server={"max_message_bytes": 9000}
    )
    socket = await agent(server, server.plant.tokens[Role.OPERATOR])
    hello = await heard(socket)
    assert re.fullmatch(MOMENT, hello["time"])
    assert hello == {
        "type": "hello",
        "server": "webmacs",
        "version": __version__,
        "time": hello["time"],
        "max_batch_size": 7,
        "max_message_bytes": 9000,
        "features": ["ack", "setpoints", "status", "changes"],
    }
    assert hello["time"].endswith(".000005+00:00")
    assert await heard(socket) == {"type": "setpoints", "setpoints": []}
    await silent(socket, server)


@pytest.mark.parametrize("query", [{}, {"agent": "0"}, {"agent": ""}, {"agent": "true"}, {"agents": "1"}])
async def test_who_does_not_ask_is_never_told_anything(server: Server, query: Mapping[str, str]) -> None:
    instance, events = await reactor(server)
    await give(server, events["heater_power"], 1.0)
    socket = await server.client.ws_connect(
        f"{server.address}{TELEMETRY}", params={"token": server.plant.tokens[Role.OPERATOR], **query}
    )
    await give(server, events["heater_power"], 2.0)
    await changed(server, PLUGINS, instance["public_id"], {"enabled": False})
    await silent(socket, server)
    answer = await acknowledged(socket, '{"type":"status","instances":[]}')
    assert answer == {"type": "error", "message": "No valid datapoints in batch"}


async def test_to_ask_opens_no_door(server: Server) -> None:
    for text, reason in (("wm_nobody", "Invalid or expired token"), (server.plant.tokens[Role.VIEWER], "Insufficient")):
        code, said = await refusal(server, f"{TELEMETRY}?agent=1", text)
        assert (code, reason in said) == (1008, True)
    stream = await connect(server, f"{STREAM}?agent=1", server.plant.tokens[Role.OPERATOR])
    assert (await heard(stream))["type"] == "connected"


async def test_batches_are_taken_and_answered_as_ever(server: Server) -> None:
    stream = await server.stream()
    socket, _ = await greeted(server)
    await socket.send_json({"datapoints": [server.reading(23.5)]})
    assert [point["value"] for point in await points(stream)] == [23.5]
    batch = {"batch_id": "one", "datapoints": [server.reading(1.0), {"event_public_id": '"status"', "value": 1}]}
    assert (await acknowledged(socket, batch))["unlinked"] == 1
    for text, why in (("{", "Invalid JSON"), ("[]", "Invalid JSON"), ("{}", "No valid datapoints in batch")):
        assert await acknowledged(socket, text) == {"type": "error", "message": why}


# -- setpoints -------------------------------------------------------------------------------------------------------


async def test_a_setpoint_is_told_when_it_is_stored_with_the_time_at_which_it_was_given(serve: Serve) -> None:
    clock = ManualClock(START_US)
    server = await serve(clock=clock)
    _, events = await reactor(server)
    socket, known = await greeted(server)
    assert known == {}
    clock.advance(1.5)
    heater = events["heater_power"]
    await give(server, heater, 40.0)
    message = await heard(socket)
    moment = message["setpoints"][0]["timestamp"]
    assert message == {
        "type": "setpoints",
        "setpoints": [{"event_public_id": heater, "value": 40.0, "timestamp": moment}],
    }
    latest = (await rest(server, "GET", f"{DATAPOINTS}/latest")).body
    assert [point["timestamp"] for point in latest] == [moment.replace("+00:00", "Z")]
    clock.advance(5)
    other = await agent(server, server.plant.tokens[Role.OPERATOR])
    assert (await heard(other))["type"] == "hello"
    assert await heard(other) == message  # as old as it is
    batch = {
        "datapoints": [
            {"event_public_id": events[name], "value": value}
            for name, value in (("heater_power", 1), ("valve_position", 2), ("humidity", 3), ("heater_power", 4))
        ]
    }
    assert (await rest(server, "POST", BATCH, batch, Role.OPERATOR)).status == 201
    for one in (socket, other):
        assert await setpoints(one) == {heater: 4.0, events["valve_position"]: 2.0}


async def test_what_is_measured_is_told_to_nobody(server: Server) -> None:
    _, events = await reactor(server)
    heater = events["heater_power"]
    socket, _ = await greeted(server)
    batch = {"datapoints": [{"event_public_id": heater, "value": 1.0}], "batch_id": "by socket"}
    assert (await acknowledged(socket, batch))["accepted"] == 1
    await give(server, events["humidity"], 2.0)
    await give(server, heater, 3.0, timestamp="2026-01-15T14:30:00Z")
    sending = await token(server, Scope.INGEST)
    reply = await call(server, "POST", DATAPOINTS, sending, json={"event_public_id": heater, "value": 4.0})
    assert reply.status == 201
    await silent(socket, server)
    assert (await greeted(server))[1] == {}


async def test_who_gives_a_setpoint_that_is_refused_gives_none(server: Server) -> None:
    instance, events = await reactor(server)
    socket, _ = await greeted(server)
    body = {"event_public_id": events["heater_power"], "value": 1.0}
    assert (await rest(server, "POST", DATAPOINTS, body, Role.VIEWER)).status == 403
    await changed(server, PLUGINS, instance["public_id"], {"enabled": False})
    assert await heard(socket) == {"type": "changed"}
    assert (await rest(server, "POST", DATAPOINTS, body, Role.OPERATOR)).status == 409
    await silent(socket, server)


async def test_after_a_restart_setpoints_are_as_old_as_they_are(serve: Serve) -> None:
    """Whatever the controller has measured since: a value that it reads back is no new setpoint."""
    clock = ManualClock()
    server = await serve(clock=clock)
    _, events = await reactor(server)
    heater, valve = events["heater_power"], events["valve_position"]
    await give(server, heater, 40.0)
    await give(server, valve, 10.0)
    socket = await agent(server, server.plant.tokens[Role.OPERATOR])
    assert (await heard(socket))["type"] == "hello"
    before = await heard(socket)
    clock.advance(100)
    batch = {"datapoints": [{"event_public_id": heater, "value": 39.9}], "batch_id": "read back"}
    assert (await acknowledged(socket, batch))["accepted"] == 1
    await give(server, valve, 11.0, timestamp="2026-01-15T14:30:00Z")
    await server.stop()
    async with running_server(server.settings, server.plant, clock=clock) as again:
        socket = await agent(again, again.plant.tokens[Role.OPERATOR])
        assert (await heard(socket))["type"] == "hello"
        after = await heard(socket)
        by_event = {one["event_public_id"]: one for one in after["setpoints"]}
        assert by_event == {one["event_public_id"]: one for one in before["setpoints"]}
        assert {event: one["value"] for event, one in by_event.items()} == {heater: 40.0, valve: 10.0}


async def test_after_a_restart_those_that_are_too_old_are_forgotten(serve: Serve) -> None:
    clock = ManualClock()
    server = await serve(clock=clock, plugins={"setpoint_memory_s": 60})
    _, events = await reactor(server)
    await give(server, events["heater_power"], 40.0)
    clock.advance(30)
    await give(server, events["valve_position"], 10.0)
    clock.advance(31)
    assert len((await greeted(server))[1]) == 2
    await server.stop()
    async with running_server(server.settings, server.plant, clock=clock) as again:
        assert (await greeted(again))[1] == {events["valve_position"]: 10.0}


# -- who may know ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("S3")
async def test_a_token_that_is_bound_to_an_instance_hears_of_its_outputs_alone(server: Server) -> None:
    first, second = [await reactor(server) for _ in range(2)]
    for (_, events), value in ((first, 1.0), (second, 2.0)):
        await give(server, events["heater_power"], value)
    text = await token(server, Scope.INGEST, plugin_public_id=first[0]["public_id"])
    socket, known = await greeted(server, text)
    assert known == {first[1]["heater_power"]: 1.0}
    batch = {
        "datapoints": [
            {"event_public_id": events["heater_power"], "value": value}
            for (_, events), value in ((second, 3.0), (first, 4.0))
        ]
    }
    await give(server, second[1]["heater_power"], 5.0)
    assert (await rest(server, "POST", BATCH, batch, Role.OPERATOR)).status == 201
    assert await setpoints(socket) == {first[1]["heater_power"]: 4.0}
    _, known = await greeted(server)
    assert known == {first[1]["heater_power"]: 4.0, second[1]["heater_power"]: 3.0}


@pytest.mark.promise("S3")
async def test_who_may_only_send_hears_of_no_setpoint(server: Server) -> None:
    _, events = await reactor(server)
    await give(server, events["heater_power"], 1.0)
    socket, known = await greeted(server, await token(server, Scope.INGEST))
    assert known == {}
    await give(server, events["heater_power"], 2.0)
    await silent(socket, server)


async def channel(server: Server, instance: Mapping[str, Any], channel_id: str, event: str | None) -> None:
    """Link a channel to another event, or to none."""
    [found] = [one for one in instance["channel_mappings"] if one["channel_id"] == channel_id]
    path = f"{PLUGINS.path}/{instance['public_id']}/channels/{found['public_id']}"
    assert (await rest(server, "PUT", path, {"event_public_id": event})).status == 200


@pytest.mark.promise("S3")
async def test_what_one_may_hear_of_follows_the_configuration(serve: Serve) -> None:
    server = await serve(plugins={"changed_interval_s": 0.001})
    instance, events = await reactor(server)
    heater, valve = events["heater_power"], events["valve_position"]
    await give(server, heater, 1.0)
    text = await token(server, Scope.INGEST, plugin_public_id=instance["public_id"])
    agents = [await greeted(server, text), await greeted(server)]
    assert [known for _, known in agents] == [{heater: 1.0}] * 2

    async def told(*messages: object) -> None:
        for socket, _ in agents:
            assert [await heard(socket) for _ in messages] == list(messages)

    other, _ = await reactor(server)  # something else follows the event, so that one may still give it a value
    await told({"type": "changed"})
    await channel(server, instance, "heater_power", None)
    await told({"type": "changed"})
    await channel(server, other, "humidity", heater)
    await told({"type": "changed"})
    await give(server, heater, 2.0)  # which is measured now, by that other instance
    await give(server, valve, 3.0)
    for socket, _ in agents:
        assert await setpoints(socket) == {valve: 3.0}
    await channel(server, instance, "heater_power", heater)
    for socket, _ in agents:
        assert await heard(socket) == {"type": "changed"}
        assert await setpoints(socket) == {heater: 1.0}
    await changed(server, PLUGINS, instance["public_id"], {"enabled": False})
    await told({"type": "changed"})
    await give(server, heater, 4.0)
    await changed(server, PLUGINS, instance["public_id"], {"enabled": True})
    for socket, _ in agents:
        assert await heard(socket) == {"type": "changed"}
        assert await setpoints(socket) == {heater: 1.0, valve: 3.0}


@pytest.mark.promise("S3")
async def test_a_token_that_is_bound_to_another_instance_now_hears_of_nothing_more(server: Server) -> None:
    first, second = [await reactor(server) for _ in range(2)]
    text = await token(server, Scope.INGEST, plugin_public_id=first[0]["public_id"])
    socket, _ = await greeted(server, text)
    bound_elsewhere = "UPDATE api_tokens SET plugin_id = (SELECT id FROM plugins WHERE public_id = :plugin)"
    row = {"plugin": second[0]["public_id"]}
    await server.parts.storage.write(Write(f"{bound_elsewhere} WHERE scope = 'ingest'", (row,)))
    await server.parts.catalog.reload()
    await give(server, first[1]["heater_power"], 1.0)
    await give(server, second[1]["heater_power"], 2.0)
    assert await ending(socket) == (1008, "Token has been revoked")
    _, known = await greeted(server, text)
    assert known == {second[1]["heater_power"]: 2.0}


# -- changes ---------------------------------------------------------------------------------------------------------


async def test_a_change_of_what_a_controller_fetches_is_told_and_no_other(serve: Serve) -> None:
    server = await serve(plugins={"changed_interval_s": 0.001})
    socket, _ = await greeted(server)
    instance, events = await reactor(server)
    assert await heard(socket) == {"type": "changed"}
    for path, body in (
        (f"{PLUGINS.path}/{instance['public_id']}", {"config_json": '{"speed": 2}'}),
        (f"{API}/events/{events['humidity']}", {"max_value": 50}),
    ):
        assert (await rest(server, "PUT", path, body)).status == 200
        assert await heard(socket) == {"type": "changed"}
    await channel(server, instance, "humidity", None)
    assert await heard(socket) == {"type": "changed"}
    await server.newcomer()
    await made(server, RULES)
    await silent(socket, server)
    assert (await rest(server, "DELETE", f"{PLUGINS.path}/{instance['public_id']}")).status == 200
    assert await heard(socket) == {"type": "changed"}


RIG = Plugin(1, "rig", "test", "Rig", False, True, None, None, 0)
EVENT = Event(1, "a", "A", "V", "actuator", 0.0, 1.0)
OUTPUT = Channel(1, "channel", 1, "out", "Out", Direction.OUTPUT, "V", 1, 0)
PLANT = Snapshot(events={"a": EVENT}, plugins=(RIG,), channels=(OUTPUT,))


class House:
    """Agents with one that is connected, in virtual time; the plant has one output, which follows event `a`."""

    def __init__(self) -> None:
        async def fetch() -> Snapshot:
            return self.snapshot

        self.hub, self.given, self.snapshot = Hub(DEADLINE_S, Metrics()), NewestGiven(), PLANT
        self.catalog = Catalog(fetch)
        self.catalog.current = PLANT
        self.agents = Agents(self.hub, self.catalog, self.given, LoopClock(), Settings())
        self.given.watch(self.agents.tell)
        self.catalog.watch(self.agents.follow)
        self.peer = Peer(self.hub, group=CONTROLLER)
        self.agents.welcome(self.peer.client)
        self.agents.follow(PLANT)
        self.peer.written = b""

    async def know(self, **changes: Any) -> None:
        """The configuration is another one."""
        self.snapshot = replace(self.snapshot, **changes)
        await self.catalog.reload()

    def give(self, value: float) -> None:
        self.given.take({"a": Given("a", value, 0)})

    @property
    def told(self) -> list[float | str]:
        """Values of setpoints, and the types of other messages."""
        return [
            one
            for message in self.peer.messages
            for one in ([point["value"] for point in message.get("setpoints", ())] or [message["type"]])
        ]


@virtual_time
async def test_many_changes_are_told_once_at_the_beginning_and_once_at_the_end() -> None:
    house = House()
    await asyncio.sleep(1)
    house.peer.written = b""
    for number in range(10):
        await house.know(plugins=(replace(RIG, instance_name=f"Rig {number}"),))
        await asyncio.sleep(0.02)
    assert house.told == ["changed"]
    await asyncio.sleep(0.5)
    assert house.told == ["changed", "changed"]
    await asyncio.sleep(10)
    assert house.told == ["changed", "changed"]
    await house.know(plugins=(RIG,))
    assert house.told == ["changed"] * 3


@virtual_time
async def test_for_a_controller_that_reads_slowly_the_newest_setpoint_waits_and_no_more() -> None:
    house = House()
    house.peer.unread = MARK + 1
    for number in range(1000):
        house.give(float(number))
    assert house.told == []
    house.peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    assert house.told == [999.0]


@virtual_time
async def test_a_controller_that_takes_nothing_is_cut() -> None:
    house = House()
    house.peer.unread = MARK + 1
    house.give(1.0)
    await asyncio.sleep(DEADLINE_S + 2 * SWEEP_S)
    assert house.peer.closed == [(TRY_AGAIN_LATER, TOO_SLOW)]


@pytest.mark.promise("S3")
@virtual_time
async def test_a_setpoint_that_waits_is_not_told_to_who_may_not_know_it_any_more() -> None:
    less: list[dict[str, Any]] = [
        {"plugins": (replace(RIG, enabled=False),)},
        {"channels": ()},
        {"channels": (replace(OUTPUT, event_id=None),)},
        {"channels": (replace(OUTPUT, direction=Direction.INPUT),)},
        {"events": {}},
    ]
    for change in less:
        house = House()
        await asyncio.sleep(1)
        house.peer.unread, house.peer.written = MARK + 1, b""
        house.give(1.0)
        await house.know(**change)
        house.peer.read()
        await asyncio.sleep(2 * SWEEP_S)
        assert house.told == ["changed"], change
        house.give(2.0)
        assert house.told == ["changed"], change
