"""Times, roles, public ids, and how webhooks spell what they want to hear of."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.fakes import EVENTS
from webmacs.model import Datapoint, Role, Webhook, WebhookEvent, to_datetime, to_us

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001 - bounds are naive


@given(MOMENTS)
def test_a_time_survives_to_the_microsecond(moment: datetime) -> None:
    assert to_datetime(to_us(moment)) == moment


@given(MOMENTS, st.integers(-(10**15), 10**15))
def test_times_differ_as_their_numbers_do(moment: datetime, span_us: int) -> None:
    try:
        later = moment + timedelta(microseconds=span_us)
        assert to_us(later) - to_us(moment) == span_us
    except OverflowError:
        return


def test_times_are_counted_from_the_epoch_in_utc() -> None:
    assert to_us(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_datetime(1_736_951_400_123_456) == datetime(2025, 1, 15, 14, 30, 0, 123_456, tzinfo=UTC)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_covers_itself_and_those_below(role: Role, needed: Role) -> None:
    order = ["viewer", "operator", "admin"]
    assert role.covers(needed) is (order.index(role) >= order.index(needed))


@given(st.integers(1, 2**62), st.integers(-(2**53), 2**53), st.integers(1, 2**62), st.integers(-(2**53), 2**53))
def test_a_public_id_belongs_to_one_datapoint(first_id: int, first_us: int, second_id: int, second_us: int) -> None:
    first = Datapoint(first_id, EVENTS["a"], first_us, 1.0, None)
    second = Datapoint(second_id, EVENTS["a"], second_us, 2.0, None)
    assert (first.public_id == second.public_id) is ((first_id, first_us) == (second_id, second_us))


SPELLINGS = {
    "sensor.threshold_exceeded": "sensor_threshold_exceeded",
    "sensor.reading": "sensor_reading",
    "experiment.started": "experiment_started",
    "experiment.stopped": "experiment_stopped",
    "system.health_changed": "system_health_changed",
}


def test_each_event_of_webhooks_has_two_spellings() -> None:
    assert dict(event.spellings for event in WebhookEvent) == SPELLINGS


@pytest.mark.parametrize("event", WebhookEvent)
def test_an_event_is_found_by_either_spelling(event: WebhookEvent) -> None:
    assert [WebhookEvent.spelled(text) for text in (event.value, SPELLINGS[event.value])] == [event, event]


@pytest.mark.parametrize("text", ["", "sensor", "Sensor.reading", "sensor-reading", "sensor.threshold.exceeded", " "])
def test_another_spelling_is_that_of_no_event_and_what_there_is_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no event of webhooks; there are sensor.threshold_exceeded, "):
        WebhookEvent.spelled(text)


def webhook(*events: str, **secrets: object) -> Webhook:
    return Webhook(1, "w", "https://example.org", events, True, None, 0, **secrets)  # type: ignore[arg-type]


def test_a_webhook_is_told_in_its_own_spelling_of_two_in_the_first() -> None:
    events = ("experiment_started", "sensor_reading", "sensor.reading", "of-a-later-version")
    spelled = {event: webhook(*events).spelling(event) for event in WebhookEvent}
    assert {event: text for event, text in spelled.items() if text is not None} == {
        WebhookEvent.EXPERIMENT_STARTED: "experiment_started",
        WebhookEvent.READING: "sensor_reading",
    }


def test_for_a_while_after_a_change_two_secrets_are_good_the_newest_first() -> None:
    changed = webhook(secret="new", old_secret="old", old_secret_until_us=100)
    assert [changed.secrets(now_us) for now_us in (0, 99, 100, 101)] == [("new", "old")] * 2 + [("new",)] * 2


def test_a_webhook_may_have_no_secret() -> None:
    assert webhook().secrets(0) == ()
    assert webhook(secret="only").secrets(0) == ("only",)
    assert webhook(secret="first", old_secret=None, old_secret_until_us=100).secrets(0) == ("first",)


def test_a_secret_is_not_shown_with_its_webhook() -> None:
    assert "hidden" not in repr(webhook("sensor.reading", secret="hidden", old_secret="hidden too"))


def test_what_is_frozen_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENTS["a"].name = "other"  # type: ignore[misc]
