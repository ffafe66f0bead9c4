"""Rows of CSV: what each says, and why one says nothing."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.csvrows import MAX_LINE, BadFile, BadRow, Mention, Row, Table, Times
from webmacs.export import as_csv
from webmacs.model import Datapoint, Event

T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
TIMES = Times(0, 4_102_444_800_000_000, naive=False)  # until the year 2100


def table(text: str) -> Table:
    return Table(io.StringIO(text, newline=""))


def rows(text: str, times: Times = TIMES) -> list[Row]:
    whole = table(text)
    return [whole.read(fields, times) for _, fields in whole.rows()]


def reason(row: str, header: str = "timestamp,event_name,value", times: Times = TIMES) -> str:
    with pytest.raises(BadRow) as caught:
        rows(f"{header}\n{row}\n", times)
    return str(caught.value)


# -- what is exported is read again ---------------------------------------------------------------------------------

NAMES = st.text(st.sampled_from(",\"\r\n; \t'") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
POINTS = st.lists(
    st.tuples(
        st.integers(1, 2**40),
        st.integers(0, 2),
        st.integers(0, TIMES.last_us),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=40,
)


@given(st.lists(NAMES, min_size=3, max_size=3), st.lists(NAMES, min_size=3, max_size=3), POINTS)
async def test_what_is_exported_is_read_again(
    names: list[str], units: list[str], points: list[tuple[int, int, int, float]]
) -> None:
    events = [Event(number, f"e{number}", names[number], units[number], "sensor", 0.0, 1.0) for number in range(3)]
    datapoints = [Datapoint(row_id, events[number], time_us, value, None) for row_id, number, time_us, value in points]

    async def run() -> AsyncIterator[Sequence[Datapoint]]:
        yield datapoints

    text = b"".join([some async for some in as_csv(run())]).decode()
    expected = [
        Row(
            point.time_us,
            point.value,
            Mention(point.event.public_id, point.event.name),
            point.event.unit,
            point.public_id,
        )
        for point in datapoints
    ]
    assert rows(text) == expected
    assert [str(row.value) for row in rows(text)] == [str(point.value) for point in datapoints]  # the sign of zero, too


# -- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,event_name,value\n2026-01-01T00:00:00Z,Flow,1.5\n",
        "value,timestamp,event_name\r\n1.5,2026-01-01T00:00:00+00:00,Flow\r\n",
        " Timestamp ;EVENT_NAME;Value\n2026-01-01 01:00:00+01:00;Flow;1.5",
        "time\tevent\tvalue\n20260101T000000Z\tFlow\t15e-1\n",
        'time,experiment,event,value\n"2026-01-01T00:00:00.000000Z",Run,"Flow", 1.5 \n\n\n',
    ],
)
def test_the_header_says_what_is_what(text: str) -> None:
    assert rows(text) == [Row(T0, 1.5, Mention("", "Flow"), "", "")]


def test_an_event_may_be_named_by_its_id_and_come_with_a_unit() -> None:
    found = rows("timestamp,event_public_id,value,unit\n2026-01-01T00:00:00Z,abc,1,°C\n")
    assert found == [Row(T0, 1.0, Mention("abc", ""), "°C", "")]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "there is no column timestamp"),
        ("timestamp,event_name", "there is no column value"),
        ("event_name,value", "there is no column timestamp"),
        ("timestamp,value", "there is neither a column event_public_id nor event_name"),
    ],
)
def test_a_column_that_is_missing_is_named(header: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        table(header)


# -- rows that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "warm", "nan", "inf", "-Infinity", "1e400", "1_000", "1,5", "0x10", "true"])
def test_a_value_is_a_finite_number(value: str) -> None:
    assert reason(f'2026-01-01T00:00:00Z,Flow,"{value}"') == f"{value!r} is no finite number"


@pytest.mark.parametrize("time", ["", "now", "2026-13-01T00:00:00Z", "1767225600", "0000-01-01T00:00:00Z"])
def test_a_time_is_iso_8601(time: str) -> None:
    assert reason(f"{time},Flow,1") == f"{time!r} is no time in ISO 8601"


def test_a_time_without_an_offset_is_utc_only_where_that_is_said() -> None:
    assert reason("2026-01-01T00:00:00,Flow,1") == "'2026-01-01T00:00:00' has no offset; --utc takes such times for UTC"
    text = "time,event,value\n2026-01-01T00:00:00,Flow,1\n2026-01-01T01:00:00+01:00,Flow,1\n"
    assert [row.time_us for row in rows(text, Times(0, TIMES.last_us, naive=True))] == [T0, T0]


def test_a_time_is_neither_in_the_future_nor_too_old() -> None:
    times = Times(T0, T0 + 1, naive=False)
    assert reason("2026-01-01T00:00:00.000002Z,Flow,1", times=times).endswith("is in the future")
    older = reason("2025-12-31T23:59:59.999999Z,Flow,1", times=times)
    assert older.endswith("is before 2026-01-01 00:00 UTC, and would not be kept")
    ends = "time,event,value\n2026-01-01T00:00:00Z,Flow,1\n2026-01-01T00:00:00.000001Z,Flow,1\n"
    assert len(rows(ends, times)) == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2026-01-01T00:00:00Z,Flow", "it has 2 columns, the header 3"),
        ("2026-01-01T00:00:00Z,Flow,1,2", "it has 4 columns, the header 3"),
        ("2026-01-01T00:00:00Z,,1", "it names no event"),
    ],
)
def test_a_row_has_all_it_needs(row: str, words: str) -> None:
    assert reason(row) == words


def test_what_is_long_is_cut_where_it_is_said() -> None:
    assert len(reason(f"2026-01-01T00:00:00Z,Flow,{'9' * 5_000}")) < 80


def test_a_row_is_known_by_the_line_it_begins_in() -> None:
    whole = table('time,event,value\n1,"a\nb\nc",2\n\n3,d,4\n')
    assert [(line, fields[0]) for line, fields in whole.rows()] == [(2, "1"), (6, "3")]


# -- files that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('time,event,value\n1,a,2\n1,"a"b,2\n', "after line 2: "),
        ('time,event,value\n1,"a,2\n', "after line 1: "),
        (f"time,event,value\n1,a,{' ' * MAX_LINE}\n", "after line 1: a line has more than 1,048,576 characters"),
        (f"time,event,value{' ' * MAX_LINE}\n", "after line 0: a line has more than 1,048,576 characters"),
    ],
)
def test_what_is_no_csv_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        list(table(text).rows())
