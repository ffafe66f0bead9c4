"""Many rows in one INSERT: how a statement for one row becomes one for many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from webmacs.errors import InvalidRows
from webmacs.model import Scalar

_PLAIN: Final = re.compile(r"(INSERT INTO \w+ \([\w, ]+\)(?: OVERRIDING SYSTEM VALUE)? VALUES )\((:\w+(?:, :\w+)*)\)")


class Insert(NamedTuple):
    """A plain INSERT up to its values, and the names of these in order."""

    head: str
    names: tuple[str, ...]

    def values(self, rows: Iterable[Mapping[str, Scalar]]) -> list[Scalar]:
        """The values of all rows, one after the other.

        Raises:
            InvalidRows: a row lacks one.

        """
        try:
            return [row[name] for row in rows for name in self.names]
        except KeyError as error:
            raise InvalidRows(f"no value for :{error.args[0]}") from error


def plain(statement: str) -> Insert:
    """Take apart the statement of a `Write` that is marked `bulk`.

    Raises:
        InvalidRows: it is not a plain INSERT.

    """
    match = _PLAIN.fullmatch(statement)
    if match is None:
        raise InvalidRows(f"not like `INSERT INTO table (a, b) VALUES (:a, :b)`: {statement}")
    return Insert(match[1], tuple(name.removeprefix(":") for name in match[2].split(", ")))
