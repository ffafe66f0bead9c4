"""The WebSocket to a server, kept up: what is sent, what is answered, what the server has to say.

A connection is one `_Conversation`; what is unanswered when it ends is the source's business, which gives it to the
next one under the same `batch_id`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp

from webmacs.controller.backoff import Backoff
from webmacs.controller.batch import Refused, Source, Stored
from webmacs.controller.clocks import Clocks
from webmacs.controller.login import Login
from webmacs.controller.parts import Fate, Room, parts_of
from webmacs.controller.server import Server
from webmacs.controller.wire import TELEMETRY, Answer, Changed, Hello, Setpoints, parse, refusal
from webmacs.errors import AuthError
from webmacs.tasks import end

_log = logging.getLogger(__name__)

MAX_NOTES: Final = 32
CLOSE_S: Final = 1.0
WATCH_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """All times of a connection, and how many batches may be on the way at once."""

    connect_s: float = 10.0
    hello_s: float = 2.0
    answer_s: float = 15.0
    heartbeat_s: float = 20.0
    first_pause_s: float = 0.5
    max_pause_s: float = 30.0
    window: int = 8


class Listener(Protocol):
    """Who is told of the connection."""

    def connected(self, hello: Hello | None) -> None:
        """There is one; `hello` None: to a server that does not know the messages for controllers."""
        ...

    def said(self, message: Setpoints | Changed) -> None:
        """Something that the server says by itself."""
        ...

    def disconnected(self, problem: str) -> None:
        """There is none, and why; told again when the reason changes."""
        ...


class Ended(Exception):
    """The connection is over; the text says why."""


class Link:
    """Connects again and again, with longer pauses, until cancelled."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: Server,
        login: Login,
        source: Source,
        clocks: Clocks,
        listener: Listener,
        timing: Timing,
    ) -> None:
        self._session, self._login, self._source = session, login, source
        self._server, self._clocks, self._listener, self._timing = server, clocks, listener, timing
        self._conversation: _Conversation | None = None

    async def run(self, *, stubborn: bool = True) -> None:
        """Keep it up.

        Raises:
            AuthError: we are not let in; only unless `stubborn`.

        """
        pauses = Backoff(self._timing.first_pause_s, self._timing.max_pause_s)
        while True:
            try:
                await self._connect(pauses)
            except AuthError as error:
                if not stubborn:
                    raise
                problem = str(error)
            except (aiohttp.ClientError, OSError, Ended) as error:  # a TimeoutError is an OSError
                problem = str(error) or type(error).__name__
            finally:
                self._conversation = None
                self._source.lost()
            self._listener.disconnected(problem)
            await asyncio.sleep(pauses.pause_s())

    def note(self, text: str) -> bool:
        """Send a message that wants no answer; whether there is somebody to send it to."""
        return self._conversation is not None and self._conversation.note(text)

    async def _connect(self, pauses: Backoff) -> None:
        token = await self._login.token()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timing.connect_s):
                socket = await self._session.ws_connect(
                    f"{self._server.address}{TELEMETRY}?agent=1",
                    headers={"Authorization": f"Bearer {token}"},
                    heartbeat=self._timing.heartbeat_s,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                    autoclose=True,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in {401, 403} and not self._login.over(token):
                raise AuthError(f"the server does not let us in ({error.status})") from error
            raise
        try:
            self._conversation = _Conversation(self._server, socket, self._source, self._clocks, self._timing)
            await self._conversation.run(self._listener, pauses, began)
        except AuthError as error:
            if self._login.over(token):
                raise Ended(str(error)) from error
            raise
        finally:
            await socket.close()


class _Conversation:
    """One connection. One task writes: what two wait for in one socket cannot be cancelled apart."""

    def __init__(
        self,
        server: Server,
        socket: aiohttp.ClientWebSocketResponse,
        source: Source,
        clocks: Clocks,
        timing: Timing,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._socket, self._source, self._clocks = server, socket, source, clocks
        self._timing, self._monotonic = timing, monotonic
        self._room = Room()
        self._notes: deque[str] = deque(maxlen=MAX_NOTES)
        self._fates: dict[str, Fate] = {}  # by the id of each part that is not answered
        self._under_way = 0
        self._since: dict[str, float] = {}  # when each of them was sent, the oldest first
        self._listener: Listener | None = None

    def note(self, text: str) -> bool:
        self._notes.append(text)
        self._source.wake()
        return True

    async def run(self, listener: Listener, pauses: Backoff, began: float) -> None:
        """Until it ends. Raises `Ended`, `AuthError`, or what the connection raises."""
        self._listener = listener
        hello = await self._hello(began)
        pauses.reset()
        if hello is not None:
            self._room = Room(hello.max_batch_size, hello.max_message_bytes)
            if "ack" in hello.features:
                self._server.learn(acknowledges=True)
        listener.connected(hello)
        self._source.connected()
        tasks = [asyncio.create_task(work) for work in (self._read(), self._write(), self._watch())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*tasks)
            errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
        # Who is writing finds out by himself that the connection is gone; why, who reads has been told.
        raise min(errors, key=lambda error: not isinstance(error, AuthError))

    async def _hello(self, began: float) -> Hello | None:
        """What the server says first, if it does; some time after the connection was begun."""
        try:
            async with asyncio.timeout(self._timing.hello_s):
                message = parse(await self._text())
        except TimeoutError:
            return None
        if not isinstance(message, Hello):
            return None
        self._clocks.heard(message.time_us, self._monotonic() - began)
        return message

    async def _read(self) -> None:
        while True:
            message = parse(await self._text())
            if isinstance(message, Answer):
                self._answered(message)
            elif isinstance(message, Setpoints | Changed) and self._listener is not None:
                self._listener.said(message)

    async def _text(self) -> str:
        """The next message. Raises `Ended` or `AuthError` when there will be none."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.POLICY_VIOLATION:
            raise AuthError(message.extra or "the server has closed the connection")
        if message.type is aiohttp.WSMsgType.CLOSE:
            raise Ended(message.extra or f"the server has closed the connection ({message.data})")
        raise Ended("the connection was lost")

    async def _write(self) -> None:
        while True:
            if self._notes:
                await self._socket.send_str(self._notes.popleft())
                continue
            batch = self._source.take() if self._under_way < self._timing.window else None
            if batch is None:
                await self._source.wait()
                continue
            fate = Fate(batch)
            self._under_way += 1
            parts = list(parts_of(batch, self._clocks, self._room))
            now = self._monotonic()
            for part in parts:  # before any is sent: the answer to the first must not look like that to the last
                fate.expect(part)
                self._fates[part.batch_id] = fate
                self._since[part.batch_id] = now
            for part in parts:
                await self._socket.send_str(part.text)
            if self._server.acknowledges is False:
                self._give_up_waiting()

    def _answered(self, answer: Answer) -> None:
        fate = self._fates.get(answer.batch_id or "")
        if answer.batch_id is None or fate is None:
            if isinstance(answer.outcome, Refused):
                _log.warning("the server says: %s", answer.outcome.message)
            return
        self._server.learn(acknowledges=True)
        outcome = answer.outcome
        if isinstance(outcome, Refused):
            outcome = refusal(outcome.message, retry=outcome.retry, readings=fate.readings(answer.batch_id))
        self._settle(answer.batch_id, fate, outcome)

    def _settle(self, part_id: str, fate: Fate, outcome: Stored | Refused) -> None:
        del self._fates[part_id], self._since[part_id]
        whole = fate.settle(part_id, outcome)
        if whole is not None:
            self._under_way -= 1
            self._source.answered(fate.batch, whole)
            self._source.wake()

    async def _watch(self) -> None:
        """See that answers come. A server that has never given one, and is there, is one that gives none."""
        while True:
            await asyncio.sleep(min(WATCH_S, self._timing.answer_s / 4))
            oldest = next(iter(self._since.values()), None)
            if oldest is None or self._monotonic() - oldest < self._timing.answer_s:
                continue
            if self._server.acknowledges:
                raise Ended(f"the server has not answered for {self._timing.answer_s:g} s")
            self._server.learn(acknowledges=False)
            self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """What was sent is all that can be done for it."""
        for part_id, fate in list(self._fates.items()):
            self._settle(part_id, fate, Stored(0, told=False))
