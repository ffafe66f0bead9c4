"""Controllers that go on whatever happens to the server: on real sockets, with `batch_id` or without."""

from __future__ import annotations

import abc
import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.faults.ledger import Ledger
from tests.plant import Plant
from tests.wire import TELEMETRY
from webmacs.model import Role
from webmacs.tasks import end

PATIENCE_S = 120.0
"""For an answer, and for senders to come to their end."""
RECONNECT_S = 0.02
AGAIN_S = 0.02
"""Before a batch that was refused is sent once more, at the least."""

_TIMEOUT = aiohttp.ClientWSTimeout(ws_receive=PATIENCE_S, ws_close=1.0)


@dataclass
class Sender(abc.ABC):
    """One controller."""

    ledger: Ledger
    plant: Plant
    chance: random.Random
    sizes: tuple[int, int] = (1, 6)
    """How many readings a batch has; up to the number of linked events, no event comes twice in one."""
    pause_s: float = 0.015
    """On average, between two batches."""
    connections: int = 0
    stopped: bool = False
    """Told to come to an end."""
    done: bool = False

    async def run(self, address: str) -> None:
        """Until it is `stopped`, and its last batch is acknowledged."""
        async with aiohttp.ClientSession() as client:
            url, token = f"{address}{TELEMETRY}", self.plant.tokens[Role.OPERATOR]
            while not self.done:
                try:
                    async with client.ws_connect(url, params={"token": token}, timeout=_TIMEOUT) as link:
                        self.connections += 1
                        await self._converse(link)
                except (aiohttp.ClientError, OSError, EOFError):
                    await asyncio.sleep(RECONNECT_S)

    @abc.abstractmethod
    async def _converse(self, link: aiohttp.ClientWebSocketResponse) -> None:
        """One connection, until all is done or it breaks."""

    def _batch(self) -> range:
        return self.ledger.issue(self.chance.randint(*self.sizes))

    async def _send(self, link: aiohttp.ClientWebSocketResponse, values: range, batch_id: str | None = None) -> None:
        events = self.plant.linked
        items = [{"value": float(value), "event_public_id": events[value % len(events)]} for value in values]
        await link.send_json({"datapoints": items, **({"batch_id": batch_id} if batch_id else {})})
        self.ledger.sent += len(values)

    async def _pause(self, at_least_s: float = 0.0) -> None:
        await asyncio.sleep(max(at_least_s, self.chance.uniform(0, 2 * self.pause_s)))

    def _stored(self, answer: dict[str, Any], values: range, batch_id: str) -> bool:
        """Whether this answer says that the batch is stored; if not, that it is to be sent again."""
        assert answer["batch_id"] == batch_id, answer
        if answer["type"] == "error":
            assert answer["retry"] is True, answer
            self.ledger.refuse(values, answer["message"])
            return False
        assert (answer["type"], answer["accepted"], answer["rejected"]) == ("ack", len(values), 0), answer
        self.ledger.acknowledge(values, duplicate="duplicate" in answer)
        return True


@dataclass
class Careful(Sender):
    """Gives each batch a `batch_id`, and sends it again until it is acknowledged; no other one before that."""

    _pending: tuple[range, str] | None = None

    async def _converse(self, link: aiohttp.ClientWebSocketResponse) -> None:
        while not self.stopped or self._pending:
            values, batch_id = self._pending = self._pending or (self._batch(), str(uuid.uuid4()))
            await self._send(link, values, batch_id)
            if self._stored(await _answer(link), values, batch_id):
                self._pending = None
                await self._pause()
            else:
                await self._pause(AGAIN_S)
        self.done = True


@dataclass
class Careless(Sender):
    """Asks for nothing, but at the very end: the acknowledgement of a last batch says that the server has made up its
    mind about all that came before it on that connection.
    """

    complaints: int = 0
    """Errors that came all the same."""

    async def _converse(self, link: aiohttp.ClientWebSocketResponse) -> None:
        last, batch_id = self._batch(), str(uuid.uuid4())
        listening = asyncio.create_task(self._listen(link, last, batch_id))
        try:
            while not self.stopped and not listening.done():
                await self._send(link, self._batch())
                await self._pause()
            if not listening.done():
                await self._send(link, last, batch_id)
            await listening
            self.done = True
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, link: aiohttp.ClientWebSocketResponse, last: range, batch_id: str) -> None:
        """Until the last batch is stored."""
        while True:
            answer = await _answer(link)
            if "batch_id" not in answer:
                assert set(answer) == {"type", "message"}, answer
                self.complaints += 1
                self.ledger.said[answer["message"]] += 1
            elif self._stored(answer, last, batch_id):
                return
            else:
                await self._pause(AGAIN_S)
                await self._send(link, last, batch_id)


async def _answer(link: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    message = await link.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise EOFError
    answer: dict[str, Any] = json.loads(message.data)
    return answer


@asynccontextmanager
async def sending(address: str, *senders: Sender) -> AsyncIterator[None]:
    """They send meanwhile, and come to their end in good order."""
    tasks = [asyncio.create_task(sender.run(address)) for sender in senders]
    try:
        yield
        for sender in senders:
            sender.stopped = True
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
