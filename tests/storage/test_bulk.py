"""Statements for one row that become statements for many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.errors import InvalidRows
from webmacs.model import NewDelivery
from webmacs.storage.bulk import Insert, plain
from webmacs.storage.deliveries import deliver
from webmacs.storage.logbook import log_entries

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


def test_a_plain_insert_is_taken_apart() -> None:
    insert = plain("INSERT INTO notes (note, time_us, made_by) VALUES (:text, :now_us, :now_us)")
    assert insert == Insert("INSERT INTO notes (note, time_us, made_by) VALUES ", ("text", "now_us", "now_us"))


def test_one_that_brings_its_own_ids_is_plain() -> None:
    head = "INSERT INTO notes (id, note) OVERRIDING SYSTEM VALUE VALUES "
    assert plain(f"{head}(:id, :note)") == Insert(head, ("id", "note"))


@given(st.lists(NAMES, min_size=1, max_size=10))
def test_names_are_kept_in_their_order(names: list[str]) -> None:
    columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
    assert plain(f"INSERT INTO t ({columns}) VALUES ({values})").names == tuple(names)


def test_our_own_statements_for_many_rows_are_plain() -> None:
    delivery = NewDelivery("d", 1, "sensor.reading", "{}", 0)
    for write in (deliver([delivery]), log_entries([])):
        assert write.bulk
        insert = plain(write.statement)
        assert len(insert.values(write.rows)) == len(insert.names) * len(write.rows)


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "DELETE FROM notes",
        "UPDATE notes SET note = :text",
        "INSERT INTO notes (note) VALUES ('said')",
        "INSERT INTO notes (note) VALUES (:text), (:text)",
        "INSERT INTO notes (note) VALUES (:text) ON CONFLICT DO NOTHING",
        "INSERT INTO notes (note) VALUES (:text) RETURNING id",
        "INSERT INTO notes (note) VALUES (upper(:text))",
        "INSERT INTO notes (note) SELECT :text",
        "INSERT INTO notes VALUES (:text)",
        "INSERT INTO notes (note) VALUES (:text);",
        "INSERT INTO notes (note) VALUES (:text) -- said",
        "INSERT INTO notes (note) VALUES ()",
        "-- first\nINSERT INTO notes (note) VALUES (:text)",
    ],
)
def test_anything_else_is_not_taken_for_one(statement: str) -> None:
    with pytest.raises(InvalidRows, match=r"not like `INSERT INTO table \(a, b\) VALUES \(:a, :b\)`: "):
        plain(statement)


def test_the_values_of_all_rows_follow_each_other() -> None:
    insert = plain("INSERT INTO notes (a, b) VALUES (:x, :y)")
    assert insert.values([{"y": 1, "x": 2}, {"x": None, "y": "3", "z": 4}]) == [2, 1, None, "3"]
    assert insert.values([]) == []


def test_a_row_that_lacks_a_value_is_at_fault() -> None:
    with pytest.raises(InvalidRows, match="no value for :y"):
        plain("INSERT INTO notes (a, b) VALUES (:x, :y)").values([{"x": 1, "y": 2}, {"x": 1}])
