"""What is counted in the exposition format of Prometheus, by prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from webmacs.metrics import Metrics


def exposed(metrics: Metrics) -> bytes:
    """All of them, in version 0.0.4 of the format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(metrics))
    return generate_latest(registry)


class _Families(Collector):
    """The interface of prometheus-client's registry."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """A family for each name."""
        for name, (description, series) in self._metrics.counters.items():
            family = CounterMetricFamily(f"webmacs_{name}", description, labels=[key for key, _ in next(iter(series))])
            for labels, counter in series.items():
                family.add_metric([value for _, value in labels], counter.value)
            yield family
        for name, (description, read) in self._metrics.gauges.items():
            yield GaugeMetricFamily(f"webmacs_{name}", description, value=read())
        for name, (description, histogram) in self._metrics.histograms.items():
            bounds = (*map(str, histogram.bounds), "+Inf")
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            yield HistogramMetricFamily(f"webmacs_{name}", description, buckets=buckets, sum_value=histogram.total)
