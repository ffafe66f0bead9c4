"""`webmacs export`: readings as CSV, however many, also beside a running server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import click

from webmacs.catalog import Snapshot
from webmacs.cli.choice import Candidate, chosen
from webmacs.cli.moment import Moment
from webmacs.cli.output import output
from webmacs.cli.setting import config_option, opened_storage, runs, settings_from
from webmacs.cli.work import Advance, as_a_filter, progress, readings, stoppable
from webmacs.clock import SystemClock
from webmacs.export import EVER_US, LATE_US, NEVER_US, as_csv, merged, span
from webmacs.model import Datapoint, Experiment, to_datetime
from webmacs.storage import records


class Choice(NamedTuple):
    """Which readings are meant: of these events, from one time until before another, of one experiment or of any."""

    event_ids: Sequence[int]
    from_us: int
    until_us: int
    experiment: Experiment | None


@click.command("export")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="NAME",
    help="Only this event: its name, a part that no other has, or an id. Repeatable.",
)
@click.option("--experiment", metavar="NAME", help="Only readings of this experiment; named in the same ways.")
@click.option("--from", "from_us", type=Moment(), metavar="TIME", help="Only readings from this time on (ISO 8601).")
@click.option("--to", "until_us", type=Moment(), metavar="TIME", help="Only readings before this time.")
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write there, compressed if it ends in .gz. Default, and -: standard output.",
)
@config_option
@runs
async def command(
    events: tuple[str, ...],
    experiment: str | None,
    from_us: int | None,
    until_us: int | None,
    path: Path | None,
    config: Path | None,
) -> None:
    """Write readings as CSV, in order of time.

    The columns are timestamp, event_name, event_public_id, value, unit and datapoint_public_id. A file is there when it
    is whole: interrupted, the command leaves none, nor touches one that was there before.
    """
    path = None if path == Path("-") else path
    async with opened_storage(settings_from(config)) as storage:
        snapshot = await records.snapshot(storage, SystemClock().now_us())
        choice = _choice(snapshot, events, experiment, from_us, until_us)
        ending = stoppable("nothing was written") if path else as_a_filter()
        with ending as check, output(path) as file, progress("Exporting") as advance:
            first_us, last_us = await span(storage, snapshot, choice.event_ids, from_us=choice.from_us)
            counter = Counter(advance, first_us, min(last_us, choice.until_us))
            runs = merged(storage, snapshot, choice.event_ids, from_us=choice.from_us, until_us=choice.until_us)
            async with aclosing(as_csv(counter.counted(runs, choice.experiment))) as lines:
                async for some in lines:
                    file.write(some)
                    check()
    click.echo(f"exported {readings(counter.count)}{f' to {path}' if path else ''}", err=True)


class Counter:
    """Counts what passes, and says how far it is: by time, as to count beforehand would be to read everything."""

    def __init__(self, advance: Advance, first_us: int, last_us: int) -> None:
        self.count = 0
        self._advance, self._first_us, self._last_us = advance, first_us, last_us

    async def counted(
        self, runs: AsyncIterator[list[Datapoint]], experiment: Experiment | None
    ) -> AsyncIterator[list[Datapoint]]:
        """The readings, of one experiment or all."""
        async for run in runs:
            kept = run if experiment is None else [point for point in run if point.experiment is experiment]
            self.count += len(kept)
            share = (run[-1].time_us - self._first_us) / max(1, self._last_us - self._first_us)
            self._advance(share, f"{readings(self.count)}, {to_datetime(run[-1].time_us):%Y-%m-%d %H:%M}")
            yield kept


def _choice(
    snapshot: Snapshot, events: Sequence[str], experiment: str | None, from_us: int | None, until_us: int | None
) -> Choice:
    named = [Candidate(event, event.public_id, event.name, event.name) for event in snapshot.events.values()]
    event_ids = list(dict.fromkeys(chosen("event", text, named).id for text in events)) or [*snapshot.events_by_id]
    from_us = EVER_US if from_us is None else from_us
    until_us = NEVER_US if until_us is None else until_us
    if experiment is None:
        return Choice(event_ids, from_us, until_us, None)
    found = chosen(
        "experiment", experiment, [Candidate(one, one.public_id, one.name, one.name) for one in snapshot.experiments]
    )
    if found.stopped_us is not None:
        until_us = min(until_us, found.stopped_us + LATE_US)
    return Choice(event_ids, max(from_us, found.started_us), until_us, found)
