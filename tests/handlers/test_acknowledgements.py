"""`batch_id`: what those who ask for it are told, and that nothing is stored twice.

Protocol decisions, "Opt-in, per message".
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.outage import Outage
from tests.plant import Server, furnish, running_server, settings_for
from tests.rawsocket import PING, PONG, TEXT, RawSocket, frame
from tests.wire import TELEMETRY, acknowledged, heard, points
from webmacs.extensions import load_storage
from webmacs.model import Role

INVALID_ID = {"type": "error", "message": "Invalid batch_id: must be a string of 1-64 characters"}
REUSED = "batch_id was used before with other contents"


def batch(server: Server, batch_id: object = "one", *values: float) -> dict[str, Any]:
    return {"datapoints": [server.reading(value) for value in values or (1.0,)], "batch_id": batch_id}


async def test_an_acknowledgement_has_every_count(server: Server) -> None:
    items = [
        server.reading(1.0),
        server.reading(2.0, timestamp="yesterday"),
        server.reading("high"),
        {"value": 1.0},
        {"value": 1.0, "event_public_id": "never heard of"},
        {"value": 2.0, "event_public_id": server.plant.unlinked},
        {"value": 3.0, "event_public_id": server.plant.unlinked, "timestamp": "yesterday"},
    ]
    assert await acknowledged(await server.telemetry(), {"datapoints": items, "batch_id": "all of it"}) == {
        "type": "ack",
        "batch_id": "all of it",
        "accepted": 2,
        "rejected": 5,
        "invalid": 2,
        "unlinked": 3,
        "skewed": 1,
    }


async def test_it_comes_after_the_commit_and_only_then(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(server.parts.storage, monkeypatch)
    async with await RawSocket.open(server.address, TELEMETRY, server.plant.tokens[Role.OPERATOR]) as socket:
        with outage.held():
            socket.write(frame(TEXT, json.dumps(batch(server)).encode()) + frame(PING))
            assert await socket.receive() == (PONG, b"")  # the batch had been read by then
            assert await server.parts.storage.count() == 0
        assert (await socket.message())["batch_id"] == "one"
        assert await server.parts.storage.count() == 1


async def test_a_batch_without_an_id_gets_none(server: Server) -> None:
    socket = await server.telemetry()
    await socket.send_json({"datapoints": [server.reading()], "batch_id": None})
    await socket.send_json({"datapoints": [server.reading()]})
    assert (await acknowledged(socket, batch(server, "third")))["batch_id"] == "third"
    assert await server.parts.storage.count() == 3


async def test_the_same_batch_again_gets_the_first_answer_and_is_not_stored(server: Server) -> None:
    socket = await server.telemetry()
    items = [server.reading(1.0), server.reading("high"), {"value": 1.0, "event_public_id": "never heard of"}]
    first = await acknowledged(socket, {"datapoints": items, "batch_id": "one"})
    assert await acknowledged(socket, {"datapoints": items, "batch_id": "one"}) == {**first, "duplicate": True}
    assert "duplicate" not in first
    assert await server.parts.storage.count() == 1


async def test_also_on_another_connection(server: Server) -> None:
    first = await acknowledged(await server.telemetry(), batch(server))
    assert await acknowledged(await server.telemetry(), batch(server)) == {**first, "duplicate": True}
    assert await server.parts.storage.count() == 1


async def test_also_after_the_server_was_started_again(storage_url: str, tmp_path: Path) -> None:
    settings = settings_for(storage_url, tmp_path)
    storage = load_storage(settings)
    await storage.open()
    plant = await furnish(storage)
    await storage.close()
    async with running_server(settings, plant) as server:
        first = await acknowledged(await server.telemetry(), batch(server))
    async with running_server(settings, plant) as server:
        assert await acknowledged(await server.telemetry(), batch(server)) == {**first, "duplicate": True}
        assert await server.parts.storage.count() == 1


async def test_also_with_other_spacing_and_by_http(server: Server) -> None:
    socket = await server.telemetry()
    first = await acknowledged(socket, batch(server))
    spaced = json.dumps(batch(server), indent=4)
    assert await acknowledged(socket, spaced) == {**first, "duplicate": True}
    url = f"{server.address}/api/v1/datapoints/batch"
    async with server.client.post(url, json=batch(server), headers=server.headers(Role.OPERATOR)) as response:
        assert (await response.json())["duplicate"] is True
    assert await server.parts.storage.count() == 1


async def test_of_two_sent_back_to_back_one_is_stored(server: Server) -> None:
    twice = frame(TEXT, json.dumps(batch(server)).encode()) * 2
    async with await RawSocket.open(server.address, TELEMETRY, server.plant.tokens[Role.OPERATOR]) as socket:
        socket.write(twice)
        first, second = await socket.message(), await socket.message()
    assert ("duplicate" in first, second) == (False, {**first, "duplicate": True})
    assert await server.parts.storage.count() == 1


async def test_of_many_sent_at_once_by_as_many_connections_one_is_stored(server: Server) -> None:
    sockets = [await server.telemetry() for _ in range(10)]
    answers = await asyncio.gather(*(acknowledged(socket, batch(server)) for socket in sockets))
    assert sorted("duplicate" in answer for answer in answers) == [False] + [True] * 9
    assert await server.parts.storage.count() == 1


async def test_a_duplicate_is_not_shown_again(server: Server) -> None:
    socket, stream = await server.telemetry(), await server.stream()
    await acknowledged(socket, batch(server, "one", 1.0))
    assert [point["value"] for point in await points(stream)] == [1.0]
    await acknowledged(socket, batch(server, "one", 1.0))
    await acknowledged(socket, batch(server, "two", 2.0))
    assert [point["value"] for point in await points(stream)] == [2.0]


async def test_an_id_belongs_to_its_user(server: Server) -> None:
    first = await acknowledged(await server.telemetry(Role.OPERATOR), batch(server))
    assert await acknowledged(await server.telemetry(Role.ADMIN), batch(server)) == first
    assert await server.parts.storage.count() == 2


@pytest.mark.parametrize(
    "other",
    [
        {"value": 2.0},
        {"value": 1.0, "timestamp": "2026-01-01T00:00:00+00:00"},
        {"value": 1.0, "event_public_id": "never heard of"},
    ],
)
async def test_an_id_with_other_contents_is_refused_for_ever(server: Server, other: dict[str, Any]) -> None:
    socket = await server.telemetry()
    await acknowledged(socket, batch(server))
    changed = {"datapoints": [server.reading() | other], "batch_id": "one"}
    assert await acknowledged(socket, changed) == {
        "type": "error",
        "message": REUSED,
        "batch_id": "one",
        "retry": False,
    }
    assert await server.parts.storage.count() == 1


async def test_a_batch_of_which_nothing_is_left_is_recorded_and_acknowledged(server: Server) -> None:
    socket = await server.telemetry()
    nothing = {"datapoints": [{"value": 1.0, "event_public_id": server.plant.unlinked}], "batch_id": "nothing"}
    first = await acknowledged(socket, nothing)
    assert (first["type"], first["accepted"], first["unlinked"]) == ("ack", 0, 1)
    assert await acknowledged(socket, nothing) == {**first, "duplicate": True}


async def test_a_batch_refused_as_a_whole_gets_its_id_back_and_need_not_be_sent_again(server: Server) -> None:
    socket = await server.telemetry()
    too_large = batch(server, "too large", *range(501))
    assert await acknowledged(socket, too_large) == {
        "type": "error",
        "message": "Batch too large (501), max 500",
        "batch_id": "too large",
        "retry": False,
    }
    assert await acknowledged(socket, {"datapoints": [], "batch_id": "empty"}) == {
        "type": "error",
        "message": "No valid datapoints in batch",
        "batch_id": "empty",
        "retry": False,
    }


async def test_what_was_refused_leaves_its_id_free(server: Server) -> None:
    socket = await server.telemetry()
    await acknowledged(socket, {"datapoints": [], "batch_id": "one"})
    assert "duplicate" not in await acknowledged(socket, batch(server))
    assert await server.parts.storage.count() == 1


@pytest.mark.parametrize("batch_id", ["", "x" * 65, 1, 1.5, True, [], {}, ["x"], "a\nb", "a\x00b", "\ud800", "\x7f"])
async def test_what_is_no_id_is_refused(server: Server, batch_id: object) -> None:
    assert await acknowledged(await server.telemetry(), batch(server, batch_id)) == INVALID_ID
    assert await server.parts.storage.count() == 0


@pytest.mark.parametrize("batch_id", ["x", "x" * 64, "ü" * 64, "🌡" * 64, "with space", "a'b;--"])
async def test_any_printable_text_of_64_characters_is_an_id(server: Server, batch_id: str) -> None:
    socket = await server.telemetry()
    assert (await acknowledged(socket, batch(server, batch_id)))["batch_id"] == batch_id
    assert (await acknowledged(socket, batch(server, batch_id)))["duplicate"] is True


async def test_one_who_goes_before_the_answer_can_ask_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(server.parts.storage, monkeypatch)
    with outage.held():
        async with await RawSocket.open(server.address, TELEMETRY, server.plant.tokens[Role.OPERATOR]) as socket:
            socket.write(frame(TEXT, json.dumps(batch(server)).encode()) + frame(PING))
            assert await socket.receive() == (PONG, b"")
    assert (await acknowledged(await server.telemetry(), batch(server)))["duplicate"] is True
    assert await server.parts.storage.count() == 1


async def test_answers_come_in_the_order_of_the_batches(server: Server) -> None:
    socket = await server.telemetry()
    for number in range(50):
        await socket.send_json(batch(server, str(number), float(number)))
    assert [(await heard(socket))["batch_id"] for _ in range(50)] == [str(number) for number in range(50)]
