"""Secrets of webhooks: they come by standard input or are made here, and are never read from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from webmacs.cli.listing import moment
from webmacs.cli.receiver import find_webhook, named
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.clock import SystemClock
from webmacs.storage import records, webhooks
from webmacs.webhooks.signing import new_secret

MAX_SECRET: Final = 255

secret_option = click.option(
    "--secret-stdin", is_flag=True, help=f"Read the secret from standard input: a line of 1 to {MAX_SECRET} characters."
)


def a_secret(*, from_stdin: bool) -> str:
    """A secret from standard input, or a new one. Raises `click.ClickException`."""
    if not from_stdin:
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


@click.command("rotate")
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
    secret = a_secret(from_stdin=secret_stdin)
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
