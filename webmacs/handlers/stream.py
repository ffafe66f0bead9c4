"""`/ws/datapoints/stream`: live readings out."""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from webmacs.catalog import Catalog
from webmacs.handlers.newest import EncodedNewest
from webmacs.handlers.sockets import Doorkeeper, Entrance, Socket
from webmacs.hub import FRONTEND, Client, Hub
from webmacs.latest import LatestValues
from webmacs.model import Role, Scope
from webmacs.pipeline.broadcast import StreamEncoder

CONNECTED: Final = {"type": "connected", "message": "Subscribed to live datapoint stream."}
PONG: Final = {"type": "pong"}
ENTRANCE: Final = Entrance(FRONTEND, Role.VIEWER, Scope.READ, max_message_bytes=4096)


class Stream:
    """The handler of the socket."""

    def __init__(self, doorkeeper: Doorkeeper, hub: Hub, catalog: Catalog, latest: LatestValues) -> None:
        self._doorkeeper, self._hub, self._encoder = doorkeeper, hub, StreamEncoder()
        self._newest = EncodedNewest(catalog, latest, self._encoder.fragment)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Subscribe the browser, answer its pings, until it leaves or is sent away."""
        chosen = request.query.get("events")
        snapshot = request.query.get("snapshot") == "1"

        async def converse(client: Client, socket: Socket) -> None:
            client.listening = not snapshot
            client.send(CONNECTED)
            if snapshot:
                await self._send_newest(client)
            while (text := await socket.text()) is not None:
                if is_ping(text):
                    client.send(PONG)

        wanted = None if chosen is None else frozenset(filter(None, chosen.split(",")))
        return await self._doorkeeper.welcome(request, ENTRANCE, converse, wanted)

    async def _send_newest(self, client: Client) -> None:
        frame = self._encoder.message(await self._newest.fragments(client.wanted)).frame(None)
        self._hub.flush()  # what is older than this must not come after it
        if frame:
            client.write(frame)
        client.listening = True


def is_ping(text: str) -> bool:
    """Whether a browser's message is `{"type": "ping"}`; nothing else that it may send means anything."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"
