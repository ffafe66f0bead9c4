"""`python -m benchmarks.performance`: brings the table of `docs/performance.md` up to date with the file beside it.

`make bench ARGS="--keep docs"` makes that file, `performance.json`, and the plot. A test demands that table and file
agree.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from benchmarks.book import HEADINGS, Line, read
from benchmarks.workers import ROOT

DOCUMENT: Final = ROOT / "docs" / "performance.md"
FIGURES: Final = ROOT / "docs" / "performance.json"
BEGIN: Final = "<!-- figures: python -m benchmarks.performance -->"
END: Final = "<!-- end of figures -->"


def table(lines: Iterable[Line]) -> str:
    """As Markdown; a section is named once."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS)]
    section = ""
    for line in lines:
        first, *rest = line.cells()
        rows.append(("" if first == section else f"**{first}**", *rest))
        section = first
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine(document: Mapping[str, Any]) -> str:
    """On what it was measured, as a sentence."""
    where = document["machine"]
    versions = ", ".join(document["versions"].values())
    return (
        f"Measured on {document['began'][:10]} at commit {where['commit']}: {where['cores']} cores, "
        f"{where['memory_mib'] / 1024:.0f} GiB, {where['system']}, Python {where['python']}, {versions}; "
        f"meanwhile other processes took {document['others_cores']:.2f} cores."
    )


def written(text: str, document: Mapping[str, Any]) -> str:
    """The document with these figures.

    Raises:
        ValueError: it has no place for them.

    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} lacks {BEGIN!r} or {END!r}")
    return f"{head}{BEGIN}\n\n{machine(document)}\n\n{table(read(document['lines']))}\n\n{END}{tail}"


def figures() -> dict[str, Any]:
    """What the last run that was kept came to."""
    read_back: dict[str, Any] = json.loads(FIGURES.read_text("utf-8"))
    return read_back


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8"), figures()), "utf-8")
    sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)} is up to date\n")
