"""Counters: plain integers on the hot path, Prometheus text when somebody asks.

A counter costs one addition; the exposition format is made by prometheus-client at the time of a scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
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


class Histogram:
    """How many measurements fell between bounds, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more measurement; one that is equal to a bound is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics(Collector):
    """All counters, gauges and histograms of one process, by name and labels."""

    def __init__(self) -> None:
        self._counters: dict[str, tuple[str, dict[Labels, Counter]]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._histograms: dict[str, tuple[str, Histogram]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """The counter of that name and those labels, made at the first call. Exposed as `webmacs_NAME_total`."""
        series = self._counters.setdefault(name, (description, {}))[1]
        return series.setdefault(tuple(sorted(labels.items())), Counter())

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody asks. Exposed as `webmacs_NAME`."""
        self._gauges[name] = (description, read)

    def histogram(self, name: str, description: str, bounds: Sequence[float]) -> Histogram:
        """The histogram of that name, made at the first call. `bounds` rise; what is above the last is counted, too.

        Exposed as `webmacs_NAME_bucket`, `webmacs_NAME_count` and `webmacs_NAME_sum`.
        """
        return self._histograms.setdefault(name, (description, Histogram(bounds)))[1]

    def collect(self) -> Iterable[Metric]:
        """The interface of prometheus-client's registry."""
        for name, (description, series) in self._counters.items():
            family = CounterMetricFamily(f"webmacs_{name}", description, labels=[key for key, _ in next(iter(series))])
            for labels, counter in series.items():
                family.add_metric([value for _, value in labels], counter.value)
            yield family
        for name, (description, read) in self._gauges.items():
            yield GaugeMetricFamily(f"webmacs_{name}", description, value=read())
        for name, (description, histogram) in self._histograms.items():
            bounds = (*map(str, histogram.bounds), "+Inf")
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            yield HistogramMetricFamily(f"webmacs_{name}", description, buckets=buckets, sum_value=histogram.total)

    def text(self) -> bytes:
        """The exposition format of Prometheus, version 0.0.4."""
        return generate_latest(self._registry)
