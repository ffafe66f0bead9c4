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
    each row of what comes before, whatever a planner thinks. `merged(rollups, keys)`: a query for the columns `keys`
    and then `ROLLED`, with one row for all those of `rollups`, a query for the same, whose keys are equal. `shared`:
    what keeps a row that was read from being changed until the transaction ends.
    """

    time_us: str
    moment: Callable[[str], str]
    each: Callable[[str], str]
    merged: Callable[[str, str], str]
    shared: str

    def between(self, from_us: str, until_us: str, event_id: str) -> str:
        """The condition of the readings `d` of an event from one time until before another; all three are SQL."""
        time = f"d.time >= {self.moment(from_us)} AND d.time < {self.moment(until_us)}"
        return f"d.event_id = {event_id} AND {time}"

    def alone(self) -> str:
        """The columns `ROLLED` of a single reading `d`."""
        row = f"d.value, {self.time_us}, d.id, d.experiment_id"
        return f"1, {row}, {row}"


def _merged_sqlite(rollups: str, keys: str) -> str:
    """Beside a single min() or max(), SQLite shows the other columns of the very row that has it."""
    low, high = (f"{which}_value, {which}_us, {which}_id, {which}_experiment" for which in ("min", "max"))
    return (
        f"WITH some ({keys}, {', '.join(ROLLED)}) AS ({rollups}),"
        f" low AS (SELECT {keys}, sum(count) AS count, min(min_value) AS {low} FROM some GROUP BY {keys}),"
        f" high AS (SELECT {keys}, max(max_value) AS {high} FROM some GROUP BY {keys})"
        f" SELECT {keys}, {', '.join(ROLLED)} FROM low JOIN high USING ({keys})"
    )


def _merged_postgresql(rollups: str, keys: str) -> str:
    """Arrays are compared item by item. A double holds every id, and every microsecond until the year 2255."""

    def packed(which: str) -> str:
        return f"ARRAY[{which}_value, {which}_us, {which}_id, coalesce({which}_experiment, 0)]::float8[]"

    def unpacked(which: str, row: str) -> str:
        return (
            f"{row}[1] AS {which}_value, {row}[2]::bigint AS {which}_us, {row}[3]::bigint AS {which}_id,"
            f" nullif({row}[4], 0)::integer AS {which}_experiment"
        )

    return (
        f"SELECT {keys}, count, {unpacked('min', 'low')}, {unpacked('max', 'high')} FROM (SELECT {keys},"
        f" sum(count)::integer AS count, min({packed('min')}) AS low, max({packed('max')}) AS high"
        f" FROM ({rollups}) AS few ({keys}, {', '.join(ROLLED)}) GROUP BY {keys}) AS grouped"
    )


SQLITE: Final = Dialect(
    "time",
    lambda sql: sql,
    lambda condition: f"CROSS JOIN datapoints AS d ON {condition}",
    _merged_sqlite,
    "",
)
POSTGRESQL: Final = Dialect(
    "(extract(epoch FROM time) * 1000000)::bigint",
    lambda sql: f"('epoch'::timestamptz + ({sql}) * interval '1 microsecond')",
    lambda condition: f"CROSS JOIN LATERAL (SELECT * FROM datapoints AS d WHERE {condition} OFFSET 0) AS d",
    _merged_postgresql,
    "FOR SHARE",
)
