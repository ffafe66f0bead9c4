"""`webmacs user …`: accounts, on the storage itself; a running server sees the change within a second."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import click

from webmacs.auth import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, Passwords
from webmacs.cli.printable import printable
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.clock import SystemClock
from webmacs.errors import Conflict
from webmacs.model import Role, to_datetime
from webmacs.storage import accounts

_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")

password_option = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group("user")
def command() -> None:
    """Add, list and remove users, and change passwords."""


@command.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice([role.value for role in Role]), default=Role.VIEWER.value, show_default=True)
@click.option("--username", help="Default: the part of EMAIL before the @.")
@password_option
@config_option
@runs
async def add(email: str, role: str, username: str | None, password_stdin: bool, config: Path | None) -> None:
    """Add a user."""
    if not _EMAIL.fullmatch(email):
        raise click.ClickException(f"{email!r} is not an e-mail address")
    settings = settings_from(config)
    password = _password(from_stdin=password_stdin)
    async with opened_storage(settings, new=True) as storage:
        try:
            await accounts.add_user(
                storage,
                email=email,
                username=username or email.partition("@")[0],
                password_hash=_hash(password),
                role=Role(role),
                now_us=SystemClock().now_us(),
            )
        except Conflict as error:
            raise Conflict(f"a user with the e-mail {email} or that name exists already") from error
    click.echo(f"added {email} as {role}", err=True)


@command.command("list")
@config_option
@runs
async def listed(config: Path | None) -> None:
    """List all users."""
    async with opened_storage(settings_from(config)) as storage:
        for user in await accounts.users(storage):
            created = f"{to_datetime(user.created_us):%Y-%m-%d}"
            line = f"{user.email:<32} {user.role:<9} {user.username:<20} {created}  {user.public_id}"
            click.echo(printable(line))


@command.command("passwd")
@click.argument("email")
@password_option
@config_option
@runs
async def passwd(email: str, password_stdin: bool, config: Path | None) -> None:
    """Change a user's password, which ends all of that user's sessions."""
    settings = settings_from(config)
    password = _password(from_stdin=password_stdin)
    async with opened_storage(settings) as storage:
        user, _ = await accounts.user_by_email(storage, email)
        await accounts.set_password(storage, user.id, _hash(password))
    click.echo(f"changed the password of {email}", err=True)


@command.command("remove")
@click.argument("email")
@config_option
@runs
async def remove(email: str, config: Path | None) -> None:
    """Remove a user with all API tokens and the dashboards that nobody else sees; events and readings stay."""
    async with opened_storage(settings_from(config)) as storage:
        user, _ = await accounts.user_by_email(storage, email)
        if not await accounts.remove_user(storage, user.id):
            raise Conflict(f"{email} is the last administrator; add another one first")
    click.echo(f"removed {email}", err=True)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise click.ClickException(f"a password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters")
    return str(password)


def _hash(password: str) -> str:
    return Passwords(1, 1).hash(password)
