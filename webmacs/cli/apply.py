"""`webmacs apply`: an installation as a file says it is to be, on the storage itself."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from webmacs.auth import Passwords
from webmacs.catalog import Snapshot
from webmacs.cli.difference import show_changes, summary
from webmacs.cli.setting import config_option, opened_storage, place, runs, settings_from, short_path
from webmacs.clock import SystemClock
from webmacs.config import Settings
from webmacs.declaration.file import MAX_BYTES, Declaration, read
from webmacs.declaration.plan import Mode, Plan
from webmacs.declaration.planner import make_plan
from webmacs.declaration.problem import Refused
from webmacs.declaration.sources import fetch
from webmacs.declaration.state import present
from webmacs.declaration.writes import carry_out
from webmacs.errors import StorageError
from webmacs.extensions import find_plugins, load_storage
from webmacs.storage import migrate, records
from webmacs.storage.base import Storage

STDIN: Final = Path("-")


@click.command("apply")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing.")
@click.option(
    "--only-missing",
    is_flag=True,
    help="Add what is missing, and leave what is there as it is, whatever the file says of it.",
)
@click.option(
    "--lines",
    is_flag=True,
    help="A line each for programs, with tabs between, as the list of columns above says.",
)
@config_option
@runs
async def command(file: Path, dry_run: bool, only_missing: bool, lines: bool, config: Path | None) -> None:
    """Bring an installation to what a file says.

    FILE, or standard input for `-`, is TOML with users, events, plugin instances and their channels, rules and
    webhooks, each known by its name, e-mail address or URL. What the file does not say stays as it is, and nothing is
    ever removed. All of it is done, or nothing: what is wrong with the file is said first, with its place in it. A
    second run finds nothing to do. A running server sees the change within a second.

    Columns of lines: add or change, what it is, its name, what there is to say of it.

    \b
    Examples:
      webmacs apply plant.toml --dry-run
      webmacs apply plant.toml
    """  # noqa: D301 - click wants the character itself
    settings, clock = settings_from(config), SystemClock()
    until_us = clock.now_us() + round(settings.webhooks.rotation_s * 1e6)
    mode = Mode.ADD if only_missing else Mode.BRING
    try:
        declaration = read(_contents(file))
        async with _opened(settings, dry_run=dry_run) as storage:
            catalog = Snapshot() if storage is None else await records.snapshot(storage, clock.now_us())
            plan = _plan(declaration, catalog, file.parent, mode)
            if not dry_run and storage is not None:
                hashes = _hashes(plan)
                await carry_out(
                    storage, plan, password_hashes=hashes, now_us=clock.now_us(), old_secrets_until_us=until_us
                )
    except Refused as error:
        name = "standard input" if file == STDIN else short_path(file)
        for problem in error.problems:
            click.echo(f"Error: {name}: {' '.join(str(problem).split())}", err=True)
        raise click.exceptions.Exit(1) from error
    show_changes(plan, lines=lines)
    click.echo(summary(plan, dry_run=dry_run), err=lines)


@asynccontextmanager
async def _opened(settings: Settings, *, dry_run: bool) -> AsyncIterator[Storage | None]:
    """The storage, made and brought up to date if need be; for a dry run as it is, None when there is none yet."""
    if not dry_run:
        async with opened_storage(settings, new=True) as storage:
            yield storage
        return
    storage = load_storage(settings)
    try:
        found = await storage.revision()
        if found not in {None, migrate.head()}:
            raise StorageError(
                f"{place(storage.url)}: the schema is at {found}, this program needs {migrate.head()}: run"
                " `webmacs migrate` before a dry run"
            )
        yield None if found is None else storage
    finally:
        await storage.close()


def _contents(file: Path) -> bytes:
    """Raises `click.ClickException` when the file cannot be read."""
    if file == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"cannot read {short_path(file)}: {error.strerror}") from error


def _plan(declaration: Declaration, catalog: Snapshot, directory: Path, mode: Mode) -> Plan:
    there = present(catalog)
    return make_plan(
        declaration,
        there,
        plugins=find_plugins().plugins,
        new_id=lambda: str(uuid.uuid4()),
        secrets=fetch(declaration, there, directory, os.environ, mode),
        mode=mode,
    )


def _hashes(plan: Plan) -> dict[str, str]:
    """The hashes of the passwords of new users."""
    passwords = Passwords(1, 1)
    try:
        return {email: passwords.hash(password) for email, password in plan.passwords.items()}
    finally:
        passwords.close()
