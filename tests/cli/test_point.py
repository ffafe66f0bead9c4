"""Readings over the wire, from servers that may say anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from webmacs.cli.point import in_list, in_message

READING = {
    "value": 23.5,
    "event_public_id": "abc-123",
    "timestamp": "2025-01-15T14:30:00.123456+00:00",
    "experiment_public_id": "exp-001",
}
TIME = datetime(2025, 1, 15, 14, 30, 0, 123456, tzinfo=UTC)


def test_a_batch_message_becomes_points() -> None:
    (point,) = in_message(json.dumps({"type": "datapoints_batch", "datapoints": [READING]}))
    assert (point.event, point.value, point.time, point.experiment) == ("abc-123", 23.5, TIME, "exp-001")
    assert point.raw == READING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[" * 100_000,
        "[]",
        '{"type": "connected"}',
        '{"type": "datapoints_batch"}',
        '{"type": "datapoints_batch", "datapoints": 7}',
        '{"type": "pong", "datapoints": [{"value": 1, "event_public_id": "a"}]}',
    ],
)
def test_other_messages_hold_no_points(text: str) -> None:
    assert in_message(text) == []


@pytest.mark.parametrize(
    "item",
    [
        7,
        None,
        {},
        {**READING, "value": True},
        {**READING, "value": "1.5"},
        {**READING, "value": None},
        {**READING, "value": float("nan")},
        {**READING, "value": float("inf")},
        {**READING, "value": 10**400},
        {**READING, "event_public_id": 7},
    ],
)
def test_what_is_no_reading_is_left_out(item: object) -> None:
    assert [point.raw for point in in_list([item, READING])] == [READING]


def test_what_is_no_list_holds_no_points() -> None:
    assert in_list({"detail": "no"}) == []


@pytest.mark.parametrize(
    "written", ["2025-01-15T14:30:00.123456Z", "2025-01-15T14:30:00.123456", "2025-01-15T15:30:00.123456+01:00"]
)
def test_a_time_is_understood_with_and_without_its_zone(written: str) -> None:
    (point,) = in_list([{**READING, "timestamp": written}])
    assert point.time == TIME


@pytest.mark.parametrize("written", ["yesterday", 7, None])
def test_a_reading_without_a_time_is_of_now(written: object) -> None:
    (point,) = in_list([{**READING, "timestamp": written}])
    assert datetime.now(UTC) - point.time < timedelta(minutes=1)


def test_a_reading_outside_experiments_has_none() -> None:
    (point,) = in_list([{**READING, "experiment_public_id": None}])
    assert point.experiment is None
