"""What is wrong with a file, and where in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from webmacs.errors import WebmacsError

SHOWN: Final = 60
NAMED: Final = 8
COMPARED: Final = 1_000  # names, for each that is wrong


@dataclass(frozen=True, slots=True)
class Problem:
    """`place` is like `rules[2].event`, counted from 0; empty for the file as a whole. The text says the mend, too."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class Refused(WebmacsError):
    """A file cannot be applied, and nothing of it was; `problems` are all that were found."""

    def __init__(self, problems: Collection[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def shown(value: object) -> str:
    """A value as a problem names it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def choice(wanted: str, names: Collection[str]) -> str:
    """What somebody may have meant who wrote something that is not there."""
    if not names:
        return "there is none at all"
    close = get_close_matches(wanted, list(names)[:COMPARED], n=1)
    if close:
        return f"is it {shown(close[0])}?"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"there are {', '.join(shown(name) for name in list(names)[:NAMED])}{more}"
