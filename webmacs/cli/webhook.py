"""`webmacs webhook …`: who is told of what, on the storage itself. A running server sees a change within a second."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from webmacs.cli.access import first_administrator
from webmacs.cli.choice import short_id
from webmacs.cli.delivery import deliveries, redeliver
from webmacs.cli.listing import Entry, ago, count, iso, lines_option, moment, show
from webmacs.cli.receiver import check_url, doubt, find_webhook, named, short_url
from webmacs.cli.rule import webhook_event
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from, suggested
from webmacs.clock import SystemClock
from webmacs.errors import Conflict
from webmacs.model import Webhook, WebhookEvent
from webmacs.storage import records, webhooks
from webmacs.storage.tallies import Tally, tallies
from webmacs.webhooks.message import announce
from webmacs.webhooks.signing import new_secret

MAX_SECRET: Final = 255
HEADINGS: Final = ("ID", "Receiver", "State", "Waiting", "Given up", "Last delivery")

secret_option = click.option(
    "--secret-stdin", is_flag=True, help=f"Read the secret from standard input: a line of 1 to {MAX_SECRET} characters."
)


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
    secret = _secret(given=secret_stdin) if secret_stdin or new_secret else None
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


@command.command("rotate")
@click.argument("webhook")
@secret_option
@config_option
@runs
async def rotate(webhook: str, secret_stdin: bool, config: Path | None) -> None:
    """Give a webhook a new secret, and print it.

    One from standard input is not repeated. The old one stays good beside it for as long as `webhooks.rotation_s` says:
    each delivery is signed with both.
    """
    settings = settings_from(config)
    secret = _secret(given=secret_stdin)
    async with opened_storage(settings) as storage:
        now_us = SystemClock().now_us()
        found = find_webhook(await records.snapshot(storage, now_us), webhook)
        until_us = now_us + round(settings.webhooks.rotation_s * 1e6)
        await webhooks.change_secret(storage, found.public_id, secret, old_until_us=until_us)
    if not secret_stdin:
        click.echo(secret)
    old = found.secrets(now_us)
    if not old:
        click.echo(f"{named(found)} had no secret; from now on its deliveries are signed", err=True)
    else:
        click.echo(f"the old secret of {named(found)} stays good until {moment(until_us)} UTC", err=True)
    if len(old) > 1:
        click.echo("warning: the one before that was still good, and is no more", err=True)


@command.command("test")
@click.argument("webhook")
@config_option
@runs
async def test(webhook: str, config: Path | None) -> None:
    """Send a webhook a message now, and say what came of it.

    The exit code is 1 when the receiver did not take it. The message looks like one of a reading, with the type that
    stands first in the webhook's list, and has `"test": true`. It is sent once, also to a webhook that is switched off,
    and not kept.
    """
    from webmacs.webhooks.attempt import Courier

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


command.add_command(deliveries)
command.add_command(redeliver)


async def _switch(webhook: str, config: Path | None, *, enabled: bool) -> None:
    async with opened_storage(settings_from(config)) as storage:
        found = find_webhook(await records.snapshot(storage, SystemClock().now_us()), webhook)
        await webhooks.enable_webhook(storage, found.public_id, enabled=enabled)
        waiting = (await tallies(storage)).get(found.id, Tally()).pending
    wait = f"; {count(waiting, 'delivery')} waiting" if waiting else ""
    click.echo(f"switched {'on' if enabled else 'off'} {named(found)}{wait}", err=True)


def _secret(*, given: bool) -> str:
    """A secret from standard input, or a new one."""
    if not given:
        return new_secret()
    try:
        text = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not 1 <= len(text) <= MAX_SECRET or not text.isprintable():
        raise click.ClickException(
            f"a secret has 1 to {MAX_SECRET} printable characters, on one line of standard input"
        )
    return text


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
