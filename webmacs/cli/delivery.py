"""What became of deliveries, and how to make one again: part of `webmacs webhook …`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from webmacs.cli.choice import short_id
from webmacs.cli.listing import Entry, ahead, count, iso, lines_option, moment, show
from webmacs.cli.receiver import find_webhook
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from, suggested
from webmacs.clock import SystemClock
from webmacs.errors import NotFound
from webmacs.model import Delivery, DeliveryStatus
from webmacs.storage import deliveries as outbox
from webmacs.storage import records
from webmacs.storage.base import Storage
from webmacs.storage.tallies import deliveries_like

HEADINGS: Final = ("ID", "Event", "Asked for (UTC)", "Attempts", "Status")
MOST: Final = 10_000
STYLES: Final = {DeliveryStatus.PENDING: "yellow", DeliveryStatus.DELIVERED: "green", DeliveryStatus.DEAD_LETTER: "red"}
_ID: Final = re.compile(r"[0-9a-f-]{4,36}")


@click.command("deliveries")
@click.argument("webhook")
@click.option("--status", type=click.Choice([status.value for status in DeliveryStatus]), help="Only those.")
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=20, show_default=True, metavar="N", help="No more than so many."
)
@click.option("--payload", is_flag=True, help="Show what is sent, too.")
@lines_option
@config_option
@runs
async def deliveries(
    webhook: str, status: str | None, limit: int, payload: bool, lines: bool, config: Path | None
) -> None:
    """List deliveries of a webhook, the newest first.

    Columns of lines: id, when it was asked for, event, status, attempts, next attempt or time of delivery, last error,
    and the payload if asked for.
    """
    now_us = SystemClock().now_us()
    async with opened_storage(settings_from(config)) as storage:
        found = find_webhook(await records.snapshot(storage, now_us), webhook)
        only = None if status is None else DeliveryStatus(status)
        listed = await outbox.deliveries(storage, found.id, status=only, limit=limit)
    show(HEADINGS, [_entry(delivery, now_us, payload=payload) for delivery in listed], lines=lines)
    if not listed:
        click.echo("no deliveries" if only is None else f"no deliveries that are {only}", err=True)


@click.command("redeliver")
@click.argument("delivery_id", required=False)
@click.option("--dead", metavar="WEBHOOK", help="All of this webhook that were given up, instead of a single one.")
@config_option
@runs
async def redeliver(delivery_id: str | None, dead: str | None, config: Path | None) -> None:
    """Attempt a delivery again, whatever became of it.

    DELIVERY_ID is an id or its beginning. It keeps its id, and has all its attempts before it; a running server begins
    within a few seconds.
    """
    if (delivery_id is None) == (dead is None):
        raise click.UsageError("give the id of a delivery, or --dead WEBHOOK for all that were given up")
    async with opened_storage(settings_from(config)) as storage:
        now_us = SystemClock().now_us()
        catalog = await records.snapshot(storage, now_us)
        if dead is None:
            public_id, webhook_id = await _meant(storage, str(delivery_id))
            await outbox.redeliver(storage, public_id, now_us)
            webhook, number = catalog.webhooks_by_id.get(webhook_id), 1
        else:
            webhook = find_webhook(catalog, dead)
            number = await outbox.redeliver_dead(storage, webhook.id, now_us)
    click.echo(f"{count(number, 'delivery')} to be attempted again", err=True)
    if number and webhook is not None and not webhook.enabled:
        mend = suggested(f"webhook enable {short_id(webhook.public_id)}", config)
        click.echo(f"note: the webhook is switched off; {mend} lets them out", err=True)


async def _meant(storage: Storage, wanted: str) -> tuple[str, int]:
    """The id of the delivery that is meant, whole or by its beginning, and that of its webhook."""
    found = []
    if _ID.fullmatch(wanted.lower()):
        found = await deliveries_like(storage, wanted.lower(), 2)
    if not found:
        raise NotFound(f"there is no delivery {wanted!r}; {suggested('webhook deliveries WEBHOOK', None)} lists them")
    if len(found) > 1:
        raise click.ClickException(
            f"several deliveries begin with {wanted!r}; give more of the id, --lines shows it whole"
        )
    return found[0]


def _entry(delivery: Delivery, now_us: int, *, payload: bool) -> Entry:
    """The note says what the columns leave open: of what went well at once, nothing."""
    match delivery.status:
        case DeliveryStatus.PENDING:
            then_us: int | None = delivery.due_us
            note = f"next attempt {ahead(delivery.due_us, now_us)}"
        case DeliveryStatus.DELIVERED:
            then_us = delivery.delivered_us
            note = f"delivered at {moment(then_us)}" if then_us is not None and delivery.attempts > 1 else ""
        case _:
            then_us, note = None, ""
    note = "; ".join(filter(None, (note, delivery.last_error)))
    return Entry(
        cells=(
            (short_id(delivery.public_id), "dim"),
            (delivery.event_type, ""),
            (moment(delivery.created_us), ""),
            (str(delivery.attempts), ""),
            (delivery.status.replace("_", " "), STYLES[delivery.status]),
        ),
        notes=(note,) if note else (),
        texts=(delivery.payload,) if payload else (),
        fields=(
            delivery.public_id,
            iso(delivery.created_us),
            delivery.event_type,
            delivery.status.value,
            delivery.attempts,
            iso(then_us),
            delivery.last_error,
            *([delivery.payload] if payload else []),
        ),
    )
