"""`/ws/controller/telemetry`, sentence by sentence.

WebSocket API, "Controller Telemetry"; protocol decisions, "`/ws/controller/telemetry`". What is not even a message is
in `test_bad_input.py`.
"""

from __future__ import annotations

import json
import logging

import pytest
import websockets

from tests.handlers.conftest import Serve
from tests.plant import Server, now_us
from tests.wire import TELEMETRY, acknowledged, history, points
from webmacs import experiments
from webmacs.model import Role
from webmacs.storage import plugins, records

# WebSocket API, "Inbound Message Format", to the letter.
EXAMPLE = """\
{
  "datapoints": [
    { "value": 23.5, "event_public_id": "abc-123" },
    { "value": 1013.2, "event_public_id": "def-456" },
    { "value": 7.14, "event_public_id": "ghi-789" }
  ]
}
"""
EXAMPLE_VALUES = {"abc-123": 23.5, "def-456": 1013.2, "ghi-789": 7.14}


async def link(server: Server, *event_public_ids: str) -> None:
    """Make events and link them to the plugin instance."""
    storage, plugin = server.parts.storage, server.plant.plugin
    for number, event in enumerate(event_public_ids, 100):
        await records.add_event(storage, name=event, unit="V", public_id=event, now_us=now_us())
        await plugins.add_channel(
            storage,
            plugin=plugin,
            channel_id=f"in{number}",
            channel_name=event,
            unit="V",
            event=event,
            now_us=now_us(),
        )
    await server.parts.catalog.reload()


async def unlinked(server: Server) -> list[dict[str, object]]:
    """What `GET /api/v1/events/unlinked` says."""
    url = f"{server.address}/api/v1/events/unlinked"
    async with server.client.get(url, headers=server.headers(Role.VIEWER)) as response:
        assert response.status == 200
        listed: list[dict[str, object]] = await response.json()
        return listed


# -- the message -----------------------------------------------------------------------------------------------


async def test_a_valid_batch_is_stored_and_nothing_is_sent_back(server: Server) -> None:
    stream = await server.stream()
    socket = await server.telemetry()
    await socket.send_json({"datapoints": [server.reading(23.5)]})
    assert [(point["value"], point["event_public_id"]) for point in await points(stream)] == [
        (23.5, server.plant.linked[0])
    ]
    assert await server.parts.storage.count() == 1
    # Answers come in order, so one to the first batch would come before this one.
    assert (await acknowledged(socket, {"datapoints": [server.reading()], "batch_id": "second"}))[
        "batch_id"
    ] == "second"


async def test_the_example_of_the_specification(server: Server) -> None:
    await link(server, *EXAMPLE_VALUES)
    stream = await server.stream()
    await (await server.telemetry()).send_str(EXAMPLE)
    assert {point["event_public_id"]: point["value"] for point in await points(stream)} == EXAMPLE_VALUES


async def test_a_batch_may_have_five_hundred_readings(server: Server) -> None:
    batch = {"datapoints": [server.reading(float(number)) for number in range(500)], "batch_id": "most"}
    assert (await acknowledged(await server.telemetry(), batch))["accepted"] == 500
    assert [datapoint.value for datapoint in await history(server)] == [float(number) for number in range(500)]


async def test_a_batch_of_more_is_refused_as_a_whole(server: Server) -> None:
    socket = await server.telemetry()
    answer = await acknowledged(socket, {"datapoints": [server.reading()] * 501})
    assert answer == {"type": "error", "message": "Batch too large (501), max 500"}
    assert (await acknowledged(socket, {"datapoints": [server.reading()], "batch_id": "next"}))["accepted"] == 1
    assert await server.parts.storage.count() == 1


async def test_the_limit_is_a_setting(serve: Serve) -> None:
    server = await serve(pipeline={"max_batch_size": 2})
    answer = await acknowledged(await server.telemetry(), {"datapoints": [server.reading()] * 3})
    assert answer["message"] == "Batch too large (3), max 2"


async def test_items_are_counted_before_they_are_judged(server: Server) -> None:
    answer = await acknowledged(await server.telemetry(), {"datapoints": [None] * 501})
    assert answer["message"] == "Batch too large (501), max 500"


async def test_without_a_valid_item_the_error_of_the_specification(server: Server) -> None:
    answer = await acknowledged(await server.telemetry(), {"datapoints": [{"value": "high"}]})
    assert answer == {"type": "error", "message": "No valid datapoints in batch"}


async def test_of_some_invalid_items_the_rest_is_stored_and_they_are_counted(server: Server) -> None:
    batch = {"datapoints": [server.reading(1.0), {"value": 2.0}, server.reading(True), server.reading(4.0)]}
    await (await server.telemetry()).send_json(batch)
    await acknowledged(await server.telemetry(), {"datapoints": [server.reading(5.0)], "batch_id": "after it"})
    assert [datapoint.value for datapoint in await history(server)] == [1.0, 4.0, 5.0]
    assert b"webmacs_readings_invalid_total 2.0" in server.parts.metrics.text()


