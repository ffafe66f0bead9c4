"""What a receiver is told: the payload, made once, when it happens; every attempt sends the same bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Final

from webmacs.model import NewDelivery, Webhook, WebhookEvent, to_datetime

TEST: Final = "webmacs.test"
"""The type of what a receiver is sent to see whether it arrives. Nobody subscribes to it."""


def announce(
    event: WebhookEvent,
    webhooks: Iterable[Webhook],
    *,
    time_us: int,
    now_us: int,
    **details: str | float | None,
) -> list[NewDelivery]:
    """A delivery to each webhook that is switched on and wants to hear of the event, spelled as it does.

    The payload is a JSON object: `type`, `time` (of what happened), then `details` in their order, without those that
    are None.
    """
    made = []
    for webhook in webhooks:
        spelling = webhook.spelling(event)
        if spelling is None or not webhook.enabled:
            continue
        made.append(_delivery(webhook, spelling, time_us, now_us, **details))
    return made


def trial(webhook: Webhook, now_us: int) -> NewDelivery:
    """A delivery to that webhook alone, whatever it wants to hear of, about nothing but itself."""
    return _delivery(webhook, TEST, now_us, now_us)


def _delivery(webhook: Webhook, kind: str, time_us: int, now_us: int, **details: str | float | None) -> NewDelivery:
    told = {key: value for key, value in details.items() if value is not None}
    time = to_datetime(time_us).isoformat(timespec="microseconds")
    payload = json.dumps({"type": kind, "time": time, **told}, ensure_ascii=False, separators=(",", ":"))
    return NewDelivery(str(uuid.uuid4()), webhook.id, kind, payload, now_us)
