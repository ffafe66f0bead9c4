"""How often a client may ask, whoever it says it is, and how long it may take to."""

from __future__ import annotations

import math

from aiohttp import web

from webmacs.buckets import Buckets
from webmacs.clock import Clock
from webmacs.config import ServerSettings
from webmacs.errors import TooOften
from webmacs.handlers.proxies import Proxies
from webmacs.metrics import Metrics


class RequestLimit:
    """Counts requests by the address they come from, before anything else of them is looked at."""

    def __init__(self, settings: ServerSettings, proxies: Proxies, clock: Clock, metrics: Metrics) -> None:
        self.body_timeout_s = settings.body_timeout_s
        self._per_minute, self._proxies = settings.requests_per_minute, proxies
        self._buckets = Buckets(settings.requests_per_minute, settings.max_tracked_addresses, clock)
        self._refused = metrics.counter("requests_refused", "HTTP requests of clients that ask too often")

    def admit(self, request: web.Request) -> None:
        """Let a request through. Raises `TooOften`."""
        wait_s = self._buckets.draw(self._proxies.client(request)) if self._per_minute else 0.0
        if wait_s:
            self._refused.add()
            raise TooOften(f"Too many requests from this address, more than {self._per_minute} a minute", wait_s)


def whole_seconds(wait_s: float) -> str:
    """A time to wait, as `Retry-After` says it: installed clients take it for a number."""
    return str(max(1, math.ceil(wait_s)))
