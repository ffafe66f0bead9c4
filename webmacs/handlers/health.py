"""`/health` and `/metrics`: how the server is."""

from __future__ import annotations

import asyncio

from aiohttp import web

from webmacs import __version__
from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import StorageError
from webmacs.handlers.http import Routes, timestamp
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics
from webmacs.pipeline.runner import Pipeline
from webmacs.storage.base import Storage

PING_TIMEOUT_S = 1.0


class HealthRoutes:
    """The handlers of the resource."""

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        catalog: Catalog,
        latest: LatestValues,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._storage, self._pipeline, self._catalog = storage, pipeline, catalog
        self._latest, self._metrics, self._clock = latest, metrics, clock
        self._started = clock.monotonic()

    def register(self, routes: Routes) -> None:
        """Add the routes. `/health` is open: load balancers and container engines have no token."""
        routes.add("GET", "/health", self.health, needs=None)
        routes.add("GET", "/metrics", self.metrics)

    async def health(self, _request: web.Request) -> web.Response:
        """Always 200; `status` says whether readings are being stored."""
        reachable = await self._reachable()
        well = reachable and self._pipeline.healthy and not self._catalog.stale
        newest = max((datapoint.time_us for datapoint in self._latest.all().values()), default=None)
        return web.json_response(
            {
                "status": "ok" if well else "degraded",
                "version": __version__,
                "database": "ok" if reachable else "error",
                "last_datapoint": None if newest is None else timestamp(newest),
                "uptime_seconds": round(self._clock.monotonic() - self._started, 1),
            }
        )

    async def metrics(self, _request: web.Request) -> web.Response:
        """The exposition format of Prometheus."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _reachable(self) -> bool:
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._storage.ping()
        except (StorageError, TimeoutError):
            return False
        return True
