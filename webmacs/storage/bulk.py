"""Many rows in one INSERT: how a statement for one row becomes one for many."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_PLAIN: Final = re.compile(r"(INSERT INTO \w+ \([\w, ]+\) VALUES )\((:\w+(?:, :\w+)*)\)")


class Insert(NamedTuple):
    """A plain INSERT up to its values, and the names of these in order."""

    head: str
    names: tuple[str, ...]


def plain(statement: str) -> Insert:
    """Take apart the statement of a `Write` that is marked `bulk`.

    Raises:
        ValueError: it is not a plain INSERT.

    """
    match = _PLAIN.fullmatch(statement)
    if match is None:
        raise ValueError(f"not like `INSERT INTO table (a, b) VALUES (:a, :b)`: {statement}")
    return Insert(match[1], tuple(name.removeprefix(":") for name in match[2].split(", ")))
