"""From what happens in a server to what a receiver gets: a whole server, a real receiver, each storage in turn."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as StandardWebhook

from tests.handlers.rest import rest
from tests.outage import Outage
from tests.plant import Server, furnish, furnished_server, now_us, running_server, settings_for
from tests.webhooks.posting import Held, Trouble, got, ids, until
from tests.webhooks.receivers import LOOPBACK, OK, Receiver, Request, listening
from tests.wire import acknowledged
from webmacs import experiments, health
from webmacs.extensions import load_storage
from webmacs.model import Action, Operator, WebhookEvent
from webmacs.storage import webhooks
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule
from webmacs.webhooks.signing import new_secret

SECRET = new_secret()
SETTINGS = {"allowed_networks": LOOPBACK, "poll_interval_s": 3600.0}
"""Nothing that this server does itself has to be looked for."""


async def subscribe(storage: Storage, receiver: Receiver, *events: str) -> None:
    await webhooks.add_webhook(storage, url=receiver.url(), events=events, secret=SECRET, now_us=now_us())


@asynccontextmanager
async def told_of(
    url: str, directory: Path, receiver: Receiver, *events: str, **sections: Any
) -> AsyncIterator[Server]:
    """A furnished server whose one webhook wants to hear of these events."""
    async with furnished_server(url, directory, webhooks=SETTINGS, **sections) as server:
        await subscribe(server.parts.storage, receiver, *events)
        await server.parts.catalog.reload()
        yield server


async def rule(server: Server, threshold: float, **options: Any) -> None:
    """A rule on the first event, known to the server."""
    await add_rule(
        server.parts.storage,
        name="too hot",
        event=server.plant.linked[0],
        operator=Operator.GT,
        threshold=threshold,
        action=Action.WEBHOOK,
        now_us=now_us(),
        **options,
    )
    await server.parts.catalog.reload()


async def send(server: Server, *values: float, batch_id: str = "one") -> None:
    """A batch of readings of the first event, acknowledged."""
    batch = {"datapoints": [server.reading(value) for value in values], "batch_id": batch_id}
    answer = await acknowledged(await server.telemetry(), batch)
    assert answer["accepted"] == len(values)


def verified(request: Request) -> dict[str, Any]:
    """The body, if its signatures are right."""
    body: dict[str, Any] = StandardWebhook(SECRET).verify(request.body, request.headers)
    stamped = request.headers["x-webhook-timestamp"].encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), stamped, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, request.headers["x-webhook-signature"])
    return body


async def recorded(storage: Storage) -> list[tuple[Any, ...]]:
    return await storage.fetch("SELECT public_id, status, attempts, response_code FROM deliveries ORDER BY id")


async def test_a_reading_that_is_stored_is_told(storage_url: str, tmp_path: Path) -> None:
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, "sensor.reading") as server:
        await send(server, 21.5, 22.5)
        await got(receiver, 1)
        body = verified(receiver.requests[0])
        ((time,),) = await server.parts.storage.fetch("SELECT time FROM readings WHERE value = 21.5")
        expected = str(time) if isinstance(time, str) else time.isoformat(timespec="microseconds")
        assert list(body.items()) == [
            ("type", "sensor.reading"),
            ("time", expected),
            ("sensor", server.plant.linked[0]),
            ("value", 21.5),
        ]
        storage = server.parts.storage
        await until_recorded(storage, [(ids(receiver)[0], "delivered", 1, 200)])


async def until_recorded(storage: Storage, expected: list[tuple[Any, ...]]) -> None:
    async with asyncio.timeout(30):
        while await recorded(storage) != expected:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_a_reading_over_http_is_told_in_the_spelling_that_was_asked_for(storage_url: str, tmp_path: Path) -> None:
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, "sensor_reading") as server:
        url, item = f"{server.address}/api/v1/datapoints", server.reading(5)
        async with server.client.post(url, json=item, headers=server.headers()) as answer:
            assert answer.status == 201
        await got(receiver, 1)
        assert verified(receiver.requests[0])["type"] == "sensor_reading"


async def test_a_value_beyond_its_threshold_is_told(storage_url: str, tmp_path: Path) -> None:
    event = "sensor.threshold_exceeded"
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, event) as server:
        await rule(server, 80.0)
        await send(server, 80.0, batch_id="not beyond")
        await send(server, 90.0, 80.5, batch_id="beyond")
        await got(receiver, 1)
        body = verified(receiver.requests[0])
        del body["time"]
        assert list(body.items()) == [
            ("type", event),
            ("sensor", server.plant.linked[0]),
            ("value", 80.5),
            ("rule", "too hot"),
            ("operator", "gt"),
            ("threshold", 80.0),
        ]


async def test_a_rule_may_say_it_as_another_event(storage_url: str, tmp_path: Path) -> None:
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, "system.health_changed") as server:
        await rule(server, 80.0, emits=WebhookEvent.HEALTH_CHANGED)
        await send(server, 81.0)
        await got(receiver, 1)
        assert verified(receiver.requests[0])["type"] == "system.health_changed"


async def test_what_is_not_committed_is_not_told(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = "sensor.threshold_exceeded"
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, event) as server:
        await rule(server, 80.0)
        outage = Outage(server.parts.storage, monkeypatch)
        with outage.held():
            sending = asyncio.create_task(send(server, 81.0))
            await until(lambda: server.parts.pipeline._queue.rows)
            await asyncio.sleep(0.1)
            assert receiver.requests == []
            assert await recorded(server.parts.storage) == []
        await sending
        await got(receiver, 1)


async def test_an_experiment_that_another_process_starts_and_stops_is_told(storage_url: str, tmp_path: Path) -> None:
    """As a command does; the server's storage sees that something has changed, long before anybody would look."""
    events = ("experiment.started", "experiment.stopped")
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, *events) as server:
        await experiments.stop(server.parts.storage, server.plant.experiment, now_us=now_us())  # the one of the plant
        server.parts.pipeline._context.outbox.ring()
        await got(receiver, 1)
        command = load_storage(settings_for(storage_url, tmp_path))
        await command.open()
        try:
            public_id = await experiments.start(command, name="Run 2", now_us=now_us())
            await got(receiver, 2)
            await experiments.stop(command, public_id, now_us=now_us())
            await got(receiver, 3)
        finally:
            await command.close()
        bodies = [verified(request) for request in receiver.requests]
        assert [(body["type"], body["experiment"]) for body in bodies] == [
            ("experiment.stopped", "Run 1"),
            ("experiment.started", "Run 2"),
            ("experiment.stopped", "Run 2"),
        ]
        assert all(list(body) == ["type", "time", "experiment"] for body in bodies)


