"""What an attempt means for its delivery: properties of a pure function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.config import WebhookSettings
from webmacs.model import Delivery, DeliveryStatus
from webmacs.testing import START_US
from webmacs.webhooks.attempt import Answer
from webmacs.webhooks.schedule import FACTOR, SPREAD, outcome, pause_s

NOW_US = START_US
CREATED_US = START_US - 60_000_000
DELIVERY = Delivery(1, "id", 1, "type", "{}", DeliveryStatus.PENDING, 0, CREATED_US, None, None, CREATED_US, None)
REFUSED = Answer(None, "no connection", None)
DEFAULTS = WebhookSettings()

chances = st.floats(0, 1, exclude_max=True)
errors = st.builds(
    Answer,
    st.none() | st.integers(300, 599),
    st.text(min_size=1, max_size=20),
    st.none() | st.floats(0, 1e300),
)


def settings(**options: Any) -> WebhookSettings:
    return WebhookSettings.model_validate(options)


@pytest.mark.parametrize("attempts", range(8))
def test_taken_at_any_attempt_it_is_delivered_and_nothing_is_left_of_the_errors_before(attempts: int) -> None:
    before = replace(DELIVERY, attempts=attempts, last_error="HTTP 500", response_code=500)
    found = outcome(before, Answer(204, None, None), DEFAULTS, NOW_US, 0.5)
    assert (found.status, found.error, found.response_code) == (DeliveryStatus.DELIVERED, None, 204)
    assert found.time_us == NOW_US


@given(errors.filter(lambda answer: not answer.gone), chances, st.integers(1, 20))
def test_it_waits_for_each_attempt_that_is_left_and_is_given_up_after_the_last(
    answer: Answer, chance: float, attempts: int
) -> None:
    for number in range(attempts):
        found = outcome(replace(DELIVERY, attempts=number), answer, settings(attempts=attempts), NOW_US, chance)
        last = number == attempts - 1
        assert found.status is (DeliveryStatus.DEAD_LETTER if last else DeliveryStatus.PENDING)
        assert (found.error, found.response_code) == (answer.error, answer.status)


@given(chances)
def test_a_receiver_that_is_gone_is_not_tried_again(chance: float) -> None:
    found = outcome(DELIVERY, Answer(410, "HTTP 410", None), DEFAULTS, NOW_US, chance)
    assert found.status is DeliveryStatus.DEAD_LETTER


def test_each_pause_is_four_times_the_one_before() -> None:
    given_settings = settings(first_retry_s=5, max_retry_s=1e9)
    assert [pause_s(number, None, given_settings, 0.5) for number in range(1, 8)] == [
        5.0 * 4**number for number in range(7)
    ]


def test_the_defaults_go_on_for_hours() -> None:
    pauses = [pause_s(number, None, DEFAULTS, 0.5) for number in range(1, DEFAULTS.attempts)]
    assert pauses == [5.0, 20.0, 80.0, 320.0, 1280.0, 5120.0, 20480.0]
    assert sum(pauses) > 7 * 3600


@given(st.integers(1, 10_000), chances, st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_a_pause_is_spread_by_a_quarter_at_most_and_never_longer_than_the_longest(
    attempts: int, chance: float, first_retry_s: float, max_retry_s: float
) -> None:
    found = pause_s(attempts, None, settings(first_retry_s=first_retry_s, max_retry_s=max_retry_s), chance)
    middle = min(first_retry_s * FACTOR ** min(attempts - 1, 60), max_retry_s)
    assert middle * (1 - SPREAD) * (1 - 1e-9) <= found <= min(middle * (1 + SPREAD) * (1 + 1e-9), max_retry_s)


def test_the_spread_reaches_both_sides() -> None:
    pauses = [pause_s(1, None, DEFAULTS, chance) for chance in (0.0, 0.999_999)]
    assert pauses == pytest.approx([3.75, 6.25], rel=1e-5)


@given(st.integers(1, 10), chances, st.floats(0, 1e300))
def test_what_a_receiver_asks_for_is_granted_when_it_is_longer_up_to_the_longest(
    attempts: int, chance: float, retry_after_s: float
) -> None:
    own = pause_s(attempts, None, DEFAULTS, chance)
    found = pause_s(attempts, retry_after_s, DEFAULTS, chance)
    assert found == min(max(own, retry_after_s), DEFAULTS.max_retry_s)


@given(errors.filter(lambda answer: not answer.gone), chances, st.integers(0, 6))
def test_the_next_attempt_is_due_after_the_pause(answer: Answer, chance: float, attempts: int) -> None:
    found = outcome(replace(DELIVERY, attempts=attempts), answer, DEFAULTS, NOW_US, chance)
    pause = pause_s(attempts + 1, answer.retry_after_s, DEFAULTS, chance)
    assert found.due_us == pytest.approx(NOW_US + pause * 1e6, abs=1)
    assert found.due_us > NOW_US
