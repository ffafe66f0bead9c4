"""Rows of CSV that are readings: which column is what, and what a row says or why it says nothing. Pure."""

from __future__ import annotations

import csv
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, NamedTuple, TextIO

from webmacs.errors import WebmacsError
from webmacs.model import to_datetime, to_us

MAX_LINE: Final = 1 << 20
DELIMITERS: Final = ",;\t"
# The names of each column, those of `webmacs export` first; the others are those of the view `readings`.
NAMES: Final = {
    "timestamp": ("timestamp", "time"),
    "value": ("value",),
    "event_public_id": ("event_public_id",),
    "event_name": ("event_name", "event"),
    "unit": ("unit",),
    "datapoint_public_id": ("datapoint_public_id",),
}


class BadFile(WebmacsError):
    """A file cannot be read as CSV, or has not the columns that are needed."""


class BadRow(WebmacsError):
    """A row is no reading; the text says why."""


class Mention(NamedTuple):
    """How a row calls its event; what it does not say is empty."""

    public_id: str
    name: str


class Row(NamedTuple):
    """What a row says. `datapoint`: the id of the reading where it was exported, or nothing."""

    time_us: int
    value: float
    event: Mention
    unit: str
    datapoint: str


@dataclass(frozen=True, slots=True)
class Times:
    """What times are possible. `naive`: one without an offset is UTC; else it is none."""

    first_us: int
    last_us: int
    naive: bool

    def read(self, text: str) -> int:
        """A time in microseconds since the epoch. Raises `BadRow`."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadRow(f"{_short(text)} is no time in ISO 8601") from None
        if moment.tzinfo is None:
            if not self.naive:
                raise BadRow(f"{_short(text)} has no offset; --utc takes such times for UTC")
            moment = moment.replace(tzinfo=UTC)
        time_us = to_us(moment)
        if not self.first_us <= time_us <= self.last_us:
            if time_us > self.last_us:
                raise BadRow(f"{_short(text)} is in the future")
            raise BadRow(
                f"{_short(text)} is before {to_datetime(self.first_us):%Y-%m-%d %H:%M} UTC, and would not be kept"
            )
        return time_us


class Table:
    """A CSV file with a header: its rows by line number, and what each says."""

    def __init__(self, file: TextIO) -> None:
        """`file` is open with `newline=""`. Raises `BadFile` when columns are missing."""
        lines = _lines(file)
        with _readable(lambda: 0):
            first = next(lines, "")
        delimiter = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
        header = [name.strip().lower() for name in next(self.rows(), (0, []))[1]]
        self._width = len(header)
        places = {column: _place(header, names) for column, names in NAMES.items()}
        for column in ("timestamp", "value"):
            if places[column] is None:
                raise BadFile(f"there is no column {column} in the header")
        if places["event_public_id"] is None and places["event_name"] is None:
            raise BadFile("there is neither a column event_public_id nor event_name in the header")
        # What is missing is read from a field behind the last, which is empty.
        self._fields = itemgetter(*(self._width if place is None else place for place in places.values()))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line each row begins in, and its fields. Raises `BadFile` where it cannot be read on."""
        line = self._reader.line_num + 1
        with _readable(lambda: line - 1):
            for fields in self._reader:
                if fields:
                    yield line, fields
                line = self._reader.line_num + 1

    def read(self, fields: Sequence[str], times: Times) -> Row:
        """What a row says. Raises `BadRow`."""
        if len(fields) != self._width:
            raise BadRow(f"it has {len(fields)} columns, the header {self._width}")
        time, number, public_id, name, unit, datapoint = self._fields((*fields, ""))
        if not (public_id or name):
            raise BadRow("it names no event")
        return Row(times.read(time.strip()), _number(number), Mention(public_id, name), unit, datapoint)


def _lines(file: TextIO) -> Iterator[str]:
    """Lines of a bounded length, whatever the file is."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise csv.Error(f"a line has more than {MAX_LINE:,} characters")
        yield line


@contextmanager
def _readable(line: Callable[[], int]) -> Iterator[None]:
    """What goes wrong while a file is read becomes ours; `line` is the last that was in order."""
    try:
        yield
    except csv.Error as error:
        raise BadFile(f"after line {line()}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"after line {line()}: it is not UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"after line {line()}: {error}") from error


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise BadRow(f"{_short(text)} is no finite number")
    return value


def _place(header: Sequence[str], names: Sequence[str]) -> int | None:
    found = [header.index(name) for name in names if name in header]
    return found[0] if found else None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")  # noqa: PLR2004
