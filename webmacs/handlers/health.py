"""`/health` and `/metrics`: how the server is."""

from __future__ import annotations

from aiohttp import web

from webmacs import __version__
from webmacs.handlers.http import Routes, timestamp
from webmacs.health import Health
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics


class HealthRoutes:
    """The handlers of the resource."""

    def __init__(self, health: Health, latest: LatestValues, metrics: Metrics) -> None:
        self._health, self._latest, self._metrics = health, latest, metrics

    def register(self, routes: Routes) -> None:
        """Add the routes. `/health` is open: load balancers and container engines have no token."""
        routes.add("GET", "/health", self.health, needs=None)
        routes.add("GET", "/metrics", self.metrics)

    async def health(self, _request: web.Request) -> web.Response:
        """Always 200; `status` says whether readings are being stored."""
        report = await self._health.report()
        newest = max((datapoint.time_us for datapoint in self._latest.all().values()), default=None)
        return web.json_response(
            {
                "status": report.status,
                "version": __version__,
                "database": "ok" if report.reachable else "error",
                "last_datapoint": None if newest is None else timestamp(newest),
                "uptime_seconds": round(report.uptime_s, 1),
            }
        )

    async def metrics(self, _request: web.Request) -> web.Response:
        """The exposition format of Prometheus."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})
