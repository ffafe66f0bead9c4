"""Batches over HTTP, one request after the other: where a WebSocket cannot be had."""

from __future__ import annotations

import asyncio
from typing import Final

from webmacs.controller.api import FORBIDDEN, Api, Reply, Unreachable
from webmacs.controller.backoff import Backoff
from webmacs.controller.batch import Batch, Outcome, Refused, Source, Stored
from webmacs.controller.clocks import Clocks
from webmacs.controller.link import Listener, Timing
from webmacs.controller.parts import Fate, Part, Room, parts_of
from webmacs.controller.server import Server
from webmacs.controller.wire import outcome, refusal
from webmacs.errors import AuthError

BATCH: Final = "/datapoints/batch"
BUSY: Final = (429, 503)
ELSEWHERE: Final = (404, 405)  # whatever is there, it is no WebMACS server
FAULT: Final = 500
EMPTY: Final = '{"datapoints":[]}'


class Posting:
    """Posts what its source has, until cancelled. An empty batch, now and then, shows whether the server is there."""

    def __init__(
        self, api: Api, server: Server, source: Source, clocks: Clocks, listener: Listener, timing: Timing
    ) -> None:
        self._api, self._server, self._source, self._clocks = api, server, source, clocks
        self._listener, self._timing = listener, timing

    async def run(self) -> None:
        """Go on for ever."""
        pauses = Backoff(self._timing.first_pause_s, self._timing.max_pause_s)
        while True:
            try:
                await self._ask(EMPTY)
                pauses.reset()
                self._listener.connected(None)
                self._source.connected()
                await self._post_all()
            except (Unreachable, AuthError) as error:
                problem = str(error)
            finally:
                self._source.lost()
            self._listener.disconnected(problem)
            await asyncio.sleep(pauses.pause_s())

    def note(self, _text: str) -> bool:
        """There is no way for messages that want no answer."""
        return False

    async def _post_all(self) -> None:
        """Until a request fails."""
        while True:
            batch = self._source.take()
            if batch is not None:
                await self._post(batch)
                continue
            try:
                async with asyncio.timeout(self._timing.heartbeat_s):
                    await self._source.wait()
            except TimeoutError:
                await self._ask(EMPTY)

    async def _post(self, batch: Batch) -> None:
        fate = Fate(batch)
        parts = list(parts_of(batch, self._clocks, Room()))
        for part in parts:
            fate.expect(part)
        pause_s = 0.0
        for part in parts:
            try:
                reply = await self._ask(part.text)
            except Unreachable:
                if self._server.acknowledges is not False:
                    raise
                found: Outcome = Stored(0, told=False)  # it may be stored, and would then be stored twice
            else:
                found = self._judge(reply, part)
                pause_s = reply.retry_after_s or 0.0
            whole = fate.settle(part.batch_id, found)
            if whole is not None:
                self._source.answered(batch, whole)
        await asyncio.sleep(pause_s)

    def _judge(self, reply: Reply, part: Part) -> Outcome:
        if reply.status in BUSY:
            return Refused(reply.said(), retry=True)
        if not reply.good:
            return refusal(reply.said(), retry=False, readings=part.readings)
        body = reply.body if isinstance(reply.body, dict) else {}
        try:
            if "batch_id" in body:
                self._server.learn(acknowledges=True)
                return outcome(body)
            self._server.learn(acknowledges=False)
            return Stored(int(str(body["message"]).partition(" ")[0]))
        except (KeyError, ValueError, TypeError):
            return Stored(part.readings)

    async def _ask(self, text: str) -> Reply:
        """Raises for answers that are about us, or about the server, and not about the batch."""
        reply = await self._api.ask("POST", BATCH, text)
        if reply.status == FORBIDDEN:
            raise AuthError(reply.said())
        if reply.status in ELSEWHERE or (reply.status >= FAULT and reply.status not in BUSY):
            raise Unreachable(reply.said())
        return reply
