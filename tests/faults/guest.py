"""Someone on a socket: hears everything, answers pings, and checks against the storage in the moment of hearing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.faults.model import Credential, Entrance, Sending
from tests.wire import STREAM, TELEMETRY
from webmacs.tasks import end

PATIENCE_S: Final = 10.0
PATHS: Final = {Entrance.CONTROLLER: TELEMETRY, Entrance.BROWSER: STREAM}

Has = Callable[[str, float], bool]


class Guest:
    """A controller or a browser on a real socket."""

    def __init__(
        self,
        socket: ClientWebSocketResponse,
        who: Credential,
        entrance: Entrance,
        has: Has,
        only: frozenset[str] | None = None,
        *,
        snapshot: bool = False,
    ) -> None:
        """`has` says whether a reading is stored now; `only`: the events that a browser wants."""
        self.who, self.entrance, self.only, self.snapshot = who, entrance, only, snapshot
        self.query = ""
        """What else was asked for, by name, to ask for it again."""
        self.disturbed = False
        """Whether something may have come in the way of what it has sent."""
        self.asked: list[Sending] = []
        self.silent: list[Sending] = []
        self.answers: list[tuple[Sending, dict[str, Any]]] = []
        self.complaints: list[str] = []
        self.seen: list[tuple[str, float]] = []
        self.attended: dict[str, int] = {}
        """Of each event, how much there was to see when this guest was last known to have seen it."""
        self.looked = 0
        self.wrong: list[str] = []
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._socket, self._has = socket, has
        self._transport: asyncio.Transport = socket._writer.transport
        self._pongs = asyncio.Queue[bytes]()
        self._task = asyncio.create_task(self._listen())

    @classmethod
    async def arrive(
        cls,
        client: ClientSession,
        address: str,
        token: str,
        who: Credential,
        entrance: Entrance,
        has: Has,
        **query: str,
    ) -> Guest:
        """Connect; returns when the server has let them in or has refused them."""
        socket: ClientWebSocketResponse = await client.ws_connect(
            address + PATHS[entrance], params={"token": token, **query}, autoping=False
        )
        only = frozenset(query["events"].split(",")) if "events" in query else None
        guest = cls(socket, who, entrance, has, only, snapshot="snapshot" in query)
        await guest.roll_call()
        return guest

    def __repr__(self) -> str:
        return f"{self.entrance.name.lower()} of {self.who}"

    @property
    def is_in(self) -> bool:
        """Whether the connection lives."""
        return not self.ended.done()

    def awaits(self, batch_id: str) -> bool:
        """Whether that batch was sent by this guest and is not answered yet."""
        return any(isinstance(each.identity, tuple) and each.identity[1] == batch_id for each in self.asked)

    async def send(self, sending: Sending, text: str) -> None:
        """Send a batch; an answer to it is expected if it has a `batch_id`, or else that it is stored."""
        (self.asked if isinstance(sending.identity, tuple) else self.silent).append(sending)
        await self._socket.send_str(text)

    async def roll_call(self) -> None:
        """Returns when the server has taken all that was sent before, or the connection has ended."""
        if self._socket.closed:
            return
        await self._socket.ping()
        await self._either(self._pongs.get())

    async def answered(self) -> None:
        """Wait for the answers to all that asked for one; the connection must live on."""
        async with asyncio.timeout(PATIENCE_S):
            while self.asked and self.is_in:  # noqa: ASYNC110 - what listens is a task of its own
                await asyncio.sleep(0.001)
        assert self.is_in or not self.asked, (self.ended, self.asked)

    async def farewell(self) -> tuple[int, str]:
        """Code and reason with which the server ends the connection, as it must now."""
        await asyncio.wait((self.ended,), timeout=PATIENCE_S)
        assert self.ended.done(), f"{self} is still connected"
        return self.ended.result()

    async def leave(self, *, politely: bool) -> None:
        """Go, with a close frame or without a word."""
        if politely and self.is_in:
            await self._socket.close()
        await end(self._task)
        self._transport.abort()
        self._socket._response.close()
        if not self.ended.done():
            self.ended.set_result((1000, ""))

    async def _either(self, what: Awaitable[object]) -> None:
        waiting = asyncio.ensure_future(what)
        await asyncio.wait((waiting, self.ended), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done() or self.ended.done(), "no pong and no end"
        await end(waiting)

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                self._hear(json.loads(message.data))
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._pongs.put_nowait(message.data)
            else:
                said = (message.data, message.extra or "") if message.type is WSMsgType.CLOSE else (1006, "")
                self.ended.set_result(said)
                return

    def _hear(self, message: dict[str, Any]) -> None:
        """Nothing is heard of that is not committed: not later, not soon, but by the time it is heard."""
        told: list[tuple[str, float]] = []
        if message["type"] == "datapoints_batch":
            told = [(point["event_public_id"], point["value"]) for point in message["datapoints"]]
            self.seen += told
        elif message["type"] in {"ack", "error"} and "batch_id" in message:
            (sending,) = [each for each in self.asked if each.identity[1] == message["batch_id"]]  # type: ignore[index]
            self.asked.remove(sending)
            self.answers.append((sending, message))
            if message["type"] == "ack" and "duplicate" not in message:
                told = [(item.event, item.value) for item in sending.accepted]
        elif message["type"] == "error":
            self.complaints.append(message["message"])
        self.looked += len(told)
        self.wrong += [
            f"{message['type']} tells of {each}, which is not stored" for each in told if not self._has(*each)
        ]
