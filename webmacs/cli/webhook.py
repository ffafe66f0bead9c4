"""`webmacs webhook …`: who is told of what, on the storage itself. A running server sees a change within a second."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from webmacs.cli.access import first_administrator
from webmacs.cli.attempt import test
from webmacs.cli.choice import short_id, webhook_event
from webmacs.cli.delivery import deliveries, redeliver
from webmacs.cli.listing import Entry, ago, count, iso, lines_option, show
from webmacs.cli.receiver import check_url, doubt, find_webhook, named, short_url
from webmacs.cli.secret import a_secret, rotate, secret_option
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from, suggested
from webmacs.clock import SystemClock
from webmacs.errors import Conflict
from webmacs.model import Webhook, WebhookEvent
from webmacs.storage import records, webhooks
from webmacs.storage.tallies import Tally, tallies

HEADINGS: Final = ("ID", "Receiver", "State", "Waiting", "Given up", "Last delivery")


@click.group("webhook")
def command() -> None:
    """Add, list, test and remove webhooks; see their deliveries.

    WEBHOOK is an id or its beginning, or a part of the URL that no other webhook has.
    """


@command.command("add")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    required=True,
    metavar="TYPE",
    help=f"What it wants to hear of. Repeatable. There are {', '.join(WebhookEvent)}; an underscore may stand for the"
    " dot, and is then sent.",
)
@secret_option
@click.option("--new-secret", is_flag=True, help="Make a secret, and print it on a second line.")
@click.option("--disabled", is_flag=True, help="Leave it switched off for now.")
@config_option
@runs
async def add(
    url: str, events: tuple[str, ...], secret_stdin: bool, new_secret: bool, disabled: bool, config: Path | None
) -> None:
    """Add a webhook; prints its id on the first line.

    With --new-secret the secret is on the second line, and is not shown again. Without a secret, deliveries are not
    signed.

    \b
    Examples:
      webmacs webhook add https://example.org/alarms \\
        --event sensor.threshold_exceeded --event experiment.started --new-secret
      webmacs webhook add https://example.org/values --event sensor.reading \\
        --secret-stdin < secret.txt
    """  # noqa: D301 - click wants the character itself
    check_url(url)
    wanted = {webhook_event(text): text for text in reversed(events)}  # of two spellings, the first counts
    if secret_stdin and new_secret:
        raise click.UsageError("--secret-stdin brings a secret and --new-secret makes one: give one of them")
    secret = a_secret(from_stdin=secret_stdin) if secret_stdin or new_secret else None
    settings = settings_from(config)
    async with opened_storage(settings) as storage:
        now_us = SystemClock().now_us()
        catalog = await records.snapshot(storage, now_us)
        owner = first_administrator(catalog)
        try:
            public_id = await webhooks.add_webhook(
                storage,
                url=url,
                events=list(reversed(wanted.values())),
                secret=secret,
                enabled=not disabled,
                user_id=owner.id if owner else None,
                now_us=now_us,
            )
        except Conflict as error:
            there = next((short_id(webhook.public_id) for webhook in catalog.webhooks if webhook.url == url), "another")
            raise Conflict(f"there is a webhook for this URL already: {there}; remove it first") from error
    click.echo(public_id)
    if new_secret:
        click.echo(secret)
    if secret is None:
        mend = suggested(f"webhook rotate {short_id(public_id)}", config)
        click.echo(f"note: deliveries are not signed, so anybody could send the like; {mend} gives a secret", err=True)
    hindrance = await doubt(url, settings.webhooks)
    if hindrance is not None:
        click.echo(f"warning: nothing will arrive at {short_url(url)}: {hindrance}", err=True)


@command.command("list")
@click.option("--urls", is_flag=True, help="Show URLs whole, with all that may be secret in them.")
@lines_option
@config_option
@runs
async def listed(urls: bool, lines: bool, config: Path | None) -> None:
    """List all webhooks, the oldest first.

    Of URLs the host alone is shown, as the rest may be secret.

    Columns of lines: id, URL, events with commas between, on or off, signed or unsigned, deliveries that wait,
    deliveries given up, time of the last one delivered.
    """
    now_us = SystemClock().now_us()
    async with opened_storage(settings_from(config)) as storage:
        found = await webhooks.webhooks(storage)
        states = await tallies(storage)
    show(
        HEADINGS,
        [_entry(webhook, states.get(webhook.id, Tally()), now_us, urls=urls) for webhook in found],
        lines=lines,
    )
    if not found:
        click.echo(f"no webhooks yet; {suggested('webhook add --help', None)} says how to make one", err=True)


@command.command("remove")
@click.argument("webhook")
@config_option
@runs
async def remove(webhook: str, config: Path | None) -> None:
    """Remove a webhook with all its deliveries."""
    async with opened_storage(settings_from(config)) as storage:
        found = find_webhook(await records.snapshot(storage, SystemClock().now_us()), webhook)
        await webhooks.remove_webhook(storage, found.public_id)
    click.echo(f"removed {named(found)}", err=True)


@command.command("enable")
@click.argument("webhook")
@config_option
@runs
async def enable(webhook: str, config: Path | None) -> None:
    """Switch a webhook on; what waits for it goes out."""
    await _switch(webhook, config, enabled=True)


@command.command("disable")
@click.argument("webhook")
@config_option
@runs
async def disable(webhook: str, config: Path | None) -> None:
    """Switch a webhook off; what waits for it goes on waiting."""
    await _switch(webhook, config, enabled=False)


for part in (rotate, test, deliveries, redeliver):
    command.add_command(part)


async def _switch(webhook: str, config: Path | None, *, enabled: bool) -> None:
    async with opened_storage(settings_from(config)) as storage:
        found = find_webhook(await records.snapshot(storage, SystemClock().now_us()), webhook)
        await webhooks.enable_webhook(storage, found.public_id, enabled=enabled)
        waiting = (await tallies(storage)).get(found.id, Tally()).pending
    wait = f"; {count(waiting, 'delivery')} waiting" if waiting else ""
    click.echo(f"switched {'on' if enabled else 'off'} {named(found)}{wait}", err=True)


def _entry(webhook: Webhook, tally: Tally, now_us: int, *, urls: bool) -> Entry:
    state, signed = "on" if webhook.enabled else "off", bool(webhook.secrets(now_us))
    where = short_url(webhook.url)
    return Entry(
        cells=(
            (short_id(webhook.public_id), "dim"),
            (where, "bold" if webhook.enabled else "dim"),
            (state, "green" if webhook.enabled else "yellow"),
            (str(tally.pending), "yellow" if tally.pending else ""),
            (str(tally.dead), "red" if tally.dead else ""),
            (ago(tally.delivered_us, now_us), ""),
        ),
        notes=(", ".join(webhook.events) + ("" if signed else "; not signed"),),
        texts=(webhook.url,) if urls else (),
        fields=(
            webhook.public_id,
            webhook.url if urls else where,
            ",".join(webhook.events),
            state,
            "signed" if signed else "unsigned",
            tally.pending,
            tally.dead,
            iso(tally.delivered_us),
        ),
    )
