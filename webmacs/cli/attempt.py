"""One attempt to deliver by hand: part of `webmacs webhook …`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from webmacs.cli.receiver import find_webhook, named
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.clock import SystemClock
from webmacs.model import WebhookEvent
from webmacs.storage import records
from webmacs.webhooks.attempt import Courier
from webmacs.webhooks.message import announce


@click.command("test")
@click.argument("webhook")
@config_option
@runs
async def test(webhook: str, config: Path | None) -> None:
    """Send a webhook a message now, and say what came of it.

    The exit code is 1 when the receiver did not take it. The message looks like one of a reading, with the type that
    stands first in the webhook's list, and has `"test": true`. It is sent once, also to a webhook that is switched off,
    and not kept.
    """
    settings, clock = settings_from(config), SystemClock()
    async with opened_storage(settings) as storage:
        found = find_webhook(await records.snapshot(storage, clock.now_us()), webhook)
    first = found.events[0] if found.events else WebhookEvent.READING.value
    now_us = clock.now_us()
    (message,) = announce(
        WebhookEvent.spelled(first),
        [replace(found, enabled=True, events=(first,))],
        time_us=now_us,
        now_us=now_us,
        sensor="test",  # none that exists: whoever overlooks the mark must not take the value for real
        value=0.0,
        test=True,
    )
    courier = Courier(settings.webhooks, clock)
    await courier.start()
    try:
        began = clock.monotonic()
        answer = await courier.send(found.url, message.public_id, message.payload.encode(), found.secrets(now_us))
        took_ms = (clock.monotonic() - began) * 1e3
    finally:
        await courier.close()
    if not answer.delivered:
        raise click.ClickException(f"{named(found)} has not taken it ({took_ms:.0f} ms): {answer.error}")
    click.echo(f"{named(found)} has taken it ({took_ms:.0f} ms): HTTP {answer.status}")
