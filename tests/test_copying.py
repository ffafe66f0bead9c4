"""What two storages are compared by."""

from __future__ import annotations

import itertools

import pytest

from webmacs.copying import DAY_US, Sum, _add_readings, _add_rows
from webmacs.model import Datapoint, Event, Experiment
from webmacs.storage import copying
from webmacs.storage.base import Row, Storage

EVENT, OTHER = (Event(number, f"e{number}", f"E{number}", "V", "sensor", 0.0, 1.0) for number in (1, 2))
RUN = Experiment(1, "x1", "Run", 0, None)
POINT = Datapoint(1, EVENT, 5, -1.0, None)


def summed(*rows: Row) -> Sum:
    whole = Sum()
    _add_rows(whole, rows)
    return whole


def of_days(*datapoints: Datapoint) -> dict[int, Sum]:
    days: dict[int, Sum] = {}
    _add_readings(days, datapoints)
    return days


def test_order_does_not_matter() -> None:
    rows = [(1, "a"), (2, "b"), (3, None)]
    assert len({summed(*some).checksum for some in itertools.permutations(rows)}) == 1


@pytest.mark.parametrize("other", [(1, "b"), (2, "a"), ("1", "a"), (1, None), (1, "a", None)])
def test_a_row_that_differs_is_noticed(other: Row) -> None:
    assert summed((1, "a")) != summed(other)


def test_a_row_that_is_there_twice_is_noticed() -> None:
    assert summed((1, "a"), (1, "a")) != summed((1, "a"))
    assert summed((1, "a"), (1, "a")).checksum != summed().checksum


@pytest.mark.parametrize(
    "other",
    [
        POINT._replace(id=2),
        POINT._replace(event=OTHER),
        POINT._replace(time_us=6),
        POINT._replace(value=-2.0),
        POINT._replace(value=-1.0000000000000002),
        POINT._replace(experiment=RUN),
    ],
)
def test_a_reading_that_differs_is_noticed(other: Datapoint) -> None:
    assert of_days(POINT) != of_days(other)


def test_zero_is_zero_whatever_its_sign() -> None:
    assert of_days(POINT._replace(value=0.0)) == of_days(POINT._replace(value=-0.0))


def test_readings_are_summed_by_day() -> None:
    found = of_days(
        POINT, POINT._replace(time_us=DAY_US - 1), POINT._replace(time_us=DAY_US), POINT._replace(time_us=-1)
    )
    assert {day: whole.count for day, whole in found.items()} == {-1: 1, 0: 2, 1: 1}


# -- the tables -----------------------------------------------------------------------------------------------------

SCHEMA = {
    "sqlite": "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c"
    " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT c.table_name, c.column_name FROM information_schema.columns AS c"
    " JOIN information_schema.tables AS t USING (table_schema, table_name)"
    " WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.table_name NOT LIKE 'datapoints%'",
}
LEFT_OUT = {"acting", "alembic_version", "commits", "datapoints", "rollups", "rollup_gaps", "rollup_state"}


async def test_every_table_and_every_column_is_copied(storage: Storage) -> None:
    found: dict[str, set[str]] = {}
    for table, column in await storage.fetch(SCHEMA[storage.scheme]):
        found.setdefault(table, set()).add(column)
    wanted = {table: columns for table, columns in found.items() if table not in LEFT_OUT}
    assert {table.name: set(table.columns) for table in copying.TABLES} == wanted
