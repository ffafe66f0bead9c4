"""What an attempt means for its delivery. Pure: the time and the chance are arguments."""

from __future__ import annotations

import math
from typing import Final

from webmacs.config import WebhookSettings
from webmacs.model import Delivery, DeliveryStatus
from webmacs.storage.deliveries import Outcome
from webmacs.webhooks.attempt import Answer

FACTOR: Final = 4.0
SPREAD: Final = 0.25


def outcome(delivery: Delivery, answer: Answer, settings: WebhookSettings, now_us: int, chance: float) -> Outcome:
    """What became of a delivery by one more attempt; `chance` in [0, 1) spreads the retries of many."""
    if answer.delivered:
        return Outcome(delivery, DeliveryStatus.DELIVERED, None, answer.status, delivery.due_us, now_us)
    attempts = delivery.attempts + 1
    last = answer.gone or attempts >= settings.attempts
    status = DeliveryStatus.DEAD_LETTER if last else DeliveryStatus.PENDING
    due_us = now_us + round(pause_s(attempts, answer.retry_after_s, settings, chance) * 1e6)
    return Outcome(delivery, status, answer.error, answer.status, due_us, now_us)


def pause_s(attempts: int, retry_after_s: float | None, settings: WebhookSettings, chance: float) -> float:
    """Seconds until the next attempt, after so many that failed.

    Four times as long each time, spread by a quarter to either side; what the receiver asks for, if that is longer;
    never longer than the longest pause.
    """
    growing = min(settings.first_retry_s * math.pow(FACTOR, min(attempts - 1, 64)), settings.max_retry_s)
    spread = growing * (1 + SPREAD * (2 * chance - 1))
    return min(max(spread, retry_after_s or 0.0), settings.max_retry_s)
