"""Readings over HTTP: the same gates and the same queue, and what is read back at once.

Protocol decisions, "Fallback" and "HTTP ingestion". What is no request at all is in `test_http.py`, overload in
`test_overload.py`.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.conftest import Serve
from tests.plant import Server, furnish, now_us, running_server, settings_for
from tests.wire import history, points
from webmacs import experiments
from webmacs.extensions import load_storage
from webmacs.model import Role, to_datetime, to_us
from webmacs.pipeline.base import Batch, Gate
from webmacs.storage import records

API = "/api/v1/datapoints"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


async def post(server: Server, path: str, body: object, role: Role = Role.OPERATOR) -> tuple[int, Any]:
    """The body is JSON, or text that may only look like it."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = server.headers(role) | {"Content-Type": "application/json"}
    async with server.client.post(f"{server.address}{API}{path}", data=text, headers=headers) as response:
        return response.status, await response.json()


async def latest(server: Server) -> list[dict[str, Any]]:
    async with server.client.get(f"{server.address}{API}/latest", headers=server.headers(Role.VIEWER)) as response:
        assert response.status == 200
        found: list[dict[str, Any]] = await response.json()
        return found


# -- the latest values -----------------------------------------------------------------------------------------


async def test_the_latest_values_are_a_bare_array_one_object_an_event_that_has_data(server: Server) -> None:
    assert await latest(server) == []
    batch = [server.reading(1.0), server.reading(2.0, event=1), server.reading(3.0)]
    await post(server, "/batch", {"datapoints": batch})
    found = await latest(server)
    assert [(point["event_public_id"], point["value"]) for point in found] == [
        (server.plant.linked[0], 3.0),
        (server.plant.linked[1], 2.0),
    ]
    for point in found:
        assert set(point) == {"public_id", "value", "timestamp", "event_public_id", "experiment_public_id"}
        assert point["experiment_public_id"] == server.plant.experiment
        assert re.fullmatch(TIMESTAMP, point["timestamp"])
        assert len(point["public_id"]) >= 8
    assert len({point["public_id"] for point in found}) == 2


async def test_without_an_experiment_its_id_is_null(server: Server) -> None:
    await experiments.stop(server.parts.storage, server.plant.experiment, now_us=now_us())
    await server.parts.catalog.reload()
    await post(server, "", server.reading())
    assert [point["experiment_public_id"] for point in await latest(server)] == [None]


async def test_numbers_have_a_decimal_point_and_times_six_digits_or_none(server: Server) -> None:
    moment = to_datetime(now_us()).strftime("%Y-%m-%dT%H:%M:%S")
    for event, fraction in enumerate(("", ".5", ".000001")):
        await post(server, "", server.reading(7, event, timestamp=f"{moment}{fraction}+00:00"))
    async with server.client.get(f"{server.address}{API}/latest", headers=server.headers()) as response:
        raw = await response.text()
    assert raw.count('"value":7.0,') == 3
    for text in ("Z", ".500000Z", ".000001Z"):
        assert f'"timestamp":"{moment}{text}"' in raw


async def test_the_latest_values_are_there_after_a_restart(storage_url: str, tmp_path: Path) -> None:
    settings = settings_for(storage_url, tmp_path)
    storage = load_storage(settings)
    await storage.open()
    plant = await furnish(storage)
    await storage.close()
    async with running_server(settings, plant) as server:
        await post(server, "/batch", {"datapoints": [server.reading(1.0), server.reading(2.0, event=1)]})
        await post(server, "", server.reading(3.0))
        before = await latest(server)
    async with running_server(settings, plant) as server:
        assert sorted(await latest(server), key=str) == sorted(before, key=str)


async def test_an_event_that_is_deleted_takes_its_latest_value_along(server: Server) -> None:
    await post(server, "/batch", {"datapoints": [server.reading(1.0), server.reading(2.0, event=1)]})
    await records.remove_event(server.parts.storage, server.plant.linked[0])
    await server.parts.catalog.reload()
    assert [point["value"] for point in await latest(server)] == [2.0]


# -- one reading -----------------------------------------------------------------------------------------------


async def test_one_reading_is_stored_before_it_is_answered(server: Server) -> None:
    status, answer = await post(server, "", server.reading(23.5))
    assert (status, answer) == (201, {"status": "success", "message": "1 datapoint accepted"})
    assert [datapoint.value for datapoint in await history(server)] == [23.5]
    assert [point["value"] for point in await latest(server)] == [23.5]


async def test_what_was_written_can_be_read_at_once_again_and_again(server: Server) -> None:
    for number in range(30):
        await post(server, "", server.reading(float(number)))
        assert [point["value"] for point in await latest(server)] == [float(number)]


