"""WebSocket clients of other people, behind one interface: each parses what we say with its own code."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import websocket
import websockets.asyncio.client
import websockets.sync.client
from websockets.exceptions import ConnectionClosed
from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate

TIMEOUT_S: Final = 20.0
Wanted = TypeVar("Wanted", bound=events.Event)

NO_CODE: Final = 1005  # RFC 6455, section 7.4.1: what is said of a close frame without a code


class Peer(ABC):
    """One connection. `deflate`: whether compression is asked for."""

    @classmethod
    @abstractmethod
    async def open(cls, url: str, *, deflate: bool = False) -> Self:
        """Connect; returns when the server has agreed."""

    @property
    @abstractmethod
    def extensions(self) -> str | None:
        """What the server has agreed to."""

    @abstractmethod
    async def send(self, *pieces: str) -> None:
        """One text message, in as many frames as there are pieces; in one where the library has no way to do that."""

    @abstractmethod
    async def receive(self) -> str:
        """The next text message."""

    @abstractmethod
    async def ping(self, payload: bytes) -> None:
        """Returns when the pong with that payload is there."""

    @abstractmethod
    async def ended(self) -> tuple[int, str]:
        """Code and reason with which the server ends it, whatever it says before."""

    @abstractmethod
    async def leave(self, code: int) -> int:
        """Close with that code; the one that the server answers."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.drop()

    @abstractmethod
    async def drop(self) -> None:
        """Let go of the connection, if it is still there."""


class Websockets(Peer):
    """The library `websockets` on asyncio."""

    def __init__(self, connection: websockets.asyncio.client.ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str, *, deflate: bool = False) -> Self:
        compression = "deflate" if deflate else None
        return cls(
            await websockets.asyncio.client.connect(
                url, compression=compression, max_size=None, ping_interval=None, proxy=None
            )
        )

    @property
    def extensions(self) -> str | None:
        assert self._connection.response is not None
        return self._connection.response.headers.get("Sec-WebSocket-Extensions")

    async def send(self, *pieces: str) -> None:
        await self._connection.send(pieces[0] if len(pieces) == 1 else pieces)

    async def receive(self) -> str:
        async with asyncio.timeout(TIMEOUT_S):
            message = await self._connection.recv()
        assert isinstance(message, str)
        return message

    async def ping(self, payload: bytes) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await (await self._connection.ping(payload))

    async def ended(self) -> tuple[int, str]:
        with suppress(ConnectionClosed):
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    await self._connection.recv()
        return self._connection.close_code or 0, self._connection.close_reason or ""

    async def leave(self, code: int) -> int:
        await self._connection.close(code)
        return self._connection.close_code or 0

    async def drop(self) -> None:
        await self._connection.close()


