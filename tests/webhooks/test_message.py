"""What receivers are told."""

from __future__ import annotations

import json

import pytest

from webmacs.model import Webhook, WebhookEvent
from webmacs.testing import START_US
from webmacs.webhooks.message import announce, trial

TIME_US = START_US + 1
NOW_US = START_US + 5


def webhook(number: int, *events: str, enabled: bool = True) -> Webhook:
    return Webhook(number, f"webhook-{number}", f"https://{number}.example", events, enabled, None, START_US)


def told(event: WebhookEvent, *webhooks: Webhook, **details: str | float | None) -> list[tuple[int, str, str]]:
    made = announce(event, webhooks, time_us=TIME_US, now_us=NOW_US, **details)
    return [(delivery.webhook_id, delivery.event_type, delivery.payload) for delivery in made]


def test_a_reading_is_told_as_the_contract_has_it() -> None:
    (delivery,) = announce(
        WebhookEvent.READING, [webhook(1, "sensor.reading")], time_us=TIME_US, now_us=NOW_US, sensor="id", value=7.0
    )
    assert delivery.payload == (
        '{"type":"sensor.reading","time":"2026-01-01T00:00:00.000001+00:00","sensor":"id","value":7.0}'
    )
    assert (delivery.webhook_id, delivery.event_type, delivery.created_us) == (1, "sensor.reading", NOW_US)


def test_the_time_has_six_digits_also_on_the_second() -> None:
    made = announce(WebhookEvent.READING, [webhook(1, "sensor.reading")], time_us=START_US, now_us=NOW_US)
    assert json.loads(made[0].payload)["time"] == "2026-01-01T00:00:00.000000+00:00"


@pytest.mark.parametrize("event", WebhookEvent)
def test_each_is_told_in_its_own_spelling(event: WebhookEvent) -> None:
    dot, underscore = event.spellings
    found = told(event, webhook(1, dot), webhook(2, underscore))
    assert [(number, kind, json.loads(payload)["type"]) for number, kind, payload in found] == [
        (1, dot, dot),
        (2, underscore, underscore),
    ]


def test_who_has_subscribed_to_both_spellings_is_told_once() -> None:
    assert [kind for _, kind, _ in told(WebhookEvent.READING, webhook(1, "sensor_reading", "sensor.reading"))] == [
        "sensor_reading"
    ]


def test_nobody_else_is_told() -> None:
    others = (webhook(1, "experiment.started"), webhook(2, "sensor.reading", enabled=False), webhook(3))
    assert told(WebhookEvent.READING, *others) == []


def test_the_details_come_in_their_order_and_those_that_are_none_are_absent() -> None:
    ((_, _, payload),) = told(
        WebhookEvent.THRESHOLD_EXCEEDED,
        webhook(1, "sensor.threshold_exceeded"),
        sensor="id",
        value=None,
        rule="hot",
        operator="gt",
        threshold=80.0,
    )
    assert list(json.loads(payload)) == ["type", "time", "sensor", "rule", "operator", "threshold"]


@pytest.mark.parametrize("name", ["Größe µ", 'a "quoted" name', "two\nlines", "nothing \0 at all", "\u2028"])
def test_any_text_survives(name: str) -> None:
    ((_, _, payload),) = told(WebhookEvent.EXPERIMENT_STARTED, webhook(1, "experiment.started"), experiment=name)
    assert json.loads(payload)["experiment"] == name
    assert "\0" not in payload  # which no storage takes


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-300, 1.7976931348623157e308, 0.1 + 0.2, 1e22])
def test_a_value_survives_to_the_last_bit(value: float) -> None:
    ((_, _, payload),) = told(WebhookEvent.READING, webhook(1, "sensor.reading"), value=value)
    assert json.loads(payload)["value"].hex() == value.hex()


def test_each_delivery_has_an_id_of_its_own() -> None:
    made = announce(
        WebhookEvent.READING, [webhook(n, "sensor.reading") for n in range(50)], time_us=TIME_US, now_us=NOW_US
    )
    assert len({delivery.public_id for delivery in made}) == 50


def test_a_trial_is_for_one_whatever_it_wants_to_hear_of() -> None:
    for receiver in (webhook(1), webhook(1, "sensor_reading"), webhook(1, enabled=False)):
        delivery = trial(receiver, TIME_US)
        assert delivery.payload == '{"type":"webmacs.test","time":"2026-01-01T00:00:00.000001+00:00"}'
        assert (delivery.webhook_id, delivery.event_type, delivery.created_us) == (1, "webmacs.test", TIME_US)
    assert trial(receiver, TIME_US).public_id != delivery.public_id


def test_nobody_subscribes_to_trials() -> None:
    with pytest.raises(ValueError, match="is no event of webhooks"):
        WebhookEvent.spelled(trial(webhook(1), TIME_US).event_type)
