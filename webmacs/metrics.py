"""Counters: plain integers on the hot path, Prometheus text when somebody asks.

A counter costs one addition; what makes the exposition format is not even imported before the first scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

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


class Metrics:
    """All counters, gauges and histograms of one process, by name with their descriptions; counters by labels, too."""

    def __init__(self) -> None:
        self.counters: dict[str, tuple[str, dict[Labels, Counter]]] = {}
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.histograms: dict[str, tuple[str, Histogram]] = {}

    def counter(self, name: str, description: str, **labels: str) -> Counter:
        """The counter of that name and those labels, made at the first call. Exposed as `webmacs_NAME_total`."""
        series = self.counters.setdefault(name, (description, {}))[1]
        return series.setdefault(tuple(sorted(labels.items())), Counter())

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A number that is read when somebody asks. Exposed as `webmacs_NAME`."""
        self.gauges[name] = (description, read)

    def histogram(self, name: str, description: str, bounds: Sequence[float]) -> Histogram:
        """The histogram of that name, made at the first call. `bounds` rise; what is above the last is counted, too.

        Exposed as `webmacs_NAME_bucket`, `webmacs_NAME_count` and `webmacs_NAME_sum`.
        """
        return self.histograms.setdefault(name, (description, Histogram(bounds)))[1]

    def text(self) -> bytes:
        """The exposition format of Prometheus, version 0.0.4."""
        from webmacs.exposition import exposed

        return exposed(self)