async def test_that_readings_cannot_be_stored_is_told_and_that_they_can_again(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "INTERVAL_S", 0.05)
    event = "system.health_changed"
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, event) as server:
        outage = Outage(server.parts.storage, monkeypatch)
        with outage():
            await (await server.telemetry()).send_json({"datapoints": [server.reading()]})
            await got(receiver, 1)
        await got(receiver, 2)
        bodies = [verified(request) for request in receiver.requests]
        assert [(body["was"], body["status"]) for body in bodies] == [("ok", "degraded"), ("degraded", "ok")]
        assert bodies[0]["time"] < bodies[1]["time"]


async def test_a_time_without_storage_is_told_when_it_is_over(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "INTERVAL_S", 0.05)
    event = "system.health_changed"
    async with listening(OK) as receiver, told_of(storage_url, tmp_path, receiver, event) as server:
        trouble = Trouble(server.parts.storage, monkeypatch)
        with trouble.reading(), trouble.writing():
            await until(lambda: server.parts.health._untold)
            assert receiver.requests == []
        await got(receiver, 2)
        statuses = [verified(request)["status"] for request in receiver.requests]
        assert sorted(statuses) == ["degraded", "ok"]


async def test_what_a_stopped_server_has_left_the_next_one_delivers(storage_url: str, tmp_path: Path) -> None:
    settings = settings_for(storage_url, tmp_path, webhooks=SETTINGS)
    storage = load_storage(settings)
    await storage.open()
    plant = await furnish(storage)
    held = Held()
    async with listening(held) as receiver:
        await subscribe(storage, receiver, "sensor.reading")
        await storage.close()
        async with running_server(settings, plant) as server:
            await send(server, 21.5)
            await got(receiver, 1)
        held.let_go()
        async with running_server(settings, plant) as server:
            await got(receiver, 2)
            await until_recorded(server.parts.storage, [(ids(receiver)[0], "delivered", 1, 200)])
    assert ids(receiver)[0] == ids(receiver)[1]
    assert json.loads(receiver.requests[0].body)["value"] == 21.5


async def test_a_server_that_stops_takes_note_of_what_ends_meanwhile(storage_url: str, tmp_path: Path) -> None:
    held, patient = Held(), {"shutdown_timeout_s": 60.0}
    async with (
        listening(held) as receiver,
        told_of(storage_url, tmp_path, receiver, "sensor.reading", server=patient) as server,
    ):
        await send(server, 21.5)
        await got(receiver, 1)
        stopping = asyncio.create_task(server.stop())
        await until(server.parts.dispatcher._looking[0].done)
        held.let_go()
        await stopping
        storage = load_storage(server.settings)
        await storage.open()
        try:
            assert await recorded(storage) == [(ids(receiver)[0], "delivered", 1, 200)]
        finally:
            await storage.close()


# -- asked for over HTTP -----------------------------------------------------------------------------------------------


async def test_a_test_arrives_at_that_webhook_alone_signed_and_may_be_sent_again(
    storage_url: str, tmp_path: Path
) -> None:
    async with (
        listening(OK) as receiver,
        listening(OK) as other,
        told_of(storage_url, tmp_path, receiver, "experiment.started") as server,
    ):
        await subscribe(server.parts.storage, other, "sensor.reading")
        await server.parts.catalog.reload()
        path = f"/api/v1/webhooks/{(await webhooks.webhooks(server.parts.storage))[0].public_id}"
        asked = (await rest(server, "POST", f"{path}/test")).body
        await got(receiver, 1)
        arrived = [(asked["public_id"], "delivered", 1, 200)]
        await until_recorded(server.parts.storage, arrived)
        reply = await rest(server, "POST", f"{path}/deliveries/{asked['public_id']}/redeliver")
        assert (reply.status, reply.body["message"]) == (200, "delivery to be attempted again")
        await got(receiver, 2)
        await until_recorded(server.parts.storage, arrived)  # attempts are counted from the beginning
        assert ids(receiver) == [asked["public_id"]] * 2
        for request in receiver.requests:
            assert set(json.loads(request.body)) == {"type", "time"}
            assert StandardWebhook(SECRET).verify(request.body, request.headers)["type"] == "webmacs.test"
        assert receiver.requests[0].body == receiver.requests[1].body
        assert other.requests == []
