"""`webmacs token …`: API tokens, on the storage itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from webmacs.auth import api_token_digest, new_api_token
from webmacs.cli.printable import printable
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.clock import SystemClock
from webmacs.errors import NotFound
from webmacs.model import Plugin, Scope, to_datetime
from webmacs.storage import accounts, plugins

DAY_US: Final = 86_400_000_000


@click.group("token")
def command() -> None:
    """Issue, list and revoke API tokens."""


@command.command("issue")
@click.argument("email")
@click.option("--name", default="command line", show_default=True, help="What the token is for.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), metavar="N", help="How many days it is good for. Default: until revoked."
)
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.FULL.value,
    show_default=True,
    help="What it is good for: to send readings, to see what its owner may see, or all that its owner may do.",
)
@click.option("--plugin", metavar="NAME", help="With --scope ingest: the readings of this plugin instance alone.")
@config_option
@runs
async def issue(email: str, name: str, days: int | None, scope: str, plugin: str | None, config: Path | None) -> None:
    """Issue an API token for a user; prints it, alone, on standard output. It is not shown again."""
    if plugin is not None and scope != Scope.INGEST:
        raise click.UsageError(f"--plugin goes with --scope {Scope.INGEST}")
    now_us = SystemClock().now_us()
    text = new_api_token()
    settings = settings_from(config)
    async with opened_storage(settings) as storage:
        user, _ = await accounts.user_by_email(storage, email)
        await accounts.add_token(
            storage,
            user_id=user.id,
            name=name,
            digest=api_token_digest(text),
            expires_us=None if days is None else now_us + days * DAY_US,
            now_us=now_us,
            scope=Scope(scope),
            plugin_id=None if plugin is None else _instance(await plugins.plugins(storage), plugin).id,
        )
    # A script uses it at once; a running server that has to look for changes is given the time to see this one.
    await asyncio.sleep(2 * settings.storage.poll_interval_s)
    click.echo(text)


@command.command("list")
@config_option
@runs
async def listed(config: Path | None) -> None:
    """List all API tokens; never their text, which is not kept."""
    async with opened_storage(settings_from(config)) as storage:
        emails = {user.id: user.email for user in await accounts.users(storage)}
        instances = {plugin.id: plugin.instance_name for plugin in await plugins.plugins(storage)}
        for token in await accounts.tokens(storage):
            until = "until revoked" if token.expires_us is None else f"until {to_datetime(token.expires_us):%Y-%m-%d}"
            whose = "" if token.plugin_id is None else f", of {instances.get(token.plugin_id, '?')} alone"
            email = emails.get(token.user_id, "?")
            line = f"{token.public_id}  {email:<32} {until:<16} {token.scope:<6} {token.name}{whose}"
            click.echo(printable(line))


@command.command("revoke")
@click.argument("public_id")
@config_option
@runs
async def revoke(public_id: str, config: Path | None) -> None:
    """Revoke an API token by its id; live sockets that use it are closed within a second."""
    async with opened_storage(settings_from(config)) as storage:
        await accounts.remove_token(storage, public_id)
    click.echo(f"revoked {public_id}", err=True)


def _instance(known: Sequence[Plugin], named: str) -> Plugin:
    """The plugin instance of that name, or of that id. Raises `NotFound`, with the names that there are."""
    for plugin in known:
        if named in {plugin.instance_name, plugin.public_id}:
            return plugin
    names = ", ".join(repr(plugin.instance_name) for plugin in known) or "none"
    raise NotFound(f"there is no plugin instance {named!r}; there are {names}")
