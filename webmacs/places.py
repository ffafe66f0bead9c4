"""How many sockets there may be: in all, from one address, of one user; and how many other connections. No I/O."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from webmacs.buckets import Ration
from webmacs.config import ServerSettings
from webmacs.metrics import Metrics

_log = logging.getLogger(__name__)

TOO_MANY: Final = "Too many connections"


class Places:
    """Who is in, and whether there is room for one more. A place is given back whatever way the `with` block ends."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._taken = 0
        self._leaving = 0
        self._by: Counter[Hashable] = Counter()  # addresses are texts, users numbers

    @property
    def taken(self) -> int:
        """How many are in."""
        return self._taken

    def refusal(self, address: str, user_id: int | None = None) -> str | None:
        """Why there is no place for one more from there, of that user if it is known already; None: there is."""
        if self._taken >= self._settings.max_connections:
            return TOO_MANY
        if self._by[address] >= self._settings.max_connections_per_address:
            return f"{TOO_MANY} from this address"
        if user_id is not None and self._by[user_id] >= self._settings.max_connections_per_user:
            return f"{TOO_MANY} of this user"
        return None

    @contextmanager
    def place(self, address: str, user_id: int) -> Iterator[None]:
        """A place, for as long as the block lasts."""
        self._taken += 1
        self._by.update((address, user_id))
        try:
            yield
        finally:
            self._taken -= 1
            for key in (address, user_id):
                self._by[key] -= 1
                if not self._by[key]:
                    del self._by[key]

    @contextmanager
    def way_out(self) -> Iterator[bool]:
        """For one who is refused, and has no place: whether there is room to wait until it has read why."""
        if self._leaving >= self._settings.max_refused:
            yield False
            return
        self._leaving += 1
        try:
            yield True
        finally:
            self._leaving -= 1


class Arrivals:
    """Connections that are no WebSocket, or none yet: those that ask over HTTP, and those that have said nothing.

    Whatever a peer says comes later, so they are counted by the address they come from; those of a trusted proxy only
    in all.
    """

    def __init__(self, settings: ServerSettings, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self._by: Counter[str] = Counter()
        self._taken = 0
        self._warnings = Ration(1)
        self._refused = metrics.counter("connections_refused", "Connections that were one too many, and were cut")
        metrics.gauge("connections", "Connections that are no WebSocket, or none yet", lambda: self._taken)

    def enter(self, address: str | None) -> Callable[[], None] | None:
        """One more, from there; None: of a proxy. Returns what gives its place back, or None when there is no place."""
        limit = self._limit(address)
        if limit is not None:
            self._refused.add()
            if self._warnings.take(self._now()):
                _log.warning("connections are refused, the first of them from %s: %s", address or "a proxy", limit)
            return None
        self._taken += 1
        if address is None:
            return self._left
        self._by[address] += 1

        def left() -> None:
            self._left()
            self._by[address] -= 1
            if not self._by[address]:
                del self._by[address]

        return left

    def _limit(self, address: str | None) -> str | None:
        """The limit that one more would exceed."""
        if self._taken >= self._settings.max_http_connections:
            return f"there are {self._taken}, server.max_http_connections"
        if address is not None and self._by[address] >= self._settings.max_http_connections_per_address:
            return f"there are {self._by[address]} of this address, server.max_http_connections_per_address"
        return None

    def _left(self) -> None:
        self._taken -= 1
