"""The live table as it is drawn: from what is known to what is seen, a pure function."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from webmacs.cli.board import Board, Row
from webmacs.cli.feed import Mode

BARS: Final = "▁▂▃▄▅▆▇█"
ASCII_BARS: Final = "_.-=+*#@"
MIN_NAME: Final = 24
MIN_TREND: Final = 8
MAX_TREND: Final = 24
MAX_UNIT: Final = 8
MAX_EXPERIMENT: Final = 20
MIN_RATE_WIDTH: Final = 48
PADDING: Final = 2
SIGNIFICANT: Final = 5
MAX_DECIMALS: Final = 4
FRAME_LINES: Final = 6  # heading, a line free, column names; a line free, footer, and one for the cursor
QUIET_S: Final = 30.0
_STYLES: Final = {Mode.CONNECTING: "yellow", Mode.WEBSOCKET: "green", Mode.POLLING: "magenta"}


@dataclass(frozen=True, slots=True)
class View:
    """What the table is drawn for: the state of the connection, both clocks, the size of the terminal."""

    address: str
    mode: Mode
    problem: str | None
    now: float
    wall: datetime
    width: int
    height: int
    ascii_only: bool = False


def draw(board: Board, view: View) -> RenderableType:
    """The whole screen."""
    rows = board.rows()
    room = max(view.height - FRAME_LINES, 1)
    shown = rows if len(rows) <= room else rows[: max(room - 1, 1)]
    experiments = {row.experiment for row in rows}
    lines: list[RenderableType] = [_heading(experiments, view), Text()]
    if rows:
        lines.append(_table(board, shown, view, experiments=len(experiments) > 1))
    else:
        lines.append(Text("  no readings yet", style="dim"))
    if len(shown) < len(rows):
        lines.append(Text(f"  … and {len(rows) - len(shown)} more; --event chooses", style="dim", no_wrap=True))
    return Group(*lines, Text(), _footer(board, rows, view))


def _heading(experiments: set[str], view: View) -> Table:
    title = Text.assemble(("WebMACS ", "bold"), view.address, no_wrap=True)
    if len(experiments) == 1 and (experiment := next(iter(experiments))):
        title.append("  experiment ", "dim").append(experiment, "cyan")
    mode = Text.assemble((f"{'*' if view.ascii_only else '●'} {view.mode}", _STYLES[view.mode]), no_wrap=True)
    if view.problem:
        mode.append(f" ({view.problem})", "dim")
    return _two_sides(title, mode)


def _footer(board: Board, rows: Sequence[Row], view: View) -> Table:
    newest = board.newest()
    parts = [f"{len(rows)} event{'' if len(rows) == 1 else 's'}"]
    if newest is not None:
        parts.append(f"{sum(board.rate(row, view.now) for row in rows):.1f} readings/s")
        parts.append(f"newest {age((view.wall - newest).total_seconds())} ago")
    return _two_sides(Text("  " + ", ".join(parts), style="dim", no_wrap=True), Text("Ctrl-C ends", style="dim"))


def _two_sides(left: Text, right: Text) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(overflow="ellipsis", no_wrap=True)
    grid.add_column(justify="right", overflow="ellipsis", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _table(board: Board, rows: Sequence[Row], view: View, *, experiments: bool) -> Table:
    """A line an event. Where there is no room for everything, the trend gets shorter, then the names do."""
    columns = [
        _Column("Event", [row.label.name for row in rows]),
        _Column("Value", [number(row.point.value, decimals(row.values)) for row in rows], "bold", right=True),
        _Column("", [row.label.unit[:MAX_UNIT] for row in rows], "dim"),
        _Column("Age", [age((view.wall - row.point.time).total_seconds()) for row in rows], "dim", right=True),
    ]
    if view.width >= MIN_RATE_WIDTH:
        rates = [f"{board.rate(row, view.now):.1f}/s" for row in rows]
        columns.append(_Column("Rate", rates, "dim", right=True))
    if experiments:
        columns.append(_Column("Experiment", [row.experiment[:MAX_EXPERIMENT] for row in rows], "dim"))
    names, *others = columns
    room = view.width - sum(column.width + PADDING for column in others) - PADDING
    trend_width = min(max(room - names.width - PADDING, MIN_TREND), MAX_TREND)
    if room - trend_width - PADDING >= min(names.width, MIN_NAME):
        room -= trend_width + PADDING
        trends = [trend(list(row.values)[-trend_width:], ascii_only=view.ascii_only) for row in rows]
        columns.append(_Column("Trend", trends, "cyan", at_least=trend_width))
    table = Table(box=None, padding=(0, 1), header_style="bold dim")
    for column in columns:
        width = min(column.width, max(room, 1)) if column is names else column.width
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            style=column.style,
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for number_of_row, row in enumerate(rows):
        quiet = (view.wall - row.point.time).total_seconds() > QUIET_S
        cells = [Text(column.cells[number_of_row]) for column in columns]
        table.add_row(*cells, style="dim" if quiet else None)
    return table


class _Column:
    """A column's heading, its cells, and how wide it wants to be."""

    def __init__(
        self, heading: str, cells: Sequence[str], style: str = "", *, right: bool = False, at_least: int = 0
    ) -> None:
        self.heading, self.cells, self.style, self.right = heading, cells, style, right
        self.width = max(cell_len(heading), at_least, *map(cell_len, cells))


def number(value: float, places: int) -> str:
    """A value with that many decimals; a very large or small one in powers of ten."""
    if value != 0 and not 10**-MAX_DECIMALS <= abs(value) < 10**9:
        return f"{value:.{SIGNIFICANT - 1}g}"
    return f"{value:.{places}f}"


def decimals(values: Collection[float]) -> int:
    """How many decimals show the last values, the same for all so that none jumps about; five digits of the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0:
        return 0
    most = min(max(SIGNIFICANT - 1 - math.floor(math.log10(largest)), 0), MAX_DECIMALS)
    return max(len(f"{value:.{most}f}".rstrip("0").partition(".")[2]) for value in values)


def age(seconds: float) -> str:
    """How long ago, in one unit. What is in the future, by a clock that differs, is now."""
    seconds = max(seconds, 0.0)
    for limit, divisor, unit in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds:.1f} s" if limit == 10 else f"{seconds / divisor:.0f} {unit}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} d"


def trend(values: Sequence[float], *, ascii_only: bool = False) -> str:
    """How the last values went, from their smallest to their greatest."""
    if not values:
        return ""
    bars = ASCII_BARS if ascii_only else BARS
    low, high = min(values), max(values)
    if high == low or not math.isfinite(high - low):
        return bars[0] * len(values)
    return "".join(bars[round((value - low) / (high - low) * (len(bars) - 1))] for value in values)
