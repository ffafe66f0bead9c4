"""`webmacs migrate`: bring the schema up to date."""

from __future__ import annotations

from pathlib import Path

import click

from webmacs.cli.setting import config_option, runs, settings_from
from webmacs.extensions import load_storage
from webmacs.storage.migrate import head


@click.command("migrate")
@config_option
@runs
async def command(config: Path | None) -> None:
    """Bring the storage's schema up to date; a server does it by itself unless `storage.migrate` is false."""
    storage = load_storage(settings_from(config))
    try:
        await storage.migrate()
        click.echo(f"the schema is at {await storage.revision() or head()}")
    finally:
        await storage.close()
