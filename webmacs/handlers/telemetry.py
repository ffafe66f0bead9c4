"""`/ws/controller/telemetry`: batches in, and answers for those who ask for them; whatever else there is, likewise."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from webmacs.clock import Clock
from webmacs.config import ServerSettings
from webmacs.errors import InvalidMessage, Overloaded
from webmacs.handlers.agents import Agents
from webmacs.handlers.sockets import Doorkeeper, Entrance, Socket
from webmacs.handlers.statuses import reports_of, status_message
from webmacs.handlers.turns import Turns
from webmacs.hub import CONTROLLER, Client
from webmacs.model import Role, Scope
from webmacs.pipeline.base import Batch, Outcome, Refused
from webmacs.pipeline.runner import Pipeline
from webmacs.statuses import Statuses


class Telemetry:
    """The handler of the socket."""

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        pipeline: Pipeline,
        agents: Agents,
        statuses: Statuses,
        clock: Clock,
        settings: ServerSettings,
    ) -> None:
        self._doorkeeper, self._pipeline, self._clock = doorkeeper, pipeline, clock
        self._agents, self._statuses = agents, statuses
        self._entrance = Entrance(CONTROLLER, Role.OPERATOR, Scope.INGEST, settings.max_message_bytes)
        self._turns = Turns()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read batches until the controller leaves or is sent away. With `agent=1` it hears of things."""
        converse = self._converse_with_agent if request.query.get("agent") == "1" else self._converse
        return await self._doorkeeper.welcome(request, self._entrance, converse)

    async def _converse(self, client: Client, socket: Socket) -> None:
        client.listening = False  # it may never read
        sender = Sender(client, self._pipeline, self._clock)
        while (text := await socket.text()) is not None:
            await self._turns.take()
            await sender.take(text)

    async def _converse_with_agent(self, client: Client, socket: Socket) -> None:
        self._agents.welcome(client)
        sender = Sender(client, self._pipeline, self._clock)
        while (text := await socket.text()) is not None:
            await self._turns.take()
            message = status_message(text)
            if message is None:
                await sender.take(text)
            else:
                sender.report(message, self._statuses)


class Sender:
    """One controller's side of the conversation. Says nothing that was not asked for, but errors."""

    def __init__(self, client: Client, pipeline: Pipeline, clock: Clock) -> None:
        self._client, self._pipeline, self._clock = client, pipeline, clock
        self._told = False  # of this outage

    async def take(self, text: str) -> None:
        """Send one message into the pipeline; returns when there is room for the next."""
        sender = self._client.identity
        batch = Batch(text, sender.user.id, self._clock.now_us(), plugin_id=sender.plugin_id, reply=self._answer)
        try:
            await self._pipeline.submit(batch)
        except InvalidMessage as error:
            self._error(str(error), error.batch_id, retry=False)
        except Overloaded as error:
            self._later(batch, str(error))
        else:
            self._told = False

    def report(self, message: dict[str, Any], statuses: Statuses) -> None:
        """Note what it says of its plugin instances."""
        try:
            statuses.hear(reports_of(message), self._client.identity)
        except InvalidMessage as error:
            self._error(str(error), None, retry=False)

    def _answer(self, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            if outcome.retry:
                self._later(batch, outcome.message)
            else:
                self._error(outcome.message, batch.batch_id, retry=False)
        elif batch.batch_id is not None:
            self._client.send({"type": "ack", "batch_id": batch.batch_id, **outcome.numbers()})

    def _later(self, batch: Batch, message: str) -> None:
        if batch.batch_id is not None or not self._told:
            self._error(message, batch.batch_id, retry=True)
        self._told = True

    def _error(self, message: str, batch_id: str | None, *, retry: bool) -> None:
        answer: dict[str, object] = {"type": "error", "message": message}
        if batch_id is not None:
            answer |= {"batch_id": batch_id, "retry": retry}
        self._client.send(answer)