@pytest.mark.parametrize(
    ("sent", "stored"), [('"2.5"', 2.5), ("true", 1.0), ("false", 0.0), ('"-1e3"', -1000.0), ("3", 3.0), ('" 4 "', 4.0)]
)
async def test_lax_numbers_are_accepted_as_existing_clients_send_them(server: Server, sent: str, stored: float) -> None:
    body = f'{{"value": {sent}, "event_public_id": "{server.plant.linked[0]}"}}'
    assert (await post(server, "", body))[0] == 201
    assert [datapoint.value for datapoint in await history(server)] == [stored]


NO_VALUES = ["null", '"high"', '""', "[]", "{}", "NaN", "Infinity", "-Infinity", "1e400", '"nan"', '"inf"', '"1e400"']


@pytest.mark.parametrize("value", [*NO_VALUES, "1" + "0" * 400], ids=lambda value: value[:10])
async def test_what_is_no_finite_number_is_422(server: Server, value: str) -> None:
    status, answer = await post(server, "", f'{{"value": {value}, "event_public_id": "{server.plant.linked[0]}"}}')
    assert status == 422
    assert answer["detail"].startswith("value must be a finite number")
    assert await server.parts.storage.count() == 0


@pytest.mark.parametrize(
    "body", ["{}", '{"value": 1}', '{"value": 1, "event_public_id": null}', '{"value": 1, "event_public_id": 7}']
)
async def test_what_is_no_reading_is_422(server: Server, body: str) -> None:
    status, answer = await post(server, "", body)
    assert (status, list(answer)) == (422, ["detail"])


@pytest.mark.parametrize("event", ['"\\u0000"', '"\\ud800"', '""', f'"{"x" * 101}"', '"a\\nb"'])
async def test_what_is_no_id_is_422(server: Server, event: str) -> None:
    assert (await post(server, "", f'{{"value": 1, "event_public_id": {event}}}'))[0] == 422


async def test_an_event_that_does_not_exist_is_404(server: Server) -> None:
    status, answer = await post(server, "", {"value": 1.0, "event_public_id": "never heard of"})
    assert (status, answer) == (404, {"detail": "there is no event never heard of"})


async def test_an_event_that_is_not_linked_is_409(server: Server) -> None:
    status, answer = await post(server, "", {"value": 1.0, "event_public_id": server.plant.unlinked})
    assert status == 409
    assert "not linked to an enabled plugin instance" in answer["detail"]


async def test_a_viewer_may_not_write(server: Server) -> None:
    for path in ("", "/batch"):
        assert (await post(server, path, server.reading(), Role.VIEWER))[0] == 403
    assert await server.parts.storage.count() == 0


# -- many ------------------------------------------------------------------------------------------------------


async def test_the_message_begins_with_the_accepted_count(server: Server) -> None:
    batch = [server.reading(float(number)) for number in range(500)]
    status, answer = await post(server, "/batch", {"datapoints": batch})
    assert (status, answer) == (201, {"status": "success", "message": "500 datapoints accepted"})
    assert await server.parts.storage.count() == 500


async def test_an_empty_batch_is_201(server: Server) -> None:
    assert await post(server, "/batch", {"datapoints": []}) == (
        201,
        {"status": "success", "message": "0 datapoints accepted"},
    )


async def test_more_than_500_is_422_and_nothing_is_stored(server: Server) -> None:
    status, answer = await post(server, "/batch", {"datapoints": [server.reading()] * 501})
    assert (status, answer) == (422, {"detail": "Batch too large (501), max 500"})
    assert await server.parts.storage.count() == 0


async def test_readings_that_are_not_linked_are_left_out_in_silence(server: Server) -> None:
    unlinked = [{"value": 1.0, "event_public_id": event} for event in (server.plant.unlinked, "never heard of")]
    status, answer = await post(server, "/batch", {"datapoints": [*unlinked, server.reading()]})
    assert (status, answer["message"]) == (201, "1 datapoint accepted")
    status, answer = await post(server, "/batch", {"datapoints": unlinked})
    assert (status, answer["message"]) == (201, "0 datapoints accepted")


@pytest.mark.parametrize("body", [{}, {"datapoints": None}, {"datapoints": "x"}, {"datapoints": [1]}, {"value": 1}])
async def test_a_batch_without_a_valid_reading_is_422(server: Server, body: object) -> None:
    assert await post(server, "/batch", body) == (422, {"detail": "No valid datapoints in batch"})


async def test_both_bring_readings_to_the_stream(server: Server) -> None:
    stream = await server.stream()
    await post(server, "", server.reading(1.0))
    assert [point["value"] for point in await points(stream)] == [1.0]
    await post(server, "/batch", {"datapoints": [server.reading(2.0, event=1)]})
    assert [point["value"] for point in await points(stream)] == [2.0]


