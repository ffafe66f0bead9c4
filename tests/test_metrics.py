"""What is counted and how it is exposed."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from webmacs.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would read."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_counter_is_one_by_name_and_labels() -> None:
    metrics = Metrics()
    metrics.counter("failures", "Failures", stage="a").add()
    metrics.counter("failures", "Failures", stage="a").add(2)
    metrics.counter("failures", "Failures", stage="b").add(5)
    metrics.counter("rows", "Rows").add(7)
    assert samples(metrics) == {
        ("webmacs_failures_total", (("stage", "a"),)): 3.0,
        ("webmacs_failures_total", (("stage", "b"),)): 5.0,
        ("webmacs_rows_total", ()): 7.0,
    }


def test_the_order_of_labels_does_not_matter() -> None:
    metrics = Metrics()
    assert metrics.counter("n", "N", a="1", b="2") is metrics.counter("n", "N", b="2", a="1")


def test_a_counter_is_exposed_before_it_has_counted_anything() -> None:
    metrics = Metrics()
    metrics.counter("rows", "Rows")
    assert samples(metrics) == {("webmacs_rows_total", ()): 0.0}


def test_a_gauge_is_read_when_somebody_asks() -> None:
    metrics, values = Metrics(), iter((1.0, 2.0))
    metrics.gauge("depth", "Depth", lambda: next(values))
    assert [samples(metrics)[("webmacs_depth", ())] for _ in range(2)] == [1.0, 2.0]


def test_descriptions_are_exposed() -> None:
    metrics = Metrics()
    metrics.counter("rows", "Rows committed")
    assert b"# HELP webmacs_rows_total Rows committed" in metrics.text()


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "ünï"])
def test_any_label_survives(name: str) -> None:
    metrics = Metrics()
    metrics.counter("failures", "Failures", stage=name).add()
    assert samples(metrics) == {("webmacs_failures_total", (("stage", name),)): 1.0}


def test_two_servers_in_one_process_do_not_share_numbers() -> None:
    first, second = Metrics(), Metrics()
    first.counter("rows", "Rows").add()
    assert second.counter("rows", "Rows").value == 0
