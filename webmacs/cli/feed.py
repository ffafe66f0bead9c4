"""The live stream as a client follows it: over the WebSocket, by polling while that cannot be had. No terminal.

The strategy is the specification's for browsers: the socket first; after three failures in a row the latest readings
are polled, while the attempts to connect go on; once the socket is back the polling stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import aiohttp

from webmacs.auth import INVALID_OR_EXPIRED
from webmacs.cli.point import Point, in_list, in_message
from webmacs.cli.setting import plainly
from webmacs.errors import AuthError, WebmacsError

LATEST: Final = "/api/v1/datapoints/latest"
STREAM: Final = "/ws/datapoints/stream"
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
TOO_OFTEN: Final = 429
ANSWER_S: Final = 10.0

SignIn = Callable[[aiohttp.ClientSession], Awaitable[str]]


class Mode(enum.StrEnum):
    """How readings come, in the specification's words."""

    CONNECTING = "connecting"
    WEBSOCKET = "websocket"
    POLLING = "polling"


class Listener(Protocol):
    """Who is told."""

    async def received(self, points: list[Point]) -> None:
        """Readings that are new, in the order in which they came. Nothing more is read until this returns."""
        ...

    def changed(self, mode: Mode, problem: str | None) -> None:
        """Readings come another way from now on; `problem` is what is in the way of the socket."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """All times of the strategy."""

    poll_s: float = 1.5
    ping_s: float = 25.0
    answer_s: float = ANSWER_S
    first_delay_s: float = 0.5
    max_delay_s: float = 10.0
    failures: int = 3


class Feed:
    """Follows the stream of one server until cancelled.

    A reading that is the same as the last one of its event is not told again: snapshots and polls repeat themselves.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        sign_in: SignIn,
        token: str,
        listener: Listener,
        *,
        events: Collection[str] = (),
        timing: Timing | None = None,
    ) -> None:
        self._session, self._address, self._sign_in, self._listener = session, address, sign_in, listener
        self._token = token
        self._events = events
        self._timing = timing or Timing()
        self._accepted = False  # whether the token has been good for anything yet
        self._blocked = asyncio.Event()  # the socket has failed too often
        self._problem: str | None = None  # of the socket
        self._told: tuple[Mode, str | None] | None = None
        self._last: dict[str, tuple[datetime, float]] = {}

    async def run(self) -> None:
        """Follow.

        Raises:
            AuthError: the token is refused. One that was good and has expired is first replaced by signing in again.

        """
        self._tell(Mode.CONNECTING)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stream())
                tasks.create_task(self._poll())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    # -- the socket --------------------------------------------------------------------------------------------

    async def _stream(self) -> None:
        timing = self._timing
        failures, delay_s = 0, timing.first_delay_s
        while True:
            token = self._token
            try:
                async with await self._connect(token) as socket:
                    first = await _message(socket, timing.answer_s)
                    self._accepted = True
                    failures, delay_s = 0, timing.first_delay_s
                    self._blocked.clear()
                    self._tell(Mode.WEBSOCKET)
                    await self._receive(socket, first)
            except AuthError as error:
                self._problem = error.reason
                await self._renew(token, error)
            except (aiohttp.ClientError, OSError, _Ended) as error:
                self._problem = str(error) if isinstance(error, _Ended) else explain(error)
                if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in {UNAUTHORIZED, FORBIDDEN}:
                    await self._renew(token, AuthError(f"refused with HTTP {error.status}"))
            failures += 1
            if failures >= timing.failures:
                self._blocked.set()
            else:
                self._tell(Mode.CONNECTING, self._problem)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay_s = min(2 * delay_s, timing.max_delay_s)

    async def _connect(self, token: str) -> aiohttp.ClientWebSocketResponse:
        query = {"token": token, "snapshot": "1"}
        if self._events:
            query["events"] = ",".join(self._events)
        async with asyncio.timeout(self._timing.answer_s):
            return await self._session.ws_connect(
                self._address + STREAM,
                params=query,
                max_msg_size=0,  # a message holds as many readings as the server has events
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse, text: str) -> None:
        """Take messages until the connection ends, which raises. One that answers nothing has ended, too."""
        loop, timing = asyncio.get_running_loop(), self._timing
        heard_at = loop.time()
        ping_at = heard_at + timing.ping_s
        while True:
            await self._take(in_message(text))
            if loop.time() >= ping_at:
                await socket.send_json({"type": "ping"})
                ping_at = loop.time() + timing.ping_s
            try:
                text = await _message(socket, ping_at - loop.time())
                heard_at = loop.time()
            except TimeoutError:
                if loop.time() - heard_at > timing.ping_s + timing.answer_s:
                    raise
                text = ""

    # -- the fallback ------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            await self._blocked.wait()
            token, problem = self._token, self._problem
            try:
                latest = await fetched(self._session, self._address + LATEST, token)
            except AuthError as error:
                await self._renew(token, error)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                problem = explain(error)
            else:
                self._accepted = True
                await self._take(point for point in in_list(latest) if not self._events or point.event in self._events)
            if self._blocked.is_set():
                self._tell(Mode.POLLING, problem)
                await asyncio.sleep(self._timing.poll_s)

    # -- both --------------------------------------------------------------------------------------------------

    async def _take(self, found: Iterable[Point]) -> None:
        new = []
        for point in found:
            identity = (point.time, point.value)
            if self._last.get(point.event) != identity:
                self._last[point.event] = identity
                new.append(point)
        if new:
            await self._listener.received(new)

    async def _renew(self, token: str, error: AuthError) -> None:
        """Another token for one that was good until now; one that never was is refused for good."""
        if token != self._token:
            return  # the other way has seen to it
        if not self._accepted:
            raise error
        with contextlib.suppress(aiohttp.ClientError, OSError):  # the server is away; the next attempt comes here again
            self._token = await self._sign_in(self._session)
            self._accepted = False

    def _tell(self, mode: Mode, problem: str | None = None) -> None:
        if self._told != (mode, problem):
            self._told = (mode, problem)
            self._listener.changed(mode, problem)