async def test_readings_of_one_batch_have_one_time(server: Server) -> None:
    before = now_us()
    batch = {"datapoints": [server.reading(event=number) for number in range(3)], "batch_id": "one"}
    await acknowledged(await server.telemetry(), batch)
    (time_us,) = {(await history(server, number))[0].time_us for number in range(3)}
    assert before <= time_us <= now_us()


async def test_the_websockets_library_is_understood(server: Server) -> None:
    address = f"{server.address.replace('http', 'ws')}{TELEMETRY}?token={server.plant.tokens[Role.OPERATOR]}"
    async with websockets.connect(address) as socket:
        await socket.send(json.dumps({"datapoints": [server.reading()], "batch_id": "first"}))
        assert json.loads(await socket.recv())["accepted"] == 1
        await (await socket.ping())
        await socket.send(json.dumps({"datapoints": []}))
        assert json.loads(await socket.recv())["message"] == "No valid datapoints in batch"
    assert socket.close_code == 1000


# -- the experiment --------------------------------------------------------------------------------------------


async def test_readings_carry_the_running_experiment(server: Server) -> None:
    await acknowledged(await server.telemetry(), {"datapoints": [server.reading()], "batch_id": "one"})
    (datapoint,) = await history(server)
    assert datapoint.experiment is not None
    assert datapoint.experiment.public_id == server.plant.experiment


async def test_readings_carry_none_when_none_runs(server: Server) -> None:
    await experiments.stop(server.parts.storage, server.plant.experiment, now_us=now_us())
    await server.parts.catalog.reload()
    await acknowledged(await server.telemetry(), {"datapoints": [server.reading()], "batch_id": "one"})
    (datapoint,) = await history(server)
    assert datapoint.experiment is None


# -- events that are not linked --------------------------------------------------------------------------------


async def test_readings_of_events_without_a_plugin_instance_are_dropped_in_silence(server: Server) -> None:
    socket = await server.telemetry()
    for event in (server.plant.unlinked, "never heard of"):
        await socket.send_json({"datapoints": [{"value": 1.0, "event_public_id": event}]})
    answer = await acknowledged(socket, {"datapoints": [server.reading()], "batch_id": "next"})
    assert answer["batch_id"] == "next"
    assert await server.parts.storage.count() == 1
    assert b"webmacs_readings_unlinked_total 2.0" in server.parts.metrics.text()


async def test_an_event_of_a_disabled_plugin_instance_is_not_linked(server: Server) -> None:
    await plugins.enable_plugin(server.parts.storage, server.plant.plugin, enabled=False)
    await server.parts.catalog.reload()
    answer = await acknowledged(await server.telemetry(), {"datapoints": [server.reading()], "batch_id": "off"})
    assert (answer["accepted"], answer["unlinked"]) == (0, 1)
    await plugins.enable_plugin(server.parts.storage, server.plant.plugin, enabled=True)
    await server.parts.catalog.reload()
    answer = await acknowledged(await server.telemetry(), {"datapoints": [server.reading()], "batch_id": "on"})
    assert (answer["accepted"], answer["unlinked"]) == (1, 0)


async def test_the_ids_seen_last_are_listed_with_count_and_last_value(server: Server) -> None:
    items = [("first", 1.0), ("second", 2.0), ("first", 3.0), (server.plant.unlinked, 4.0)]
    datapoints = [{"value": value, "event_public_id": event} for event, value in items]
    await acknowledged(await server.telemetry(), {"datapoints": datapoints, "batch_id": "unlinked"})
    listed = await unlinked(server)
    assert [(entry["event_public_id"], entry["count"], entry["last_value"]) for entry in listed] == [
        (server.plant.unlinked, 1, 4.0),
        ("first", 2, 3.0),
        ("second", 1, 2.0),
    ]
    assert set(listed[0]) == {"event_public_id", "count", "last_value", "first_seen", "last_seen"}
    assert str(listed[0]["last_seen"]).endswith("Z")


async def test_that_list_is_bounded(serve: Serve) -> None:
    server = await serve(pipeline={"unlinked_ids": 3})
    datapoints = [{"value": 1.0, "event_public_id": f"unknown {number}"} for number in range(10)]
    await acknowledged(await server.telemetry(), {"datapoints": datapoints, "batch_id": "many"})
    assert [entry["event_public_id"] for entry in await unlinked(server)] == ["unknown 9", "unknown 8", "unknown 7"]


async def test_an_id_that_is_linked_meanwhile_leaves_the_list(server: Server) -> None:
    socket = await server.telemetry()
    batch = {"datapoints": [{"value": 1.0, "event_public_id": "abc-123"}]}
    await acknowledged(socket, {**batch, "batch_id": "before"})
    await link(server, "abc-123")
    assert await unlinked(server) == []
    assert (await acknowledged(socket, {**batch, "batch_id": "after"}))["accepted"] == 1


async def test_each_unlinked_id_is_said_once_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    socket = await server.telemetry()
    with caplog.at_level(logging.WARNING, "webmacs.catalog"):
        for number in range(3):
            datapoints = [{"value": 1.0, "event_public_id": event} for event in ("one", "other", "one")]
            await acknowledged(socket, {"datapoints": datapoints, "batch_id": str(number)})
    said = [record.getMessage() for record in caplog.records]
    assert [("'one'" in line, "'other'" in line) for line in said] == [(True, False), (False, True)]
