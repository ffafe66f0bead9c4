"""What is counted of batches that are stored and of stages that fail, and how often the latter is said."""

from __future__ import annotations

import logging

import pytest

from tests.pipeline.fakes import Heard, Noted
from webmacs.metrics import Metrics
from webmacs.pipeline.base import Stage, Stored
from webmacs.pipeline.counts import Counts, Failures
from webmacs.testing import ManualClock


def fail(failures: Failures, stage: Stage) -> None:
    with failures.of(stage, "failed"):
        raise RuntimeError("the reason")


def test_each_number_of_a_stored_batch_has_its_counter() -> None:
    metrics = Metrics()
    counts = Counts(metrics)
    for _ in range(2):
        counts.stored(Stored(accepted=4, invalid=3, unlinked=2, skewed=1))
    names = ("readings_stored", "readings_invalid", "readings_unlinked", "readings_skewed")
    assert [metrics.counter(name, "").value for name in names] == [8, 6, 4, 2]


def test_every_failure_is_counted_for_its_stage() -> None:
    metrics = Metrics()
    failures = Failures(metrics, ManualClock())
    for stage in (Noted(), Noted(), Heard()):
        fail(failures, stage)
    assert [metrics.counter("stage_failures", "", stage=name).value for name in ("noted", "heard")] == [2, 1]


def test_a_stage_that_fails_all_the_time_is_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    failures, noted = Failures(Metrics(), clock), Noted()
    for _ in range(30):
        fail(failures, noted)
        clock.advance(0.1)
    assert [record.getMessage() for record in caplog.records] == ["stage noted failed"] * 3
    assert all(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)


def test_it_is_said_again_when_the_second_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    failures, noted = Failures(Metrics(), clock), Noted()
    for _ in range(3):
        fail(failures, noted)
        clock.advance(1.0)
    assert len(caplog.records) == 3


def test_the_failures_of_one_stage_do_not_hide_those_of_another(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(Metrics(), ManualClock())
    fail(failures, Noted())
    fail(failures, Heard())
    assert [record.getMessage() for record in caplog.records] == ["stage noted failed", "stage heard failed"]
