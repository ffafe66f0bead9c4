"""`/ws/datapoints/stream`, sentence by sentence.

WebSocket API, "Datapoint Stream" and "Connection Manager"; protocol decisions, "`/ws/datapoints/stream`". What is no
ping, or not even a message, is in `test_bad_input.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
import websockets

from tests.handlers.conftest import Serve
from tests.outage import Outage
from tests.plant import Server, now_us
from tests.rawsocket import PING, PONG, RawSocket, frame
from tests.wire import STREAM, acknowledged, connect, heard, history, points, until
from webmacs import experiments
from webmacs.frames import Update
from webmacs.handlers.newest import EncodedNewest
from webmacs.hub import CONTROLLER, FRONTEND
from webmacs.model import Role, to_us
from webmacs.pipeline.broadcast import StreamEncoder
from webmacs.storage import plugins, records

CONNECTED = {"type": "connected", "message": "Subscribed to live datapoint stream."}
INTERVAL_S = 0.2


async def send(server: Server, *items: dict[str, Any]) -> None:
    """Send readings and wait until they are stored."""
    batch = {"datapoints": list(items), "batch_id": f"at {now_us()}"}
    socket = await server.telemetry()
    assert (await acknowledged(socket, batch))["accepted"] == len(items)
    await socket.close()


async def nothing_more(stream: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the answer to a ping is the next thing that is heard: answers and broadcasts come in order."""
    await stream.send_json({"type": "ping"})
    return bool(await heard(stream) == {"type": "pong"})


# -- connection confirmation, ping and pong --------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
async def test_the_first_message_is_the_confirmation_of_the_specification(server: Server, role: Role) -> None:
    socket = await connect(server, STREAM, server.plant.tokens[role])
    assert await heard(socket) == CONNECTED


async def test_a_ping_is_answered(server: Server) -> None:
    stream = await server.stream()
    for _ in range(3):
        await stream.send_json({"type": "ping"})
        assert await heard(stream) == {"type": "pong"}


async def test_a_ping_may_say_more(server: Server) -> None:
    stream = await server.stream()
    await stream.send_str('{"t": 1, "type": "ping", "more": [null]}')
    assert await heard(stream) == {"type": "pong"}


async def test_the_answer_to_the_upgrade_has_an_id_as_every_answer(server: Server) -> None:
    async with await RawSocket.connect(server.address) as socket:
        answer = await socket.upgrade(f"{STREAM}?token={server.plant.tokens[Role.VIEWER]}")
        assert (answer.status, len(answer.headers["x-request-id"])) == (101, 36)


async def test_other_types_are_ignored(server: Server) -> None:
    stream = await server.stream()
    for message in ({"type": "subscribe"}, {"type": None}, {"ping": 1}, {}, {"type": "connected"}):
        await stream.send_json(message)
    assert await nothing_more(stream)


async def test_a_reading_sent_to_the_stream_is_ignored(server: Server) -> None:
    stream = await server.stream(Role.ADMIN)
    await stream.send_json({"datapoints": [server.reading()]})
    assert await nothing_more(stream)
    assert await server.parts.storage.count() == 0


async def test_a_protocol_ping_is_answered_with_its_payload(server: Server) -> None:
    async with await RawSocket.open(server.address, STREAM, server.plant.tokens[Role.VIEWER]) as socket:
        assert await socket.message() == CONNECTED
        socket.write(frame(PING, b"still there?"))
        assert await socket.receive() == (PONG, b"still there?")


async def test_the_server_sends_protocol_pings(serve: Serve) -> None:
    server = await serve(server={"heartbeat_s": 0.1})
    async with await RawSocket.open(server.address, STREAM, server.plant.tokens[Role.VIEWER]) as socket:
        assert await socket.message() == CONNECTED
        for _ in range(3):
            assert await socket.receive() == (PING, b"")
            socket.write(frame(PONG))


