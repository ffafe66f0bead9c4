"""`webmacs import`: readings from CSV, also beside a running server."""

from __future__ import annotations

import asyncio
import gzip
import io
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import click

from webmacs.catalog import Snapshot
from webmacs.cli.listing import count
from webmacs.cli.printable import printable
from webmacs.cli.setting import config_option, opened_storage, plainly, runs, settings_from
from webmacs.cli.work import Advance, progress, readings, stoppable
from webmacs.clock import Clock, SystemClock
from webmacs.config import Settings
from webmacs.csvrows import BadFile, BadRow, Mention, Row, Table, Times
from webmacs.errors import NotFound
from webmacs.intake import AT_ONCE, Intake, Measured
from webmacs.model import Event
from webmacs.storage import records
from webmacs.storage.base import Storage

TURN: Final = 5_000  # rows between two looks at whether to stop
MAX_EVENTS: Final = 10_000
MAX_NAMED: Final = 8
MAX_NAME: Final = 255
MAX_ID: Final = 100
NO_UNIT: Final = "-"
DAY_US: Final = 86_400_000_000

Events = dict[Mention, Event]


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE...")
@click.option("--create-events", is_flag=True, help="Make the events that are not there. Default: refuse the files.")
@click.option(
    "--strict", is_flag=True, help="Refuse the files if any row of them is bad. Default: leave such rows out."
)
@click.option("--utc", is_flag=True, help="Times without an offset are UTC. Default: such rows are bad.")
@click.option(
    "--show", type=click.IntRange(min=0), default=10, show_default=True, metavar="N", help="Say so many bad rows."
)
@config_option
@runs
async def command(
    files: tuple[Path, ...], create_events: bool, strict: bool, utc: bool, show: int, config: Path | None
) -> None:
    """Store the readings of CSV files, each at its own time.

    The header says what is what: timestamp or time (ISO 8601), value, event_public_id or event_name or event, and
    perhaps unit, for events that are made. Other columns are passed over. What `webmacs export` writes fits, also
    compressed (.gz).

    Readings that are stored already are left out, so a file may be imported again, also after it broke off. Readings
    belong to the experiment that ran at their time. Bad rows are left out and counted; then the exit code is 1.
    """
    settings = settings_from(config)
    async with opened_storage(settings) as storage:
        work = Import(storage, settings, SystemClock(), utc=utc)
        with stoppable("run it again to go on; nothing is stored twice") as check:
            with progress("Checking") as advance:
                bad = await work.survey(files, advance, check, 1 if strict else show)
            for text in bad:
                click.echo(text, err=True)
            if strict and work.bad:
                raise BadFile("nothing was imported, as there is a bad row")
            made = await work.know_events(create=create_events)
            for event in made:
                click.echo(f"made the event {printable(event)!r}", err=True)
            with progress("Importing") as advance:
                await work.store(files, advance, check)
    already = f"; {work.good - work.stored:,} were there already" if work.good > work.stored else ""
    click.echo(f"imported {readings(work.stored)}{already}", err=True)
    if work.bad:
        raise BadFile(f"{count(work.bad, 'bad row')} of {work.bad + work.good:,} left out")


