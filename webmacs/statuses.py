"""What controllers say of the plugin instances that they run, in memory."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.metrics import Metrics
from webmacs.model import Identity


class Status(enum.StrEnum):
    """How a plugin instance is doing."""

    INACTIVE = "inactive"
    CONNECTED = "connected"
    ERROR = "error"
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Report:
    """What a controller says of one instance; `message` is a line for a person."""

    public_id: str
    status: Status
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """The last report of an instance. `fresh`: it is younger than `plugins.quiet_s`."""

    report: Report
    time_us: int
    fresh: bool


class Statuses:
    """The last report of each instance: as many as the catalog has instances, at most, and forgotten with them."""

    def __init__(self, catalog: Catalog, clock: Clock, quiet_s: float, metrics: Metrics) -> None:
        self._catalog, self._clock, self._quiet_s = catalog, clock, quiet_s
        self._reports: dict[int, tuple[Report, int, float]] = {}
        self._ignored = metrics.counter(
            "statuses_ignored", "Reports of plugin instances that are not there, or not their sender's"
        )

    def hear(self, reports: Iterable[Report], sender: Identity) -> int:
        """Take what a sender says of instances that it may speak for; returns how many those are, counts the others."""
        known, now_us, now = self._catalog.current.plugins_by_public_id, self._clock.now_us(), self._clock.monotonic()
        taken = 0
        for report in reports:
            plugin = known.get(report.public_id)
            if plugin is not None and sender.plugin_id in {None, plugin.id}:
                self._reports[plugin.id] = report, now_us, now
                taken += 1
            else:
                self._ignored.add()
        return taken

    def of(self, plugin_id: int) -> Said | None:
        """What was said last of the instance of that surrogate id."""
        found = self._reports.get(plugin_id)
        if found is None:
            return None
        report, time_us, heard = found
        return Said(report, time_us, self._clock.monotonic() - heard <= self._quiet_s)

    def retain(self, plugin_ids: Collection[int]) -> None:
        """Forget instances that are gone."""
        for plugin_id in self._reports.keys() - set(plugin_ids):
            del self._reports[plugin_id]
