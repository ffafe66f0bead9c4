"""Everyone outside who hears of readings: browsers on the stream, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.faults.installation import Installation
from tests.faults.process import DEADLINE_S
from tests.webhooks.receivers import OK, Receiver, listening
from tests.wire import STREAM
from webmacs.model import Role
from webmacs.tasks import end

BROWSERS = 2
ALARM, READING = "sensor.threshold_exceeded", "sensor.reading"
SETTINGS = {
    "WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8"]',
    "WEBHOOKS__FIRST_RETRY_S": "0.1",
    "STAGES__WEBHOOK__INTERVAL_S": "0.001",
    "STAGES__BROADCAST__INTERVAL_S": "0.001",
}
"""Everything is told of, however soon after the last."""


@dataclass(frozen=True)
class Audience:
    """What it has heard; `browsers` are the values that each of them was shown, in order."""

    browsers: list[list[float]]
    receiver: Receiver

    def called(self, kind: str) -> list[tuple[str, float]]:
        """Id and value of each webhook of that kind that came."""
        said = [(request.headers["webhook-id"], json.loads(request.body)) for request in self.receiver.requests]
        return [(public_id, payload["value"]) for public_id, payload in said if payload["type"] == kind]

    async def until_heard(self, value: float) -> None:
        """Wait until all of them know of a reading; what they would have heard before it, they have."""
        async with asyncio.timeout(DEADLINE_S):
            while not all(value in heard for heard in self.browsers):  # noqa: ASYNC110 - they tell nobody
                await asyncio.sleep(0.01)
        for kind in (ALARM, READING):
            await self.receiver.until(lambda: value in [called for _, called in self.called(kind)])  # noqa: B023


@asynccontextmanager
async def audience(site: Installation) -> AsyncIterator[Audience]:
    """Browsers, a receiver that wants to know of every reading, and a rule on each event that all readings meet."""
    async with listening(OK) as receiver:
        await site.post("/api/v1/webhooks", url=receiver.url(), events=[ALARM, READING])
        for number, event in enumerate(site.plant.linked):
            rule = {"operator": "gte", "threshold": 0.0, "action_type": "webhook", "cooldown_seconds": 0}
            await site.post("/api/v1/rules", name=f"rule {number}", event_public_id=event, **rule)
        heard: list[list[float]] = [[] for _ in range(BROWSERS)]
        ready = [asyncio.Event() for _ in heard]
        tasks = [asyncio.create_task(_watch(site, values, at)) for values, at in zip(heard, ready, strict=True)]
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(*(at.wait() for at in ready))
            yield Audience(heard, receiver)
        finally:
            await end(*tasks)


async def _watch(site: Installation, values: list[float], ready: asyncio.Event) -> None:
    token = site.plant.tokens[Role.VIEWER]
    async with site.client.ws_connect(f"{site.server.address}{STREAM}", params={"token": token}) as stream:
        async for message in stream:
            assert message.type is aiohttp.WSMsgType.TEXT
            said = json.loads(message.data)
            if said["type"] == "connected":
                ready.set()
            else:
                values += [point["value"] for point in said["datapoints"]]
