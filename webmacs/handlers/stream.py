"""`/ws/datapoints/stream`: live readings out."""

from __future__ import annotations

import json

from aiohttp import web

from webmacs.catalog import Catalog
from webmacs.config import ServerSettings
from webmacs.handlers.sockets import Doorkeeper
from webmacs.hub import FRONTEND, Client, Hub
from webmacs.latest import LatestValues
from webmacs.model import Role
from webmacs.pipeline.broadcast import StreamEncoder

MAX_MESSAGE_BYTES = 4096
CONNECTED = {"type": "connected", "message": "Subscribed to live datapoint stream."}
PONG = {"type": "pong"}


class Stream:
    """The handler of the socket."""

    def __init__(
        self, doorkeeper: Doorkeeper, hub: Hub, catalog: Catalog, latest: LatestValues, settings: ServerSettings
    ) -> None:
        self._doorkeeper, self._hub, self._catalog, self._latest = doorkeeper, hub, catalog, latest
        self._settings = settings
        self._encoder = StreamEncoder()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Subscribe the browser, answer its pings, until it leaves or is sent away."""
        socket, identity = await self._doorkeeper.admit(request, Role.VIEWER, MAX_MESSAGE_BYTES)
        if identity is not None:
            chosen = request.query.get("events")
            client = Client(
                socket,
                socket.close,
                identity=identity,
                buffer_bytes=self._settings.client_buffer_bytes,
                wanted=None if chosen is None else frozenset(filter(None, chosen.split(","))),
            )
            client.send(CONNECTED)
            if request.query.get("snapshot") == "1":
                self._send_snapshot(client)
            self._hub.join(FRONTEND, client)
            try:
                async for text in socket.texts():
                    if _is_ping(text):
                        client.send(PONG)
            finally:
                self._hub.leave(client)
        await socket.closed()
        return socket.response

    def _send_snapshot(self, client: Client) -> None:
        events = self._catalog.current.events_by_id
        frame = self._encoder.update(
            datapoint for event_id, datapoint in self._latest.all().items() if event_id in events
        ).frame(client.wanted)
        if frame is not None:
            client.write(frame)


def _is_ping(text: str) -> bool:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"
