"""Every promise has a proof and a figure, and the document says what the tests say."""

from __future__ import annotations

import pytest

from tests.promises import DOCUMENT, Proof, Result, figures, order, promises, proofs, written

TEXT = DOCUMENT.read_text("utf-8")
PROMISES = {promise.number: promise for promise in promises(TEXT)}
PROOFS = proofs()
NUMBERS = sorted(PROMISES, key=order)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_promise_has_a_proof(number: str) -> None:
    assert [proof for proof in PROOFS if proof.promise == number]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_promise_has_a_figure(number: str) -> None:
    assert figures().get(number), f"make promise N={number}"
    assert PROMISES[number].figure == figures()[number]


def test_every_test_that_names_a_promise_names_one_that_is_made() -> None:
    assert {proof.promise for proof in PROOFS} <= PROMISES.keys()


def test_no_figure_is_of_a_promise_that_is_not_made() -> None:
    assert figures().keys() <= PROMISES.keys()


def test_numbers_rise_without_gaps() -> None:
    for letter in {number[0] for number in NUMBERS}:
        counted = [int(number[1:]) for number in PROMISES if number[0] == letter]
        assert counted == list(range(1, len(counted) + 1))


def test_the_document_is_up_to_date_with_the_tests() -> None:
    assert written(TEXT, figures(), PROOFS) == TEXT, "python -m tests.promises"


def test_a_row_gets_its_proofs_and_its_figure() -> None:
    text = "| No | What |\n|---|---|\n| F1 | it fails | nothing is lost | old | old |\nF1\n"
    found = [Proof("F1", "tests/a/test_b.py", "test_c"), Proof("F1", "tests/a/test_b.py", "test_d")]
    new = written(text, {"F1": "0 lost"}, [*found, Proof("F1", "tests/test_e.py", "test_f")])
    links = "[a/test_b.py](../tests/a/test_b.py) (2 tests), [test_e.py](../tests/test_e.py)"
    assert new == text.replace("| old | old |", f"| {links} | 0 lost |")


def test_a_result_is_what_was_measured_and_how_many_passed() -> None:
    assert Result(1, 0, []).said() == "1 case passed"
    both = Result(2, 0, ["sqlite: lost 0", "postgresql: lost 0"])
    assert both.said() == "sqlite: lost 0; postgresql: lost 0; 2 cases passed"
