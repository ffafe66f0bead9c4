"""What `docs/reliability.md` promises, which tests prove it, and the figures they came to.

A test names what it proves, and may say what it measured:

    @pytest.mark.promise("F1")
    async def test_…(…, figure: Figure) -> None:
        ...
        figure(f"{storage}: 20 restarts; acknowledged and lost 0, stored twice 0")

`make faults` runs all of them in their long form, prints a table, and writes the figures to `docs/reliability.json`;
`python -m tests.promises` then brings the document up to date with the tests and with that file, as a test demands.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "reliability.md"
FIGURES: Final = ROOT / "docs" / "reliability.json"

LONG: Final = bool(os.environ.get("WEBMACS_TEST_LONG"))
"""Whether tests run in their long form: more kills, more restarts, longer outages."""

Figure = Callable[[str], None]

_ROW: Final = re.compile(r"\| ([A-Z][0-9]+) \|")
_PROPERTY: Final = "promise", "figure"


@dataclass
class Result:
    """What came of the tests of one promise."""

    passed: int = 0
    failed: int = 0
    figures: list[str] = field(default_factory=list)

    def said(self) -> str:
        """As the document has it."""
        cases = f"{self.passed} case{'' if self.passed == 1 else 's'} passed"
        return "; ".join((*self.figures, cases))


@dataclass(frozen=True)
class Proof:
    """A test that names a promise."""

    promise: str
    path: str
    name: str


@dataclass(frozen=True)
class Promise:
    """A row of the document: what may happen, what then holds, who proves it, what was measured."""

    number: str
    what: str
    holds: str
    proof: str
    figure: str


def promises(text: str) -> Iterator[Promise]:
    """The rows of the document's tables."""
    for line in text.splitlines():
        if _ROW.match(line):
            number, what, holds, proof, figure = (cell.strip() for cell in line.strip()[1:-1].split("|"))
            yield Promise(number, what, holds, proof, figure)


def proofs(root: Path = ROOT) -> list[Proof]:
    """Every test that names a promise, by its text alone: module, class and function marks."""
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        module = [mark for node in tree.body for mark in _module_marks(node)]
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                marks = [*module, *(mark for decorator in node.decorator_list for mark in _marks(decorator))]
                found += [Proof(mark, path.relative_to(root).as_posix(), node.name) for mark in dict.fromkeys(marks)]
    return found


def _module_marks(node: ast.stmt) -> Iterator[str]:
    """`pytestmark = …`: the promises of all tests of the module."""
    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
        for part in ast.walk(node.value):
            yield from _marks(part)


def _marks(node: ast.AST) -> Iterator[str]:
    """The promises that `pytest.mark.promise(…)` names."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "promise":
        yield from (part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str))


def written(text: str, results: dict[str, str], found: Iterable[Proof]) -> str:
    """The document with the proofs and figures there are; those of promises without new ones stay."""
    by_number: dict[str, list[Proof]] = {}
    for proof in found:
        by_number.setdefault(proof.promise, []).append(proof)
    lines = []
    for line in text.splitlines():
        if not _ROW.match(line):
            lines.append(line)
            continue
        (promise,) = promises(line)
        shown, figure = _shown(by_number.get(promise.number, [])), results.get(promise.number, "")
        lines.append(f"| {promise.number} | {promise.what} | {promise.holds} | {shown} | {figure} |")
    return "\n".join(lines) + "\n"


def _shown(found: list[Proof]) -> str:
    """Links to the files, and the number of tests there."""
    names: dict[str, list[str]] = {}
    for proof in found:
        names.setdefault(proof.path, []).append(proof.name)
    links = []
    for path, tests in names.items():
        count = "" if len(tests) == 1 else f" ({len(tests)} tests)"
        links.append(f"[{path.removeprefix('tests/')}](../{path}){count}")
    return ", ".join(links)


def figures(path: Path = FIGURES) -> dict[str, str]:
    """What the last long run came to, by number."""
    read: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return read


def keep(results: dict[str, str], path: Path = FIGURES) -> None:
    """Put what a run came to, by number, into the file; what it did not measure stays."""
    merged = figures(path) | results
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = {number: merged[number] for number in sorted(merged, key=order)}
    path.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", "utf-8")


# -- in the test run ---------------------------------------------------------------------------------------------------


class Reporter:
    """Gathers the figures of a run; with `target`, merges them into that file at its end."""

    def __init__(self, target: Path | None) -> None:
        self._target = target
        self.results: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Comes to the process that prints, also when others run the tests."""
        if not (report.when == "call" or report.failed):
            return
        said = report.user_properties
        for number in [str(value) for name, value in said if name == _PROPERTY[0]]:
            result = self.results.setdefault(number, Result())
            result.passed += report.passed
            result.failed += report.failed
            result.figures += [str(value) for name, value in said if name == _PROPERTY[1]]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, and the file."""
        if self._target is None or not self.results:
            return
        named = {promise.number: promise.what for promise in promises(DOCUMENT.read_text("utf-8"))}
        table = Table(title="What was promised, and what came of it", show_lines=True)
        for heading in ("No", "What happens", "Result", "Figures"):
            table.add_column(heading)
        for number, result in sorted(self.results.items(), key=lambda pair: order(pair[0])):
            verdict = "[red]failed[/]" if result.failed else "[green]holds[/]"
            table.add_row(
                number,
                named.get(number, "?"),
                f"{verdict} ({result.passed} of {result.passed + result.failed})",
                "\n".join(result.figures),
            )
        terminalreporter.write_line("")
        Console(width=max(100, terminalreporter._tw.fullwidth), file=terminalreporter._tw._file).print(table)
        broken = [number for number, result in self.results.items() if result.failed]
        keep({number: found.said() for number, found in self.results.items() if not found.failed}, self._target)
        if broken:
            terminalreporter.write_line(f"what does not hold has its figure from before: {', '.join(sorted(broken))}")
        terminalreporter.write_line(
            f"written to {self._target}; `python -m tests.promises` puts it into {DOCUMENT.name}"
        )


def order(number: str) -> tuple[str, int]:
    """As people count: F9 before F10."""
    return number[0], int(number[1:])


def marked(item: pytest.Item) -> list[str]:
    """The promises that a test names."""
    return [str(number) for mark in item.iter_markers("promise") for number in mark.args]


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8"), figures(), proofs()), "utf-8")
    sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)} is up to date\n")
