"""Lists: a table for people at a terminal, a line with tabs between for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from webmacs.cli.printable import printable
from webmacs.model import Scalar, to_datetime

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP: Final = 2
LEAST: Final = 8
Cell = tuple[str, str]
"""A text and how it is styled."""

lines_option = click.option(
    "--lines",
    is_flag=True,
    help="A line each with tabs between, as the list of columns above says; so also where the output is no terminal.",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a list. People see `cells` under headings, and below them `notes` to read and `texts` to copy, which are
    left as they are; programs see `fields`.
    """

    cells: Sequence[Cell]
    fields: Sequence[Scalar]
    notes: Sequence[str] = ()
    texts: Sequence[str] = ()


def show(headings: Sequence[str], entries: Sequence[Entry], *, lines: bool, console: Console | None = None) -> None:
    """Print a list. The second column gives way when the terminal is too narrow. `console` None: standard output."""
    if lines or (console is None and not sys.stdout.isatty()):
        for entry in entries:
            click.echo("\t".join(_field(field) for field in entry.fields))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = console or Console(highlight=False)
    heads: list[Cell] = [(heading, "bold dim") for heading in headings]
    widths = _widths([heads, *(entry.cells for entry in entries)], console.width)
    if entries:
        console.print(_row(heads, widths), soft_wrap=True)
    for entry in entries:
        console.print(_row(entry.cells, widths), soft_wrap=True)
        indent = widths[0] + GAP
        for note in entry.notes:
            console.print(Padding(Text(printable(note)), (0, 0, 0, indent)))
        for text in entry.texts:
            console.print(Text(" " * indent + printable(text), style="cyan"), soft_wrap=True)


def moment(time_us: int) -> str:
    """A time for people, in UTC."""
    return f"{to_datetime(time_us):%Y-%m-%d %H:%M:%S}"


def iso(time_us: int | None) -> str:
    """A time for programs; nothing for one that is not."""
    return "" if time_us is None else to_datetime(time_us).isoformat(timespec="microseconds")


def ago(time_us: int | None, now_us: int) -> str:
    """How long ago something happened, for people."""
    from webmacs.cli.table import age

    return "never" if time_us is None else f"{age((now_us - time_us) / 1e6)} ago"


def ahead(time_us: int, now_us: int) -> str:
    """When something will happen, for people."""
    from webmacs.cli.table import age

    return f"in {age((time_us - now_us) / 1e6)}" if time_us > now_us else "now"


def count(number: int, what: str) -> str:
    """So many of something: `1 delivery`, `2 deliveries`."""
    if number == 1:
        return f"1 {what}"
    return f"{number} {what[:-1]}ies" if what.endswith("y") else f"{number} {what}s"


def _field(field: Scalar) -> str:
    return "" if field is None else printable(str(field))


def _widths(rows: Sequence[Sequence[Cell]], room: int) -> list[int]:
    from rich.cells import cell_len

    widths = [max(map(cell_len, (text for text, _ in column))) for column in zip(*rows, strict=True)]
    over = sum(widths) + GAP * (len(widths) - 1) - room
    widths[1] = max(widths[1] - max(over, 0), min(widths[1], LEAST))
    return widths


def _row(cells: Sequence[Cell], widths: Sequence[int]) -> Text:
    from rich.text import Text

    row = Text()
    for (text, style), width in zip(cells, widths, strict=True):
        cell = Text(printable(text), style=style)
        cell.truncate(width, overflow="ellipsis", pad=True)
        row.append_text(cell).append(" " * GAP)
    row.rstrip()
    return row
