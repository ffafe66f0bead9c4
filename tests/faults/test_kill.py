"""kill -9 under load, with a rule on every reading: no reading without its alarm, no alarm without its reading.

Both are in one transaction, so there is no moment between them; and whatever became of the process that asked for a
delivery, another one makes it, under the same id.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.process import DEADLINE_S, ServerProcess
from tests.plant import Plant, furnish, now_us, settings_for
from tests.promises import LONG, Figure
from tests.webhooks.receivers import read_request, reply
from webmacs.extensions import load_storage
from webmacs.model import Action, Operator, Role
from webmacs.storage import webhooks
from webmacs.storage.base import Storage
from webmacs.storage.rules import add_rule
from webmacs.tasks import end

KILLS = 50 if LONG else 6
EVENTS = 6
SENDERS = 6
PAUSE_S = 0.015  # between two batches of a sender
THRESHOLD_EXCEEDED = "sensor.threshold_exceeded"
WAITING = "SELECT count(*) FROM deliveries WHERE status = 'pending'"

WEBHOOKS = {
    "WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    "WEBHOOKS__CONCURRENCY": "8",
    "WEBHOOKS__ATTEMPTS": "1000",
    "WEBHOOKS__FIRST_RETRY_S": "0.1",
    "WEBHOOKS__MAX_RETRY_S": "0.5",
    "WEBHOOKS__TIMEOUT_S": "2.0",
}


class Receiver:
    """Takes most deliveries, and counts them by id; of some it wants to hear again, in one way or the other."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._connections: set[asyncio.Task[None]] = set()
        self.got: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """At this address."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alarms"
        finally:
            server.close()
            await end(*self._connections)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self._connections.add(task)
        try:
            while answer := self._hear((await read_request(reader)).headers["webhook-id"]):
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # it was killed
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    def _hear(self, public_id: str) -> bytes:
        self.got[public_id] += 1
        mood = self._chance.random()
        if mood < 0.02:  # an answer that is lost
            return b""
        if mood < 0.1:
            return reply(500)
        if mood < 0.12:
            return reply(503, "Retry-After: 0")
        self.taken[public_id] += 1
        return reply(204)


@dataclass
class Sender:
    """A controller that goes on whatever happens to the server; `asks`: each batch again until it is acknowledged."""

    number: int
    asks: bool
    plant: Plant
    chance: random.Random
    sent: int = 0
    acknowledged: list[tuple[str, float]] = field(default_factory=list)
    stopped: bool = False

    async def run(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/ws/controller/telemetry"
        pending: dict[str, Any] | None = None
        async with aiohttp.ClientSession() as client:
            while not self.stopped or pending:
                try:
                    token = self.plant.tokens[Role.OPERATOR]
                    async with client.ws_connect(url, params={"token": token}, timeout=_TIMEOUT) as link:
                        while not self.stopped or pending:
                            pending = pending or self._batch()
                            await link.send_json(pending)
                            if self.asks:
                                await self._acknowledgement(link, pending)
                            pending = None
                            await asyncio.sleep(self.chance.uniform(0, 2 * PAUSE_S))
                except (aiohttp.ClientError, OSError, EOFError):
                    await asyncio.sleep(0.02)

    def _batch(self) -> dict[str, Any]:
        """Readings of some events, one each, so that each of them is held against its rule; no value comes twice."""
        events = self.chance.sample(self.plant.linked, self.chance.randint(1, EVENTS))
        first, self.sent = self.sent, self.sent + len(events)
        values = [float(self.number * 1_000_000 + first + place) for place in range(len(events))]
        items = [{"value": value, "event_public_id": event} for value, event in zip(values, events, strict=True)]
        return {"datapoints": items, **({"batch_id": str(uuid.uuid4())} if self.asks else {})}

    async def _acknowledgement(self, link: aiohttp.ClientWebSocketResponse, batch: dict[str, Any]) -> None:
        message = await link.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise EOFError
        answer = json.loads(message.data)
        assert (answer["type"], answer["batch_id"]) == ("ack", batch["batch_id"]), answer
        assert answer["accepted"] == len(batch["datapoints"]), answer
        self.acknowledged += [(item["event_public_id"], item["value"]) for item in batch["datapoints"]]


_TIMEOUT = aiohttp.ClientWSTimeout(ws_receive=DEADLINE_S, ws_close=1.0)


@asynccontextmanager
async def furnished(url: str, directory: Path, receiver_url: str) -> AsyncIterator[tuple[Storage, Plant]]:
    """A storage with a rule without cooldown on each event, met by every value; beside the server that uses it."""
    storage = load_storage(settings_for(url, directory))
    await storage.open()
    try:
        plant = await furnish(storage, events=EVENTS)
        for number, event in enumerate(plant.linked):
            await add_rule(
                storage,
                name=f"rule {number}",
                event=event,
                operator=Operator.GTE,
                threshold=0.0,
                action=Action.WEBHOOK,
                cooldown_s=0,
                now_us=now_us(),
            )
        await webhooks.add_webhook(storage, url=receiver_url, events=[THRESHOLD_EXCEEDED], now_us=now_us())
        yield storage, plant
    finally:
        await storage.close()


async def drained(storage: Storage) -> None:
    """Wait until no delivery waits any more."""
    async with asyncio.timeout(DEADLINE_S):
        while (await storage.fetch(WAITING))[0][0]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)


@pytest.mark.promise("P1", "P4", "F4")
async def test_whatever_is_killed_each_reading_has_its_alarm_and_each_alarm_arrives(
    storage_url: str, tmp_path: Path, figure: Figure
) -> None:
    chance, began = random.Random(3), time.monotonic()
    receiver = Receiver(random.Random(4))
    async with receiver.listening() as url, furnished(storage_url, tmp_path, url) as (storage, plant):
        server = ServerProcess(storage_url, tmp_path, **WEBHOOKS)
        senders = [Sender(number, number % 2 == 0, plant, random.Random(number)) for number in range(1, SENDERS + 1)]
        sending = [asyncio.create_task(sender.run(server.port)) for sender in senders]
        try:
            for _ in range(KILLS):
                await server.start()
                if chance.random() < 0.9:  # else while it starts
                    await server.until_it_listens()
                await asyncio.sleep(chance.uniform(0, 1.5))
                await server.end()
            await server.start()
            await server.until_it_listens()
            await asyncio.sleep(0.5)
            for sender in senders:
                sender.stopped = True
            await asyncio.wait_for(asyncio.gather(*sending), DEADLINE_S)
            await drained(storage)
            await server.end(signal.SIGTERM)
        finally:
            await server.end()
            await end(*sending)
        names: dict[int, str] = dict(await storage.fetch("SELECT id, public_id FROM events"))
        readings = Counter(
            (names[event_id], value)
            for event_id, value in await storage.fetch("SELECT event_id, value FROM datapoints")
        )
        rows = await storage.fetch("SELECT public_id, payload, status FROM deliveries")
    payloads = [json.loads(payload) for _, payload, _ in rows]
    alarms = Counter((payload["sensor"], payload["value"]) for payload in payloads)
    ids = {public_id for public_id, _, _ in rows}
    again = sum(receiver.got.values()) - len(receiver.got)
    acknowledged = Counter(pair for sender in senders for pair in sender.acknowledged)
    figure(
        f"{storage_url.partition(':')[0]}: {KILLS} kills in {time.monotonic() - began:.0f} s,"
        f" {acknowledged.total():,} acknowledged readings: lost {(acknowledged - readings).total()}, stored twice"
        f" {readings.total() - len(readings)}; {readings.total():,} readings that match - {len(rows):,} deliveries ="
        f" {readings.total() - len(rows)}; {len(receiver.got):,} ids received, {again} times again"
    )
    # Each reading and its alarm, one for one, none of them twice.
    assert readings == alarms
    assert set(readings.values()) == {1}
    # What was acknowledged is there.
    assert not acknowledged - readings
    assert all(sender.acknowledged for sender in senders if sender.asks)
    # Each alarm has arrived, under the one id that it has; nothing else has.
    assert len(ids) == len(rows)
    assert set(receiver.taken) == ids
    assert set(receiver.got) == ids
    assert {status for _, _, status in rows} == {"delivered"}
    assert "Traceback" not in server.said()