class Import:
    """Files on their way into a storage: looked through first, so that nothing is stored of what would be refused."""

    def __init__(self, storage: Storage, settings: Settings, clock: Clock, *, utc: bool) -> None:
        now_us, kept_us = clock.now_us(), settings.storage.retention_days * DAY_US
        self.stored = self.good = self.bad = 0
        self._storage, self._settings, self._clock = storage, settings, clock
        self._times = Times(
            first_us=max(0, now_us - kept_us) if kept_us else 0,
            last_us=now_us + int(settings.pipeline.max_clock_skew_s * 1e6),
            naive=utc,
        )
        self._units: dict[Mention, str] = {}
        self._snapshot = Snapshot()
        self._events: Events = {}

    async def survey(self, files: Sequence[Path], advance: Advance, check: Callable[[], None], show: int) -> list[str]:
        """Read every row once, to know how many are good and which events they name; the first that are bad."""
        said: list[str] = []
        async for row in self._rows(files, advance, check):
            if isinstance(row, Row):
                self.good += 1
                self._units.setdefault(row.event, row.unit)
                if len(self._units) > MAX_EVENTS:
                    raise BadFile(f"more than {MAX_EVENTS:,} events are named; is the header right?")
            else:
                self.bad += 1
                if len(said) < show:
                    said.append(row)
        return said

    async def know_events(self, *, create: bool) -> list[str]:
        """Find the event of each mention, and make those that are not there; the names of these.

        Raises:
            NotFound: there are some, and they are not to be made.

        """
        now_us = self._clock.now_us()
        self._snapshot = await records.snapshot(self._storage, now_us)
        self._events, unknown = _resolved(self._snapshot, self._units)
        if unknown and not create:
            names = ", ".join(repr(printable(mention.name or mention.public_id)) for mention in unknown[:MAX_NAMED])
            more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
            raise NotFound(f"there is no event {names}{more}; --create-events makes them. Nothing was imported")
        new: dict[str, Mention] = {}
        for mention in unknown:
            new.setdefault(mention.name or mention.public_id, mention)
        for name, mention in new.items():
            if len(name) > MAX_NAME or len(mention.public_id) > MAX_ID or "\0" in name + mention.public_id:
                raise BadFile(f"no event can be called {printable(name[:MAX_ID])!r}. Nothing was imported")
        await self._storage.write(
            *(
                records.make_event(
                    mention.public_id or str(uuid.uuid4()),
                    name=name,
                    unit=self._units[mention] or NO_UNIT,
                    now_us=now_us,
                )
                for name, mention in new.items()
            )
        )
        self._snapshot = await records.snapshot(self._storage, now_us)
        self._events, _ = _resolved(self._snapshot, self._units)
        return list(new)

    async def store(self, files: Sequence[Path], advance: Advance, check: Callable[[], None]) -> None:
        """Read every row again, and store the readings that are not there yet."""
        intake = Intake(self._storage, self._snapshot, self._settings.pipeline.commit_rows)
        waiting: list[Measured] = []
        async for row in self._rows(files, advance, check):
            if isinstance(row, Row):
                event = self._events.get(row.event)
                if event is None:
                    raise BadFile(f"{printable(row.event.name)!r} was not there before: the file was changed meanwhile")
                waiting.append(Measured(event, row.time_us, row.value, row.datapoint))
            if len(waiting) == AT_ONCE:
                self.stored += await intake.take(waiting)
                waiting.clear()
                check()
        self.stored += await intake.take(waiting)

    async def _rows(
        self, files: Sequence[Path], advance: Advance, check: Callable[[], None]
    ) -> AsyncGenerator[Row | str, None]:
        """The rows of all files; of one that is bad, where it is and why it is."""
        sizes = [_size(path) for path in files]
        done, number = 0, 0
        for path, size in zip(files, sizes, strict=True):
            with _opened(path) as (file, position):
                table = Table(file)
                for line, fields in table.rows():
                    try:
                        yield table.read(fields, self._times)
                    except BadRow as error:
                        yield f"{path}:{line}: {error}"
                    number += 1
                    if number % TURN == 0:
                        advance((done + position()) / max(1, sum(sizes)), f"{number:,} rows")
                        await asyncio.sleep(0)
                        check()
            done += size


def _resolved(snapshot: Snapshot, mentions: Sequence[Mention] | dict[Mention, str]) -> tuple[Events, list[Mention]]:
    """The event of each: by its id, else by its name, as it has another id in another installation."""
    named = {event.name: event for event in snapshot.events.values()}
    found: Events = {}
    unknown = []
    for mention in mentions:
        event = snapshot.events.get(mention.public_id) or named.get(mention.name)
        if event is None:
            unknown.append(mention)
        else:
            found[mention] = event
    return found, unknown


def _size(path: Path) -> int:
    with _said_of(path):
        if not path.is_file() and path.exists():
            raise BadFile("it is no file, and has to be read twice")
        return path.stat().st_size


@contextmanager
def _opened(path: Path) -> Iterator[tuple[TextIO, Callable[[], int]]]:
    """A file as text, and how much of it has been read."""
    with _said_of(path), path.open("rb") as raw:
        packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as text:
            yield text, raw.tell


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """What is wrong with a file is said with its name."""
    try:
        yield
    except BadFile as error:
        raise BadFile(f"{path}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {plainly(error)}") from error
