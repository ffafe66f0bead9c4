"""What controllers are told that ask for it: who the server is, what their outputs are to be, and what has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Final

from webmacs import __version__
from webmacs.catalog import Catalog, Snapshot
from webmacs.clock import Clock
from webmacs.config import Settings
from webmacs.frames import Update, text_frame
from webmacs.given import Given, NewestGiven
from webmacs.hub import CONTROLLER, Client, Hub
from webmacs.model import Identity, Scope, to_datetime

FEATURES: Final = ("ack", "setpoints", "status", "changes")
CHANGED: Final = {"type": "changed"}
_HEAD: Final = b'{"type":"setpoints","setpoints":['
_TAIL: Final = b"]}"


class Agents:
    """The members of the group `controller` that listen. The others are told nothing, ever, but answers.

    Each wants the events that its outputs follow, as far as it may know of them, and that is looked at again with each
    change of the catalog. A slow one gets the newest setpoint of each event.
    """

    def __init__(self, hub: Hub, catalog: Catalog, given: NewestGiven, clock: Clock, settings: Settings) -> None:
        self._hub, self._catalog, self._given, self._clock = hub, catalog, given, clock
        self._interval_s = settings.plugins.changed_interval_s
        self._limits = {
            "max_batch_size": settings.pipeline.max_batch_size,
            "max_message_bytes": settings.server.max_message_bytes,
        }
        self._seen = Snapshot()
        self._pause: asyncio.TimerHandle | None = None  # while it runs, nobody is told of changes
        self._again = False

    def welcome(self, client: Client) -> None:
        """Begin to tell a controller, before anything else is said to it."""
        client.send(
            {
                "type": "hello",
                "server": "webmacs",
                "version": __version__,
                "time": _moment(self._clock.now_us()),
                **self._limits,
                "features": FEATURES,
            }
        )
        wanted = _outputs(self._catalog.current, client.identity)
        client.want(wanted)
        known = _update(self._given.of(wanted))
        client.write(known.frame(None) or text_frame(_HEAD + _TAIL))

    def tell(self, given: Iterable[Given]) -> None:
        """Setpoints have been stored."""
        self._hub.broadcast(CONTROLLER, _update(given))

    def follow(self, snapshot: Snapshot) -> None:
        """The catalog is another one: who may know more than before is told, who may know less is not any more."""
        seen, self._seen = self._seen, snapshot
        agents = self._hub.listeners(CONTROLLER)
        if agents and _configuration(seen) != _configuration(snapshot):
            self._announce()
        for client in agents:
            before, wanted = client.wanted or frozenset(), _outputs(snapshot, client.identity)
            client.want(wanted)
            known = self._given.of(wanted - before)
            if known:
                self._hub.offer(client, _update(known))

    def _announce(self) -> None:
        """Say that something has changed: at once, but after a pause if that was said just now."""
        self._again = self._pause is not None
        if not self._again:
            self._hub.broadcast(CONTROLLER, CHANGED)
            self._pause = asyncio.get_running_loop().call_later(self._interval_s, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if self._again:
            self._announce()


def _outputs(catalog: Snapshot, identity: Identity) -> frozenset[str]:
    """The events whose setpoints this sender may know: who does not speak for one instance alone, and may no more than
    send readings, those of none.
    """
    if identity.plugin_id is not None:
        return catalog.outputs_by_plugin.get(identity.plugin_id, frozenset())
    return catalog.outputs if identity.scope.covers(Scope.FULL) else frozenset()


def _configuration(catalog: Snapshot) -> tuple[object, ...]:
    """What a controller fetches."""
    return catalog.plugins, catalog.channels, catalog.events


def _update(given: Iterable[Given]) -> Update:
    return Update(_HEAD, {one.event_public_id: _fragment(one) for one in given}, _TAIL)


def _fragment(given: Given) -> bytes:
    event = json.dumps(given.event_public_id)
    moment = _moment(given.time_us)
    return f'{{"event_public_id":{event},"value":{given.value!r},"timestamp":"{moment}"}}'.encode()


def _moment(time_us: int) -> str:
    """As the stream writes times: UTC, `+00:00`, six digits of fraction."""
    return to_datetime(time_us).isoformat(timespec="microseconds")
