"""Readings as PostgreSQL takes them fastest: one INSERT from array literals, whose text is built by hand.

Only numbers get into the text, each through its own `repr`. Times are counted from the beginning of a minute, and the
experiment is said once if it is the same of all, as nearly always: the text is half as long, for both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from webmacs.model import Experiment, Reading
from webmacs.pauses import Pauses
from webmacs.storage.base import Part

AT_ONCE: Final = 500  # readings, between two chances for others to run
WORTH: Final = 20  # readings; the text of fewer costs less among others than by itself
MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Some readings as texts of arrays. Times are µs since `begin_us`; `experiments` None: all are of `experiment`."""

    begin_us: int
    events: str
    times: str
    values: str
    experiment: Experiment | None
    experiments: str | None


def columns(readings: Sequence[Reading], begin_us: int | None = None) -> Columns:
    """The texts of some readings, counted from that time, or from the minute of the first."""
    if begin_us is None:
        begin_us = readings[0].time_us // MINUTE_US * MINUTE_US
    experiment = readings[0].experiment
    experiments = [reading.experiment for reading in readings]
    same = experiments.count(experiment) == len(experiments)
    return Columns(
        begin_us,
        ",".join([str(reading.event.id) for reading in readings]),
        ",".join([str(reading.time_us - begin_us) for reading in readings]),
        ",".join([repr(reading.value) for reading in readings]),
        experiment,
        None if same else ",".join(map(_id, experiments)),
    )


def prepared(readings: Sequence[Reading]) -> Columns | None:
    """What `insert` can be given for these readings, if that is worth it."""
    return columns(readings) if len(readings) >= WORTH else None


async def insert(first_id: int, parts: Sequence[Part]) -> str:
    """One INSERT for all readings of a commit. What is prepared is used if it is counted from the same minute."""
    pauses = Pauses()
    made: list[tuple[int, Columns]] = []
    begin_us: int | None = None
    for part in parts:
        if isinstance(part.prepared, Columns) and begin_us in {None, part.prepared.begin_us}:
            begin_us = part.prepared.begin_us
            made.append((len(part.readings), part.prepared))
            continue
        for start in range(0, len(part.readings), AT_ONCE):
            some = part.readings[start : start + AT_ONCE]
            found = columns(some, begin_us)
            begin_us = found.begin_us
            made.append((len(some), found))
            await pauses.between()
    return _statement(first_id, made)


def _statement(first_id: int, made: Sequence[tuple[int, Columns]]) -> str:
    begin_us, experiment = made[0][1].begin_us, made[0][1].experiment
    events = ",".join([one.events for _, one in made])
    times = ",".join([one.times for _, one in made])
    values = ",".join([one.values for _, one in made])
    same = all(one.experiments is None and one.experiment == experiment for _, one in made)
    given, column = "", ""
    if not same:
        experiments = [one.experiments or ",".join([_id(one.experiment)] * count) for count, one in made]
        given, column = f", '{{{','.join(experiments)}}}'::integer[]", ", x"
    return (
        "INSERT INTO datapoints (id, event_id, time, value, experiment_id)"
        f" SELECT {first_id - 1} + n, e, 'epoch'::timestamptz + ({begin_us} + t) * interval '1 microsecond', v,"
        f" {_id(experiment) if same else 'x'}"
        f" FROM unnest('{{{events}}}'::integer[], '{{{times}}}'::bigint[], '{{{values}}}'::float8[]{given})"
        f" WITH ORDINALITY AS r (e, t, v{column}, n)"
    )


def _id(experiment: Experiment | None) -> str:
    return "NULL" if experiment is None else str(experiment.id)
