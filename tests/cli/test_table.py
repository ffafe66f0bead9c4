"""The live table: what is known goes in, a screen of text comes out."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from webmacs.cli.board import Board, natural
from webmacs.cli.feed import Mode
from webmacs.cli.names import Label, Names
from webmacs.cli.point import Point
from webmacs.cli.table import View, age, decimals, draw, number, trend

WALL = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


class Labels(Names):
    """Names that are known."""

    def __init__(self, **labels: Label) -> None:
        super().__init__()
        self._events = labels
        self._experiments = {"x1": Label("First look"), "x2": Label("Second look")}


def point(event: str, value: float = 1.0, *, ago_s: float = 0.5, experiment: str | None = None) -> Point:
    return Point(event, value, WALL - timedelta(seconds=ago_s), experiment, {})


def board_of(*points: Point, names: Names | None = None) -> Board:
    board = Board(names or Names(), 0.0)
    for one in points:
        board.take([one], 0.0)
    return board


def screen(
    board: Board, *, width: int = 100, height: int = 24, mode: Mode = Mode.WEBSOCKET, problem: str | None = None
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, highlight=False)
    view = View("http://plant:8000", mode, problem, 10.0, WALL, width, height)
    with console.capture() as captured:
        console.print(draw(board, view))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_row_shows_name_value_unit_age_and_rate() -> None:
    board = board_of(names=Labels(e1=Label("Pressure", "bar")))
    for second in range(21):
        board.take([point("e1", 1.25)], second / 2)
    (row,) = (line for line in screen(board) if "Pressure" in line)
    assert row.split()[:6] == ["Pressure", "1.25", "bar", "0.5", "s", "2.0/s"]


def test_an_event_without_a_name_is_shown_by_its_id() -> None:
    assert any("abc-123" in line for line in screen(board_of(point("abc-123"))))


def test_values_are_aligned_on_the_right() -> None:
    lines = screen(board_of(point("a", 3.0), point("b", 12345.0)))
    ends = {line.index("3") for line in lines if line.startswith(" a")}
    ends |= {line.index("12345") + 4 for line in lines if line.startswith(" b")}
    assert len(ends) == 1


def test_rows_are_in_the_order_of_their_names_whatever_comes_first() -> None:
    names = Labels(a=Label("Sensor 10"), b=Label("sensor 2"), c=Label("Air"))
    text = "\n".join(screen(board_of(point("a"), point("b"), point("c"), names=names)))
    assert text.index("Air") < text.index("sensor 2") < text.index("Sensor 10")


@pytest.mark.parametrize("height", [8, 24, 50])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_many_events_fit_the_terminal_and_the_rest_is_counted(width: int, height: int) -> None:
    lines = screen(board_of(*(point(f"event {number}") for number in range(256))), width=width, height=height)
    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    shown = sum(line.startswith(" event") for line in lines)
    assert any(f"{256 - shown} more" in line for line in lines)


def test_all_events_are_shown_when_they_just_fit() -> None:
    lines = screen(board_of(*(point(f"event {number}") for number in range(18))), height=24)
    assert sum(line.startswith(" event") for line in lines) == 18
    assert not any(" more" in line for line in lines)


def test_the_heading_says_how_readings_come_and_what_is_in_the_way() -> None:
    heading = screen(board_of(), mode=Mode.POLLING, problem="connection refused")[0]
    assert heading.startswith("WebMACS http://plant:8000")
    assert heading.endswith("polling (connection refused)")


def test_one_experiment_stands_in_the_heading() -> None:
    lines = screen(board_of(point("a", experiment="x1"), names=Labels()))
    assert "experiment First look" in lines[0]
    assert sum("First look" in line for line in lines) == 1


def test_different_experiments_stand_in_their_rows() -> None:
    board = board_of(point("a", experiment="x1"), point("b", experiment="x2"), names=Labels())
    rows = {line.split()[0]: line for line in screen(board) if "look" in line}
    assert "First look" in rows["a"]
    assert "Second look" in rows["b"]


def test_an_experiment_without_a_name_is_shown_by_the_beginning_of_its_id() -> None:
    assert "experiment 01234567" in screen(board_of(point("a", experiment="0123456789")))[0]


def test_the_footer_counts_events_and_readings_a_second() -> None:
    board = Board(Names(), 0.0)
    for second in range(11):
        board.take([point("a"), point("b", ago_s=3)], float(second))
    footer = screen(board)[-1]
    assert footer.strip().startswith("2 events, 2.0 readings/s, newest 0.5 s ago")


def test_the_rate_is_that_of_the_last_seconds() -> None:
    board = Board(Names(), 0.0)
    for second in range(30):
        board.take([point("a")], float(second))
    (row,) = board.rows()
    assert board.rate(row, 29.0) == 1.0
    assert board.rate(row, 34.0) == 0.5
    assert board.rate(row, 100.0) == 0.0


def test_a_snapshot_counts_nothing_towards_the_rate() -> None:
    assert "0.0 readings/s" in screen(board_of(point("a"), point("b")))[-1]


def test_before_the_first_reading_the_screen_says_so() -> None:
    lines = screen(board_of())
    assert any("no readings yet" in line for line in lines)
    assert "0 events" in lines[-1]


def test_wide_and_foreign_names_are_cut_to_fit() -> None:
    names = Labels(a=Label("温度センサー" * 10, "°C"), b=Label("Vorlauf 🔥" * 10))
    assert all(cell_len(line) <= 50 for line in screen(board_of(point("a"), point("b"), names=names), width=50))


def test_a_terminal_without_such_characters_gets_plain_ones() -> None:
    board = board_of(*(point("a", float(value)) for value in range(8)))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    view = View("http://plant", Mode.WEBSOCKET, None, 1.0, WALL, 100, 24, ascii_only=True)
    with console.capture() as captured:
        console.print(draw(board, view))
    assert captured.get().isascii()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([23.5], "23.5"),
        ([7.0], "7"),
        ([1013.25], "1013.2"),
        ([7.0, 7.125], "7.125"),
        ([0.1 + 0.2], "0.3"),
        ([0.0], "0"),
        ([-12.34], "-12.34"),
        ([123456.789], "123457"),
        ([100000.0, 0.123], "0"),
        ([0.00321], "0.0032"),
        ([0.0000123], "1.23e-05"),
        ([6.022e23], "6.022e+23"),
        ([-1.7976931348623157e308], "-1.798e+308"),
    ],
)
def test_a_value_has_the_digits_that_make_sense(values: list[float], shown: str) -> None:
    assert number(values[-1], decimals(values)) == shown


def test_a_changing_value_keeps_its_decimals() -> None:
    values = [1.0, 1.25, 2.0]
    assert [number(value, decimals(values)) for value in values] == ["1.00", "1.25", "2.00"]


def test_nothing_needs_no_decimals() -> None:
    assert decimals([]) == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3600, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (86_400 * 400, "400 d"),
    ],
)
def test_an_age_is_in_one_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_a_trend_goes_from_the_smallest_to_the_greatest() -> None:
    assert trend([1.0, 2.0, 3.0, 8.0]) == "▁▂▃█"


@pytest.mark.parametrize("values", [[5.0, 5.0], [-1.7e308, 1.7e308]])
def test_a_trend_without_a_scale_is_flat(values: list[float]) -> None:
    assert trend(values) == "▁▁"


def test_no_values_have_no_trend() -> None:
    assert trend([]) == ""


def test_names_sort_by_the_numbers_in_them() -> None:
    assert sorted(["b", "A 10", "a 9", "7", "a"], key=natural) == ["7", "a", "a 9", "A 10", "b"]
