"""Counters: plain integers on the hot path, Prometheus text when somebody asks.

A counter costs one addition; the exposition format is made by prometheus-client at the time of a scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only rises."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, count: int = 1) -> None:
        """Raise by `count`."""
        self.value += count


class Metrics(Collector):
    """All counters and gauges of one process, by name and labels."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[str, dict[Labels, Counter]]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """The counter of that name and those labels, made at the first call. Exposed as `webmacs_NAME_total`."""
        series = self._counters.setdefault(name, (description, {}))[1]
        return series.setdefault(tuple(sorted(labels.items())), Counter())

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody asks. Exposed as `webmacs_NAME`."""
        self._gauges[name] = (description, read)

    def collect(self) -> Iterable[Metric]:
        """The interface of prometheus-client's registry."""
        for name, (description, series) in self._counters.items():
            family = CounterMetricFamily(f"webmacs_{name}", description, labels=[key for key, _ in next(iter(series))])
            for labels, counter in series.items():
                family.add_metric([value for _, value in labels], counter.value)
            yield family
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(f"webmacs_{name}", description, value=read())

    def text(self) -> bytes:
        """The exposition format of Prometheus, version 0.0.4."""
        return generate_latest(self._registry)