async def test_what_is_not_linked_is_listed_as_on_the_socket(server: Server) -> None:
    await post(server, "", {"value": 5.0, "event_public_id": "never heard of"})
    url = f"{server.address}/api/v1/events/unlinked"
    async with server.client.get(url, headers=server.headers(Role.VIEWER)) as response:
        assert [(entry["event_public_id"], entry["last_value"]) for entry in await response.json()] == [
            ("never heard of", 5.0)
        ]


# -- opt-in: timestamp and batch_id ----------------------------------------------------------------------------


async def test_both_take_a_timestamp(server: Server) -> None:
    taken = to_datetime(now_us()) - timedelta(minutes=1)
    await post(server, "", server.reading(1.0, timestamp=taken.isoformat()))
    await post(server, "/batch", {"datapoints": [server.reading(2.0, timestamp=taken.isoformat())]})
    assert {datapoint.time_us for datapoint in await history(server)} == {to_us(taken)}


async def test_both_take_a_batch_id_and_answer_with_the_counts(server: Server) -> None:
    numbers = {"accepted": 1, "rejected": 0, "invalid": 0, "unlinked": 0, "skewed": 0}
    for path, body in (
        ("", server.reading(1.0, batch_id="one")),
        ("/batch", {"datapoints": [server.reading(2.0)], "batch_id": "two"}),
    ):
        batch_id = body["batch_id"]
        first = {"status": "success", "message": "1 datapoint accepted", "batch_id": batch_id, **numbers}
        assert await post(server, path, body) == (201, first)
        assert await post(server, path, body) == (201, {**first, "duplicate": True})
    assert await server.parts.storage.count() == 2


async def test_the_counts_of_a_batch_are_those_of_an_acknowledgement(server: Server) -> None:
    batch = [
        server.reading(timestamp="now"),
        server.reading("high"),
        {"value": 1.0},
        {"value": 1.0, "event_public_id": server.plant.unlinked},
    ]
    status, answer = await post(server, "/batch", {"datapoints": batch, "batch_id": "one"})
    numbers = {name: answer[name] for name in ("accepted", "rejected", "invalid", "unlinked", "skewed")}
    assert status == 201
    assert numbers == {"accepted": 1, "rejected": 3, "invalid": 2, "unlinked": 1, "skewed": 1}


async def test_a_refusal_of_a_reading_with_a_batch_id_comes_again_too(server: Server) -> None:
    for event, status in (("never heard of", 404), (server.plant.unlinked, 409)):
        body = {"value": 1.0, "event_public_id": event, "batch_id": f"for {event}"}
        first = await post(server, "", body)
        assert first[0] == status
        assert await post(server, "", body) == first


async def test_a_batch_id_with_other_contents_is_422(server: Server) -> None:
    await post(server, "", server.reading(1.0, batch_id="one"))
    assert await post(server, "", server.reading(2.0, batch_id="one")) == (
        422,
        {"detail": "batch_id was used before with other contents"},
    )
    assert await server.parts.storage.count() == 1


@pytest.mark.parametrize("batch_id", ["", "x" * 65, 1, True, [], "a\nb", "\ud800"])
async def test_what_is_no_batch_id_is_422(server: Server, batch_id: object) -> None:
    for path, body in (
        ("", server.reading(batch_id=batch_id)),
        ("/batch", {"datapoints": [server.reading()], "batch_id": batch_id}),
    ):
        assert await post(server, path, body) == (
            422,
            {"detail": "Invalid batch_id: must be a string of 1-64 characters"},
        )
    assert await server.parts.storage.count() == 0


async def test_the_limit_of_a_body_is_a_setting(serve: Serve) -> None:
    server = await serve(server={"max_body_bytes": 200})
    assert (await post(server, "", server.reading()))[0] == 201
    assert (await post(server, "/batch", {"datapoints": [server.reading()] * 10}))[0] == 413


# -- what a gate drops -----------------------------------------------------------------------------------------


class Deaf(Gate):
    """Drops everything."""

    computes = False

    def process(self, batch: Batch) -> None:
        batch.readings = []


async def test_a_reading_that_a_gate_drops_is_not_said_to_be_of_an_event_that_is_not_linked(serve: Serve) -> None:
    stages = ["validate", "filter", f"{__name__}:Deaf", "persist", "webhook", "rules", "broadcast"]
    server = await serve(pipeline={"stages": stages})
    status, answer = await post(server, "", server.reading(1.0))
    assert (status, answer["message"]) == (201, "0 datapoints accepted")
    status, answer = await post(server, "", {"value": 1.0, "event_public_id": server.plant.unlinked})
    assert (status, await latest(server)) == (409, [])
