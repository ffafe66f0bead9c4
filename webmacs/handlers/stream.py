"""`/ws/datapoints/stream`: live readings out."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from webmacs.catalog import Catalog
from webmacs.handlers.sockets import Doorkeeper, Entrance, Socket
from webmacs.hub import FRONTEND, Client
from webmacs.latest import LatestValues
from webmacs.model import Role, Scope
from webmacs.pipeline.broadcast import StreamEncoder

CONNECTED: Final = {"type": "connected", "message": "Subscribed to live datapoint stream."}
PONG: Final = {"type": "pong"}
ENTRANCE: Final = Entrance(FRONTEND, Role.VIEWER, Scope.READ, max_message_bytes=4096)


class Stream:
    """The handler of the socket."""

    def __init__(self, doorkeeper: Doorkeeper, catalog: Catalog, latest: LatestValues) -> None:
        self._doorkeeper, self._catalog, self._latest = doorkeeper, catalog, latest
        self._encoder = StreamEncoder()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Subscribe the browser, answer its pings, until it leaves or is sent away."""
        chosen = request.query.get("events")
        snapshot = request.query.get("snapshot") == "1"

        async def converse(client: Client, socket: Socket) -> None:
            client.send(CONNECTED)
            if snapshot:
                self._send_latest(client)
            while (text := await socket.text()) is not None:
                if is_ping(text):
                    client.send(PONG)

        wanted = None if chosen is None else frozenset(filter(None, chosen.split(",")))
        return await self._doorkeeper.welcome(request, ENTRANCE, converse, wanted)

    def _send_latest(self, client: Client) -> None:
        events = self._catalog.current.events_by_id
        frame = self._encoder.update(
            datapoint for event_id, datapoint in self._latest.all().items() if event_id in events
        ).frame(client.wanted)
        if frame is not None:
            client.write(frame)


def is_ping(text: str) -> bool:
    """Whether a browser's message is `{"type": "ping"}`; nothing else that it may send means anything."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"