async def fetched(session: aiohttp.ClientSession, url: str, token: str, **query: str) -> Any:
    """The JSON that an address answers with.

    Raises:
        AuthError: the credential is refused.
        aiohttp.ClientError, OSError, ValueError: there is no such answer.

    """
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with session.get(url, headers=headers, params=query, timeout=timeout) as response:
        if response.status in {UNAUTHORIZED, FORBIDDEN}:
            raise AuthError(await detail_of(response))
        response.raise_for_status()
        return json.loads(await response.text())


async def detail_of(response: aiohttp.ClientResponse) -> str:
    """Why a request was refused, as the contract has it."""
    try:
        detail = json.loads(await response.text())["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    return detail if isinstance(detail, str) else f"refused with HTTP {response.status}"


def explain(error: Exception) -> str:
    """What is in the way, for a person. Never the address that was asked for, which holds the token."""
    for kind, text in _PLAINLY:
        if isinstance(error, kind):
            return text
    if isinstance(error, aiohttp.ClientResponseError):
        if error.status == TOO_OFTEN:
            return "the server is asked too often from here, or logins have failed; try again in some minutes"
        instead = " instead of a WebSocket" if isinstance(error, aiohttp.WSServerHandshakeError) else ""
        return f"HTTP {error.status}{instead}"
    if isinstance(error, OSError):
        return plainly(error)
    return "no answer that makes sense; is it a WebMACS server?"


_PLAINLY: Final = (
    (aiohttp.ClientConnectorCertificateError, "the server's certificate is not trusted; --cafile names one that is"),
    (aiohttp.ClientSSLError, "no TLS that both understand; is it http:// there?"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection; is it https:// there?"),
    (TimeoutError, "no answer in time"),
)


class _Ended(WebmacsError):
    """The connection is over."""


async def _message(socket: aiohttp.ClientWebSocketResponse, timeout_s: float) -> str:
    """The next text; another kind of message is as good as an empty one. Raises when the connection has ended."""
    message = await socket.receive(timeout_s)
    if message.type is aiohttp.WSMsgType.CLOSE:
        if message.data == aiohttp.WSCloseCode.POLICY_VIOLATION:
            raise AuthError(message.extra or INVALID_OR_EXPIRED)
        raise _Ended(message.extra or f"the server closed the connection ({message.data})")
    if message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR}:
        raise _Ended("the connection was lost")
    return message.data if isinstance(message.data, str) else ""
