"""One run of the benchmarks: how thorough it is, what is installed for it, and the book that it writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from benchmarks.book import Book, Goal, number
from benchmarks.limits import Store
from benchmarks.server import Server


@dataclass
class Run:
    """`tested`: each storage with the server that most is measured at. `readings`: of the table that is not empty."""

    console: Console
    storages: Sequence[str]
    postgres_url: str
    tested: Sequence[tuple[Store, Server]]
    repeat: int
    seconds: float
    readings: int
    quick: bool
    book: Book = field(default_factory=Book)
    began: float = field(default_factory=time.monotonic)

    def note(
        self,
        section: str,
        storage: str,
        case: object,
        unit: str,
        found: float,
        *,
        beside: tuple[str, float] | None = None,
        goal: Goal | None = None,
        more: Mapping[str, float] | None = None,
    ) -> None:
        """Into the book, and a line about it."""
        self.book.note(section, storage, case, unit, found, beside=beside, goal=goal, more=more)
        against = f", {found / beside[1]:.2f} of {beside[0]}" if beside is not None else ""
        self.say(f"{section}: {storage}, {case}: {number(found)} {unit}{against}")

    def say(self, text: str) -> None:
        """With the time since the beginning."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        self.console.print(f"{minutes:>2}:{seconds:02}  {text}", highlight=False, markup=False)