class WebsocketsInThreads(Peer):
    """The library `websockets` as it is without asyncio."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str, *, deflate: bool = False) -> Self:
        compression = "deflate" if deflate else None
        return cls(
            await asyncio.to_thread(
                websockets.sync.client.connect,
                url,
                compression=compression,
                max_size=None,
                ping_interval=None,
                proxy=None,
            )
        )

    @property
    def extensions(self) -> str | None:
        assert self._connection.response is not None
        return self._connection.response.headers.get("Sec-WebSocket-Extensions")

    async def send(self, *pieces: str) -> None:
        await asyncio.to_thread(self._connection.send, pieces[0] if len(pieces) == 1 else pieces)

    async def receive(self) -> str:
        message = await asyncio.to_thread(self._connection.recv, TIMEOUT_S)
        assert isinstance(message, str)
        return message

    async def ping(self, payload: bytes) -> None:
        answered = await asyncio.to_thread(self._connection.ping, payload)
        assert await asyncio.to_thread(answered.wait, TIMEOUT_S)

    async def ended(self) -> tuple[int, str]:
        with suppress(ConnectionClosed):
            while True:
                await asyncio.to_thread(self._connection.recv, TIMEOUT_S)
        return self._connection.protocol.close_code or 0, self._connection.protocol.close_reason or ""

    async def leave(self, code: int) -> int:
        await asyncio.to_thread(self._connection.close, code)
        return self._connection.protocol.close_code or 0

    async def drop(self) -> None:
        await asyncio.to_thread(self._connection.close)


class Wsproto(Peer):
    """The state machine `wsproto`, which does no input and output of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._machine = WSConnection(ConnectionType.CLIENT)
        self._events: Iterator[events.Event] = iter(())
        self._text = ""
        self._agreed = ""

    @classmethod
    async def open(cls, url: str, *, deflate: bool = False) -> Self:
        parts = urlsplit(url)
        self = cls(*await asyncio.open_connection(parts.hostname, parts.port))
        extensions: list[Any] = [PerMessageDeflate()] if deflate else []
        self._say(events.Request(parts.netloc, f"{parts.path}?{parts.query}", extensions=extensions))
        answer = await self._heard(events.AcceptConnection)
        self._agreed = ", ".join(extension.name for extension in answer.extensions)
        return self

    @property
    def extensions(self) -> str | None:
        return self._agreed or None

    async def send(self, *pieces: str) -> None:
        for piece in pieces[:-1]:
            self._say(events.TextMessage(piece, message_finished=False))
        self._say(events.TextMessage(pieces[-1]))
        with suppress(ConnectionError):  # the server may have left in the middle; what it said is there to be read
            await self._writer.drain()

    async def receive(self) -> str:
        self._text = ""
        await self._heard(events.TextMessage)
        return self._text

    async def ping(self, payload: bytes) -> None:
        self._say(events.Ping(payload))
        assert bytes((await self._heard(events.Pong)).payload) == payload

    async def ended(self) -> tuple[int, str]:
        closed = await self._heard(events.CloseConnection)
        return closed.code, closed.reason or ""

    async def leave(self, code: int) -> int:
        self._say(events.CloseConnection(code))
        return (await self.ended())[0]

    async def drop(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def _say(self, event: events.Event) -> None:
        self._writer.write(self._machine.send(event))

    async def _heard(self, wanted: type[Wanted]) -> Wanted:
        """The next event of that kind; pings are answered, others passed over."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in self._events:
                    if isinstance(event, events.Ping):
                        self._say(event.response())
                    elif isinstance(event, events.TextMessage):
                        self._text += event.data
                        if not event.message_finished:
                            continue
                    if isinstance(event, wanted):
                        return event
                self._machine.receive_data(await self._reader.read(65_536) or None)
                self._events = self._machine.events()


class WebsocketClient(Peer):
    """The library `websocket-client`. It knows no compression, but may be told to ask for it."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str, *, deflate: bool = False) -> Self:
        headers = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"] if deflate else []
        return cls(await asyncio.to_thread(websocket.create_connection, url, TIMEOUT_S, header=headers))

    @property
    def extensions(self) -> str | None:
        headers: dict[str, str] = self._connection.getheaders() or {}
        return headers.get("sec-websocket-extensions")

    async def send(self, *pieces: str) -> None:
        with suppress(ConnectionError):  # see Wsproto
            await asyncio.to_thread(self._connection.send, "".join(pieces))

    async def receive(self) -> str:
        opcode, data = await self._heard(websocket.ABNF.OPCODE_TEXT)
        assert opcode == websocket.ABNF.OPCODE_TEXT, (opcode, data)
        return data.decode()

    async def ping(self, payload: bytes) -> None:
        await asyncio.to_thread(self._connection.ping, payload)
        assert await self._heard(websocket.ABNF.OPCODE_PONG) == (websocket.ABNF.OPCODE_PONG, payload)

    async def ended(self) -> tuple[int, str]:
        _, data = await self._heard(websocket.ABNF.OPCODE_CLOSE)
        return (int.from_bytes(data[:2], "big") if data else NO_CODE), data[2:].decode()

    async def leave(self, code: int) -> int:
        await asyncio.to_thread(self._connection.send_close, code)
        return (await self.ended())[0]

    async def drop(self) -> None:
        await asyncio.to_thread(self._connection.shutdown)

    async def _heard(self, wanted: int) -> tuple[int, bytes]:
        """The next frame of that kind, or the close frame; others are passed over. It answers pings itself."""
        while True:
            opcode, frame = await asyncio.to_thread(self._connection.recv_data_frame, True)
            if opcode in {wanted, websocket.ABNF.OPCODE_CLOSE}:
                return opcode, bytes(frame.data)


LIBRARIES: Final[dict[str, type[Peer]]] = {
    "websockets": Websockets,
    "websockets in threads": WebsocketsInThreads,
    "wsproto": Wsproto,
    "websocket-client": WebsocketClient,
}
