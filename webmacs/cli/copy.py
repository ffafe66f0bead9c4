"""`webmacs copy`: a whole installation from one storage into another, and proof that it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import click

from webmacs.cli.listing import Entry, show
from webmacs.cli.setting import config_option, place, runs, settings_from
from webmacs.cli.work import Advance, progress, readings, stoppable
from webmacs.clock import SystemClock
from webmacs.config import Settings
from webmacs.copying import DAY_US, Copy, Sum, Sums, sums
from webmacs.errors import ConfigError, Conflict, StorageError
from webmacs.extensions import load_storage
from webmacs.model import to_datetime
from webmacs.storage.base import Storage
from webmacs.storage.migrate import head

HEADINGS: Final = ("", "What", "Rows", "Checksum")


@click.command("copy")
@click.option(
    "--to",
    "url",
    required=True,
    envvar="WEBMACS_COPY_TO",
    metavar="URL",
    help="Where to, in the form of storage.url. Must be empty. Default: $WEBMACS_COPY_TO, which no other user sees.",
)
@config_option
@runs
async def command(url: str, config: Path | None) -> None:
    """Copy an installation whole into another storage, and compare both.

    Everything goes with its ids: users with their passwords, tokens, events, plugin instances, experiments, rules,
    webhooks with their secrets and deliveries, logs, dashboards, readings. Stop the server first; the storage that is
    copied stays as it is. Broken off, the same command goes on.

    In the end both are read again. A list of tables and of days says how many rows there are, and whether they are the
    same, by a checksum; where they are not, the exit code is 1.
    """
    settings = settings_from(config)
    now_us = SystemClock().now_us()
    async with _source(settings) as source, _target(settings, url, source) as target:
        label = place(source.url)
        copy = Copy(source, target, label, settings.pipeline.commit_rows)
        with stoppable("run it again to go on; the target is of no use before") as check:
            if await copy.begin(now_us):
                click.echo("going on with a copy that broke off", err=True)
            with progress("Configuration") as advance:
                await copy.configuration(_told(advance, check))
            with progress("Readings") as advance:
                await copy.readings(now_us, _told(advance, check))
            with progress("Reading again what was copied") as advance:
                here = await sums(source, now_us, _told(advance, check))
            with progress("Reading the copy") as advance:
                there = await sums(target, now_us, _told(advance, check))
            entries = list(_compared(here, there))
            show(HEADINGS, [entry for _, entry in entries], lines=False)
            wrong = [what for what, entry in entries if entry.notes]
            if wrong:
                raise StorageError(
                    f"the copy is not like what was copied: {', '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''}."  # noqa: PLR2004
                    " Was it changed meanwhile? Drop the target, and copy again"
                )
            await copy.finish()
        click.echo(f"copied all tables and {readings(here.readings())} to {place(target.url)}", err=True)
        click.echo(
            "now let storage.url of the configuration say so, and give the server the same key as before", err=True
        )


@asynccontextmanager
async def _source(settings: Settings) -> AsyncIterator[Storage]:
    """The installation, locked against servers where it can be, and left as it is."""
    storage = load_storage(_at(settings, settings.storage.url, migrate=False))
    try:
        if await storage.revision() is None:
            raise StorageError(f"{place(storage.url)}: there is no installation yet; is it the right --config?")
        try:
            await storage.open(serving=True)
        except Conflict as error:
            raise Conflict(f"a server uses {place(storage.url)}; stop it first") from error
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def _target(settings: Settings, url: str, source: Storage) -> AsyncIterator[Storage]:
    """The storage to fill, with a schema, kept from servers."""
    try:
        storage = load_storage(_at(settings, url, migrate=True))
    except ConfigError as error:
        raise ConfigError(str(error).replace("storage.url", "--to")) from error
    try:
        if place(storage.url) == place(source.url):
            raise ConfigError("--to: that is the installation itself")
        revision = await storage.revision()
        if revision not in {None, head()}:
            raise Conflict("the target is not empty: there is an installation of another version")
        await storage.open(serving=True)
        yield storage
    finally:
        await storage.close()


def _at(settings: Settings, url: str, *, migrate: bool) -> Settings:
    storage = settings.storage.model_copy(update={"url": url, "migrate": migrate})
    return settings.model_copy(update={"storage": storage})


def _told(advance: Advance, check: Callable[[], None]) -> Callable[[float, int], None]:
    def tell(share: float, number: int) -> None:
        advance(share, f"{number:,}")
        check()

    return tell


def _compared(here: Sums, there: Sums) -> Iterator[tuple[str, Entry]]:
    """What there is, and whether both have the same of it; the notes say what differs."""
    days = sorted(here.days.keys() | there.days.keys())
    tables = ((name, here.tables[name], there.tables[name]) for name in here.tables)
    dates = [(day, f"{to_datetime(day * DAY_US):%Y-%m-%d}") for day in days]
    by_day = ((date, here.days.get(day, Sum()), there.days.get(day, Sum())) for day, date in dates)
    for what, ours, theirs in chain(tables, by_day):
        same = ours == theirs
        word = "same" if same else "differs"
        numbers = (f"{ours.count:,}", ours.checksum)
        notes = () if same else (f"the copy has {theirs.count:,} rows, {theirs.checksum}",)
        cells = ((word, "green" if same else "bold red"), (what, ""), (numbers[0], ""), (numbers[1], "dim"))
        fields = (word, what, ours.count, ours.checksum, theirs.count, theirs.checksum)
        yield what, Entry(cells, fields, notes)