async def test_a_peer_that_does_not_answer_them_is_dropped(serve: Serve) -> None:
    server = await serve(server={"heartbeat_s": 0.2})
    async with await RawSocket.open(server.address, STREAM, server.plant.tokens[Role.VIEWER]) as socket:
        assert await socket.message() == CONNECTED
        begin = asyncio.get_running_loop().time()
        assert await socket.receive() == (PING, b"")
        assert await socket.ended() == b""
        assert asyncio.get_running_loop().time() - begin < 1.5 * 0.2 + 0.2  # and a moment for the machine
    assert server.parts.hub.size(FRONTEND) == 0


async def test_the_websockets_library_is_understood(server: Server) -> None:
    address = f"{server.address.replace('http', 'ws')}{STREAM}?token={server.plant.tokens[Role.VIEWER]}"
    async with websockets.connect(address) as socket:
        assert json.loads(await socket.recv()) == CONNECTED
        await send(server, server.reading(23.5))
        assert json.loads(await socket.recv())["datapoints"][0]["value"] == 23.5
        await socket.send('{"type": "ping"}')
        assert json.loads(await socket.recv()) == {"type": "pong"}
    assert socket.close_code == 1000


# -- broadcast messages ----------------------------------------------------------------------------------------


async def test_a_broadcast_message_is_exactly_as_specified(server: Server) -> None:
    stream = await server.stream()
    await send(server, server.reading(23.5), server.reading(1013.2, event=1))
    message = await heard(stream)
    stored = {event: (await history(server, event))[0] for event in (0, 1)}
    assert message == {
        "type": "datapoints_batch",
        "datapoints": [
            {
                "value": value,
                "event_public_id": server.plant.linked[event],
                "timestamp": message["datapoints"][event]["timestamp"],
                "experiment_public_id": server.plant.experiment,
            }
            for event, value in ((0, 23.5), (1, 1013.2))
        ],
    }
    for event in (0, 1):
        text = message["datapoints"][event]["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text)
        assert to_us(datetime.fromisoformat(text)) == stored[event].time_us


async def test_without_an_experiment_its_id_is_null(server: Server) -> None:
    await experiments.stop(server.parts.storage, server.plant.experiment, now_us=now_us())
    await server.parts.catalog.reload()
    stream = await server.stream()
    await send(server, server.reading())
    (point,) = await points(stream)
    assert point["experiment_public_id"] is None


@pytest.mark.parametrize("value", [0.1, -0.0, 1e300, 5e-324, 1 / 3, 2.0**53 + 2, 1e22, 123456789.123456789])
async def test_values_are_numbers_as_stored(server: Server, value: float) -> None:
    stream = await server.stream()
    await send(server, server.reading(value))
    message = await stream.receive_str(timeout=5)
    assert f'"value":{value!r},' in message
    assert [datapoint.value for datapoint in await history(server)] == [value]


async def test_an_id_with_quotes_and_letters_of_all_kinds_arrives_as_it_is(server: Server) -> None:
    event = 'ü "quoted" \\ 🌡'
    await records.add_event(server.parts.storage, name=event, unit="V", public_id=event, now_us=now_us())
    await plugins.add_channel(
        server.parts.storage,
        plugin=server.plant.plugin,
        channel_id="odd",
        channel_name="odd",
        unit="V",
        event=event,
        now_us=now_us(),
    )
    await server.parts.catalog.reload()
    stream = await server.stream()
    await send(server, {"value": 1.0, "event_public_id": event})
    assert [point["event_public_id"] for point in await points(stream)] == [event]


async def test_only_accepted_readings_are_shown(server: Server) -> None:
    stream = await server.stream()
    unlinked = {"value": 4.0, "event_public_id": server.plant.unlinked}
    await (await server.telemetry()).send_json(
        {"datapoints": [server.reading("high"), server.reading(1.0), {"value": 2.0}, unlinked]}
    )
    assert [point["value"] for point in await points(stream)] == [1.0]
    assert await nothing_more(stream)


async def test_nothing_is_shown_before_it_is_committed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(server.parts.storage, monkeypatch)
    stream, socket = await server.stream(), await server.telemetry()
    with outage.held():
        await socket.send_json({"datapoints": [server.reading(1.0)]})
        await socket.ping()
        await asyncio.sleep(0.05)  # longer than it takes to be shown
        assert await nothing_more(stream)
        assert await server.parts.storage.count() == 0
    assert [point["value"] for point in await points(stream)] == [1.0]
    assert await server.parts.storage.count() == 1


async def test_every_browser_sees_the_same(server: Server) -> None:
    streams = [await server.stream(role) for role in Role for _ in range(3)]
    assert server.parts.hub.size(FRONTEND) == 9
    await send(server, server.reading(23.5))
    messages = [await stream.receive_str(timeout=5) for stream in streams]
    assert len(set(messages)) == 1


async def test_controllers_do_not_see_it(server: Server) -> None:
    controller, stream = await server.telemetry(), await server.stream()
    assert (server.parts.hub.size(CONTROLLER), server.parts.hub.size(FRONTEND)) == (1, 1)
    await send(server, server.reading(23.5))
    await points(stream)
    batch = {"datapoints": [server.reading()], "batch_id": "what is heard next"}
    assert (await acknowledged(controller, batch))["batch_id"] == "what is heard next"


async def test_a_browser_that_leaves_is_forgotten(server: Server) -> None:
    stream = await server.stream()
    await stream.close()
    await until(lambda: server.parts.hub.size(FRONTEND) == 0)


async def test_a_browser_that_vanishes_is_forgotten(server: Server) -> None:
    socket = await RawSocket.open(server.address, STREAM, server.plant.tokens[Role.VIEWER])
    await socket.message()
    socket.cut()
    await until(lambda: server.parts.hub.size(FRONTEND) == 0)


async def test_what_http_brings_in_is_shown_too(server: Server) -> None:
    stream = await server.stream()
    url = f"{server.address}/api/v1/datapoints"
    async with server.client.post(url, json=server.reading(1.5), headers=server.headers()) as response:
        assert response.status == 201
    assert [point["value"] for point in await points(stream)] == [1.5]


# -- not too often, and never not at all -----------------------------------------------------------------------


async def test_a_message_has_at_most_the_newest_of_each_event(server: Server) -> None:
    stream = await server.stream()
    await send(server, server.reading(1.0), server.reading(2.0, event=1), server.reading(3.0), server.reading(4.0))
    assert {point["event_public_id"]: point["value"] for point in await points(stream)} == {
        server.plant.linked[0]: 4.0,
        server.plant.linked[1]: 2.0,
    }
    assert await nothing_more(stream)


async def test_the_last_value_of_a_burst_reaches_the_browser(server: Server) -> None:
    stream, socket = await server.stream(), await server.telemetry()
    for number in range(100):
        await socket.send_json({"datapoints": [server.reading(float(number))]})
    seen = [(await points(stream))[0]["value"]]
    while seen[-1] != 99.0:
        seen.append((await points(stream))[0]["value"])
    assert seen == sorted(seen)
    assert len(seen) < 100


async def test_messages_of_an_event_are_200_ms_apart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, socket = await server.stream(), await server.telemetry()
    loop, hub = asyncio.get_running_loop(), server.parts.hub
    times: list[float] = []
    broadcast = hub.broadcast

    def timed(group: str, payload: Update) -> None:
        times.append(loop.time())
        broadcast(group, payload)

    monkeypatch.setattr(hub, "broadcast", timed)  # a client's clock stops when it reads, which may be late

    async def measure() -> None:
        for number in range(60):
            await socket.send_json({"datapoints": [server.reading(float(number))]})
            await asyncio.sleep(0.015)

    sender = asyncio.create_task(measure())
    while (await points(stream))[0]["value"] != 59.0:
        continue
    await sender
    assert len(times) > 3
    assert all(later - sooner >= INTERVAL_S * 0.99 for sooner, later in pairwise(times))


async def test_the_first_value_after_a_silence_is_shown_at_once(serve: Serve) -> None:
    server = await serve(stages={"broadcast": {"interval_s": 60.0}})
    stream = await server.stream()
    await send(server, server.reading(1.0))
    assert [point["value"] for point in await points(stream)] == [1.0]


async def test_one_event_does_not_wait_for_another(serve: Serve) -> None:
    server = await serve(stages={"broadcast": {"interval_s": 60.0}})
    stream = await server.stream()
    await send(server, server.reading(1.0))
    await points(stream)
    await send(server, server.reading(2.0), server.reading(3.0, event=1))
    assert [(point["event_public_id"], point["value"]) for point in await points(stream)] == [
        (server.plant.linked[1], 3.0)
    ]


async def test_the_interval_is_a_setting(serve: Serve) -> None:
    server = await serve(stages={"broadcast": {"interval_s": 0}})
    stream = await server.stream()
    for number in range(10):
        await send(server, server.reading(float(number)))
    seen = [(await points(stream))[0]["value"] for _ in range(10)]
    assert seen == [float(number) for number in range(10)]


# -- opt-in: events and snapshot -------------------------------------------------------------------------------


async def test_events_chosen_are_the_only_ones_shown(server: Server) -> None:
    first, second, third = server.plant.linked
    stream = await server.stream(query={"events": f"{first},{third}"})
    other = await server.stream(query={"events": second})
    everything = await server.stream()
    await send(server, *(server.reading(float(number), event=number) for number in range(3)))
    assert {point["event_public_id"] for point in await points(stream)} == {first, third}
    assert {point["event_public_id"] for point in await points(other)} == {second}
    assert {point["event_public_id"] for point in await points(everything)} == {first, second, third}


async def test_a_message_without_any_of_them_is_not_sent(server: Server) -> None:
    stream = await server.stream(query={"events": server.plant.linked[1]})
    await send(server, server.reading(1.0))
    assert await nothing_more(stream)


@pytest.mark.parametrize("events", ["", ",", "never-heard-of", "never,heard,,of"])
async def test_a_choice_that_no_event_meets_is_silent(server: Server, events: str) -> None:
    stream = await server.stream(query={"events": events})
    await send(server, server.reading(1.0))
    assert await nothing_more(stream)


async def test_a_snapshot_is_the_latest_readings_as_a_first_message(server: Server) -> None:
    await send(server, server.reading(1.0), server.reading(2.0, event=1))
    await send(server, server.reading(3.0))
    stream = await server.stream(query={"snapshot": "1"})
    found = await points(stream)
    assert {point["event_public_id"]: point["value"] for point in found} == {
        server.plant.linked[0]: 3.0,
        server.plant.linked[1]: 2.0,
    }
    assert {point["experiment_public_id"] for point in found} == {server.plant.experiment}
    await send(server, server.reading(4.0))
    assert [point["value"] for point in await points(stream)] == [4.0]


async def test_what_is_broadcast_while_a_snapshot_is_made_is_not_sent_before_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(server, server.reading(1.0), server.reading(2.0, event=1))
    first = server.parts.catalog.current.events[server.plant.linked[0]]
    before = server.parts.latest.all()[first.id]
    fragments = EncodedNewest.fragments

    def change(value: float) -> None:
        server.parts.latest.apply({first.id: before._replace(value=value)})
        server.parts.hub.broadcast(FRONTEND, StreamEncoder().update([before._replace(value=value)]))

    async def interrupted(self: EncodedNewest, wanted: frozenset[str] | None = None) -> dict[str, bytes]:
        change(3.0)
        return await fragments(self, wanted)

    monkeypatch.setattr(EncodedNewest, "fragments", interrupted)
    stream = await server.stream(query={"snapshot": "1"})
    found = {point["event_public_id"]: point["value"] for point in await points(stream)}
    assert found == {server.plant.linked[0]: 3.0, server.plant.linked[1]: 2.0}
    change(4.0)
    assert [point["value"] for point in await points(stream)] == [4.0]


async def test_what_the_hub_holds_back_does_not_come_after_a_snapshot_that_is_newer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(server, server.reading(1.0))
    hub = server.parts.hub
    monkeypatch.setattr(hub, "_resumes_at", time.perf_counter() + 3600)  # as after a round of writing without end
    (older,) = server.parts.latest.all().values()
    hub.broadcast(FRONTEND, StreamEncoder().update([older]))
    await send(server, server.reading(2.0))
    stream = await server.stream(query={"snapshot": "1"})
    assert [point["value"] for point in await points(stream)] == [2.0]
    monkeypatch.setattr(hub, "_resumes_at", 0.0)
    await send(server, server.reading(3.0))
    assert [point["value"] for point in await points(stream)] == [3.0]


async def test_a_snapshot_has_only_the_events_chosen(server: Server) -> None:
    await send(server, server.reading(1.0), server.reading(2.0, event=1))
    stream = await server.stream(query={"snapshot": "1", "events": server.plant.linked[1]})
    assert [point["value"] for point in await points(stream)] == [2.0]


async def test_a_snapshot_of_nothing_is_not_sent(server: Server) -> None:
    assert await nothing_more(await server.stream(query={"snapshot": "1"}))


async def test_an_event_that_was_deleted_is_not_in_a_snapshot(server: Server) -> None:
    await send(server, server.reading(1.0), server.reading(2.0, event=1))
    await records.remove_event(server.parts.storage, server.plant.linked[0])
    await server.parts.catalog.reload()
    stream = await server.stream(query={"snapshot": "1"})
    assert [point["value"] for point in await points(stream)] == [2.0]


async def test_an_event_deleted_while_its_reading_is_stored_is_shown_nowhere(server: Server) -> None:
    await send(server, server.reading(1.0))
    late = dict(server.parts.latest.all())
    await records.remove_event(server.parts.storage, server.plant.linked[0])
    await server.parts.catalog.reload()
    server.parts.latest.apply(late)  # as a commit does that was under way
    assert await nothing_more(await server.stream(query={"snapshot": "1"}))
    url = f"{server.address}/api/v1/datapoints/latest"
    async with server.client.get(url, headers=server.headers()) as response:
        assert await response.json() == []


@pytest.mark.parametrize("snapshot", ["0", "", "yes"])
async def test_a_client_of_the_specification_alone_never_notices(server: Server, snapshot: str) -> None:
    await send(server, server.reading(1.0))
    assert await nothing_more(await server.stream())
    assert await nothing_more(await server.stream(query={"snapshot": snapshot, "_t": "1"}))


# -- who may come in -------------------------------------------------------------------------------------------


async def test_one_too_many_is_asked_to_come_again_later(serve: Serve) -> None:
    server = await serve(server={"max_connections": 2})
    stream, controller = await server.stream(), await server.telemetry()
    one_more = await connect(server, STREAM, server.plant.tokens[Role.VIEWER])
    message = await one_more.receive(timeout=5)
    assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1013, "Too many connections")
    await controller.close()
    await until(lambda: server.parts.hub.size(CONTROLLER) == 0)
    assert await nothing_more(await server.stream())
    assert await nothing_more(stream)


async def test_pages_of_other_hosts_can_be_allowed(serve: Serve) -> None:
    server = await serve(server={"allowed_origins": ["https://dash.example.org"]})
    headers = {"Origin": "https://dash.example.org"}
    stream = await connect(server, STREAM, server.plant.tokens[Role.VIEWER], headers=headers)
    assert await heard(stream) == CONNECTED
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await connect(server, STREAM, server.plant.tokens[Role.VIEWER], headers={"Origin": "https://example.org"})
