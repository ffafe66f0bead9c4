"""The newest datapoint of each event, encoded: each once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from webmacs.catalog import Catalog
from webmacs.latest import LatestValues
from webmacs.model import Datapoint
from webmacs.pauses import Pauses

PASSES: Final = 2


class EncodedNewest:
    """What `encode` makes of each. A crowd that comes at once, to a server that was away, is served by one encoding; it
    is made in parts, between which everyone else has a turn.
    """

    def __init__(self, catalog: Catalog, latest: LatestValues, encode: Callable[[Datapoint], bytes]) -> None:
        self._catalog, self._latest, self._encode = catalog, latest, encode
        self._made: dict[int, tuple[Datapoint, bytes]] = {}
        self._turn = asyncio.Lock()

    async def fragments(self, wanted: frozenset[str] | None = None) -> dict[str, bytes]:
        """By the public id of the event, of these events (None: all) that have one: as it is when this returns."""
        async with self._turn:
            pauses = Pauses()
            for _ in range(PASSES):  # while the first is made some change; while the second is made, few
                for datapoint in self._datapoints(wanted):
                    self._fragment(datapoint)
                    await pauses.between()
        fragments = {datapoint.event.public_id: self._fragment(datapoint) for datapoint in self._datapoints(wanted)}
        if wanted is None and len(self._made) > len(fragments):  # events are gone
            known = self._catalog.current.events_by_id
            self._made = {event_id: made for event_id, made in self._made.items() if event_id in known}
        return fragments

    def _datapoints(self, wanted: frozenset[str] | None) -> list[Datapoint]:
        """As of now."""
        latest, known = self._latest.all(), self._catalog.current
        if wanted is None:
            return [datapoint for event_id, datapoint in latest.items() if event_id in known.events_by_id]
        events = (known.events[public_id] for public_id in wanted if public_id in known.events)
        return [latest[event.id] for event in events if event.id in latest]

    def _fragment(self, datapoint: Datapoint) -> bytes:
        made = self._made.get(datapoint.event.id)
        if made is None or made[0] is not datapoint:
            made = self._made[datapoint.event.id] = datapoint, self._encode(datapoint)
        return made[1]
