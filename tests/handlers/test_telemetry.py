"""`/ws/controller/telemetry`, sentence by sentence."""

from __future__ import annotations

from tests.plant import Server


async def test_a_valid_batch_is_stored_and_nothing_is_sent_back(server: Server) -> None:
    stream = await server.stream()
    socket = await server.telemetry()
    await socket.send_json({"datapoints": [server.reading(23.5)]})
    message = await stream.receive_json(timeout=5)
    assert message["type"] == "datapoints_batch"
    assert [(point["value"], point["event_public_id"]) for point in message["datapoints"]] == [
        (23.5, server.plant.linked[0])
    ]
    assert await server.parts.storage.count() == 1
