"""`/health` and `/metrics`: how the server is."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from typing_extensions import TypedDict

from webmacs import __version__
from webmacs.handlers.http import Routes
from webmacs.handlers.resource import Call, Timestamp, timestamp
from webmacs.health import Health
from webmacs.latest import LatestValues
from webmacs.metrics import Metrics


class HealthShape(TypedDict):
    """How the server is; `degraded`: readings are not being stored, or a change of configuration could not be read."""

    status: Literal["ok", "degraded"]
    version: str
    database: Literal["ok", "error"]
    last_datapoint: Timestamp | None
    uptime_seconds: float


class HealthRoutes:
    """The handlers of the resource."""

    def __init__(self, health: Health, latest: LatestValues, metrics: Metrics) -> None:
        self._health, self._latest, self._metrics = health, latest, metrics

    def register(self, routes: Routes) -> None:
        """Add the routes. `/health` is open: load balancers and container engines have no token."""
        routes.add("GET", "/health", self.health, needs=None, limited=False)
        routes.add("GET", "/metrics", self.metrics, media="text/plain")

    async def health(self, _call: Call) -> HealthShape:
        """Always 200; `status` says whether readings are being stored."""
        report = await self._health.report()
        newest = max((datapoint.time_us for datapoint in self._latest.all().values()), default=None)
        return {
            "status": report.status,
            "version": __version__,
            "database": "ok" if report.reachable else "error",
            "last_datapoint": None if newest is None else timestamp(newest),
            "uptime_seconds": round(report.uptime_s, 1),
        }

    async def metrics(self, _call: Call) -> web.Response:
        """The exposition format of Prometheus."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})
