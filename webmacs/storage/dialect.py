"""What the backends say differently where readings are concerned; all else is one SQL for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

ROLLED: Final = (
    *("count", "min_value", "min_us", "min_id", "min_experiment"),
    *("max_value", "max_us", "max_id", "max_experiment"),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one backend writes it.

    `time_us`: the column `time` of a reading, in microseconds since the epoch. `moment(sql)`: the other way round,
    what `time` is compared with. `each(condition)`: a join with the readings `d` for which it holds, from the index for
    each row of what comes before, whatever a planner thinks. `rolled(points, keys)`: a query for the columns `keys` and
    then `ROLLED`, of the smallest and the largest of each group of `points`, a query for `keys`, value, time_us, id and
    experiment_id. `shared`: what keeps a row that was read from being changed until the transaction ends.
    """

    time_us: str
    moment: Callable[[str], str]
    each: Callable[[str], str]
    rolled: Callable[[str, str], str]
    shared: str

    def between(self, from_us: str, until_us: str, event_id: str) -> str:
        """The condition of the readings `d` of an event from one time until before another; all three are SQL."""
        time = f"d.time >= {self.moment(from_us)} AND d.time < {self.moment(until_us)}"
        return f"d.event_id = {event_id} AND {time}"


def _rolled_sqlite(points: str, keys: str) -> str:
    """Beside a single min() or max(), SQLite shows the other columns of the very row that has it."""
    row = "value, time_us, id, experiment_id"
    return (
        f"WITH points AS ({points}),"
        f" low AS (SELECT {keys}, count(*) AS count, min(value) AS {row} FROM points GROUP BY {keys}),"
        f" high AS (SELECT {keys}, max(value) AS {row} FROM points GROUP BY {keys})"
        f" SELECT {keys}, low.count AS count, low.value AS min_value, low.time_us AS min_us, low.id AS min_id,"
        " low.experiment_id AS min_experiment, high.value AS max_value, high.time_us AS max_us, high.id AS max_id,"
        f" high.experiment_id AS max_experiment FROM low JOIN high USING ({keys})"
    )


def _rolled_postgresql(points: str, keys: str) -> str:
    """Arrays are compared item by item. A double holds every id, and every microsecond until the year 2255."""

    def row(name: str, prefix: str) -> str:
        return (
            f"{name}[1] AS {prefix}_value, {name}[2]::bigint AS {prefix}_us, {name}[3]::bigint AS {prefix}_id,"
            f" nullif({name}[4], 0)::integer AS {prefix}_experiment"
        )

    return (
        f"SELECT {keys}, count, {row('low', 'min')}, {row('high', 'max')} FROM (SELECT {keys},"
        f" count(*)::integer AS count, min(point) AS low, max(point) AS high FROM (SELECT {keys},"
        f" ARRAY[value, time_us, id, coalesce(experiment_id, 0)]::float8[] AS point FROM ({points}) AS points)"
        f" AS arrays GROUP BY {keys}) AS grouped"
    )


SQLITE: Final = Dialect(
    "time",
    lambda sql: sql,
    lambda condition: f"CROSS JOIN datapoints AS d ON {condition}",
    _rolled_sqlite,
    "",
)
POSTGRESQL: Final = Dialect(
    "(extract(epoch FROM time) * 1000000)::bigint",
    lambda sql: f"('epoch'::timestamptz + ({sql}) * interval '1 microsecond')",
    lambda condition: f"CROSS JOIN LATERAL (SELECT * FROM datapoints AS d WHERE {condition} OFFSET 0) AS d",
    _rolled_postgresql,
    "FOR SHARE",
)
