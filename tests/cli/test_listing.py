"""Lists as they are drawn, at every width and whatever stands in them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from webmacs.cli.listing import Entry, ago, ahead, count, iso, show


def drawn(*entries: Entry, width: int = 40) -> list[str]:
    """What a terminal of that width gets to see."""
    file = io.StringIO()
    show(("ID", "Name", "State"), entries, lines=False, console=Console(file=file, width=width, force_terminal=False))
    return file.getvalue().splitlines()


def entry(name: str, *notes: str, texts: tuple[str, ...] = (), fields: tuple[str | int | None, ...] = ()) -> Entry:
    return Entry((("1", ""), (name, ""), ("on", "")), fields, notes, texts)


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert drawn(entry("Pump"), entry("Reactor")) == ["ID  Name     State", "1   Pump     on", "1   Reactor  on"]


def test_where_there_is_no_room_the_second_column_gives_way() -> None:
    assert drawn(entry("A name that is long"), width=24) == ["ID  Name           State", "1   A name that …  on"]


def test_something_of_the_second_column_stays() -> None:
    assert drawn(entry("A name that is long"), width=5)[1] == "1   A name …  on"


def test_a_wide_character_counts_twice() -> None:
    assert drawn(entry("温度"), entry("Pump")) == ["ID  Name  State", "1   温度  on", "1   Pump  on"]


def test_notes_are_wrapped_and_texts_are_not() -> None:
    words = "one two three four five six"
    shown = [line.rstrip() for line in drawn(entry("Pump", words, texts=(words,)), width=20)[2:]]
    assert shown == ["    one two three", "    four five six", f"    {words}"]


@pytest.mark.promise("S10")
def test_nothing_in_a_list_gives_a_terminal_orders() -> None:
    assert "\x1b" not in "".join(drawn(entry("a\x1b[2Jb", "c\x1b[2Jd", texts=("e\x1b[2Jf",))))


def test_an_empty_list_has_no_headings() -> None:
    assert drawn() == []


@pytest.mark.promise("S10")
def test_a_line_is_a_line_whatever_its_fields_hold(capsys: pytest.CaptureFixture[str]) -> None:
    show((), [entry("", fields=("a\tb\nc", 1, None, "d"))], lines=True)
    assert capsys.readouterr().out == "a b c\t1\t\td\n"


@pytest.mark.parametrize(
    ("time_us", "text"), [(None, "never"), (100_000_000, "0.0 s ago"), (40_000_000, "60 s ago"), (2e8, "0.0 s ago")]
)
def test_it_is_said_how_long_ago_something_was(time_us: int | None, text: str) -> None:
    assert ago(time_us, 100_000_000) == text


@pytest.mark.parametrize(("time_us", "text"), [(100_000_000, "now"), (0, "now"), (160_000_000, "in 60 s")])
def test_it_is_said_when_something_will_be(time_us: int, text: str) -> None:
    assert ahead(time_us, 100_000_000) == text


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [(0, "delivery", "0 deliveries"), (1, "delivery", "1 delivery"), (2, "rule", "2 rules"), (1, "rule", "1 rule")],
)
def test_numbers_go_with_what_they_count(number: int, what: str, text: str) -> None:
    assert count(number, what) == text


def test_a_time_that_is_not_is_an_empty_column() -> None:
    assert (iso(None), iso(1)) == ("", "1970-01-01T00:00:00.000001+00:00")
