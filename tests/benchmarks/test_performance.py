"""What is reckoned and shown of a run of the benchmarks, and that `docs/performance.md` shows the run that was kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.book import Book, Goal, number, read
from benchmarks.cases import INGEST, Case
from benchmarks.chart import WIDTH, Bar, bars
from benchmarks.performance import BEGIN, DOCUMENT, END, FIGURES, figures, table, written


def a_book() -> Book:
    book = Book()
    for found, limit in ((100.0, 400.0), (300.0, 400.0), (200.0, 1000.0)):
        more = {"server_cores": 0.5}
        beside = ("psql COPY", limit)
        book.note(INGEST, "PostgreSQL", Case(500), "rows/s", found, beside=beside, goal=Goal("ratio", 0.6), more=more)
    book.note("Latency", "PostgreSQL", "p50", "ms", 2.5, goal=Goal("figure", 3.0, least=False))
    book.note(INGEST, "PostgreSQL", Case(1), "rows/s", 41_234.5, goal=Goal("figure", 40_000))
    return book


def test_a_ratio_is_the_median_of_the_pairs_that_were_measured_in_turn() -> None:
    line = a_book().ordered()[0]
    assert (line.figure, line.limit, line.ratio) == (200.0, 400.0, 0.25)
    assert line.more == {"server_cores": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (None, None),
        (Goal("figure", 200), True),
        (Goal("figure", 201), False),
        (Goal("figure", 200, least=False), True),
        (Goal("figure", 199, least=False), False),
        (Goal("ratio", 0.5), True),
        (Goal("ratio", 0.51), False),
    ],
)
def test_a_goal_is_a_bound_of_the_figure_or_of_the_ratio(goal: Goal | None, reached: bool | None) -> None:
    assert Book().note("", "", "", "", 200.0, beside=("", 400.0), goal=goal).reached is reached


def test_lines_of_a_section_are_together_however_they_came() -> None:
    assert [line.case for line in a_book().ordered()] == [str(Case(500)), str(Case(1)), "p50"]


def test_a_figure_is_found_again_by_its_line() -> None:
    book = a_book()
    assert book.figure(INGEST, "PostgreSQL", Case(500)) == 200.0
    assert book.figure(INGEST, "SQLite", Case(500)) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.09876, "0.0988"), (0.6, "0.6"), (3.0, "3"), (12.345, "12.3"), (99.96, "100.0"), (41_234.5, "41,234")],
)
def test_numbers_have_the_digits_that_say_something(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_line_is_read_back_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    book = a_book()
    paths = report.save(book, datetime.now(UTC), {"PostgreSQL": "PostgreSQL 18"}, 0.05, kept=tmp_path)
    assert paths == (tmp_path / "performance.json", tmp_path / "performance.svg")
    document = json.loads(paths[0].read_text("utf-8"))
    assert read(document["lines"]) == book.ordered()
    assert document["lines"][0]["ratio"] == 0.25
    assert len(list((tmp_path / "results").iterdir())) == 2
    assert "PostgreSQL 18" in written(f"{BEGIN}{END}", document)


def test_the_table_says_what_was_found_beside_what_and_whether_that_is_enough() -> None:
    said = StringIO()
    report.show(Console(width=200, file=said), a_book(), 0.05)
    text = said.getvalue()
    for cell in ("200 rows/s", "400 psql COPY", "0.25", "≥ 0.6 of it", "missed", "≤ 3", "reached"):
        assert cell in text
    assert "0.05 of" in text


def test_the_table_of_the_document_names_a_section_once() -> None:
    text = table(a_book().ordered())
    assert text.count("**Ingest**") == 1
    assert text.splitlines()[1].startswith("| --- | --- |")
    assert (
        text.splitlines()[3]
        == "|  | PostgreSQL | 1 a message, 1 controller | 41,234 rows/s |  |  | ≥ 40,000 | reached |"
    )


def test_only_the_place_of_the_figures_is_rewritten() -> None:
    document = figures()
    text = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", document)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert written(text, document) == text
    with pytest.raises(ValueError, match="lacks"):
        written("nothing", document)


def test_the_document_is_up_to_date_with_the_run_that_was_kept() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert written(text, figures()) == text, "python -m benchmarks.performance"


def test_the_plot_of_the_document_is_that_of_the_run_that_was_kept() -> None:
    book = Book({(line.section, line.storage, line.case): line for line in read(figures()["lines"])})
    assert FIGURES.with_suffix(".svg").read_text("utf-8") == report.plot(book)


def test_bars_are_as_long_as_their_values() -> None:
    picture = ET.fromstring(bars("A < B", {"1": [Bar("a", 50.0, 100.0)], "2": [Bar("a", 100.0, 25.0)]}))
    shapes = picture.iter("{http://www.w3.org/2000/svg}rect")
    heights = [float(shape.attrib["height"]) for shape in shapes if float(shape.attrib["width"]) not in {10, WIDTH}]
    whole = heights[0]
    assert heights == pytest.approx([whole, whole / 2, whole / 4, whole], abs=0.2)
