"""What the operators mean, against the table of the contract; which thresholds make no sense."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webmacs.model import Action, Operator, Rule
from webmacs.pipeline.thresholds import exceeds, fault, quiet, words

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NEARBY = st.integers(-30, 30).map(lambda steps: steps * 1e-10)  # around the width of `eq`
OPERATORS = st.sampled_from(Operator)
RANGES = ("between", "not_between")


def rule(operator: Operator, low: float, high: float | None = None) -> Rule:
    return Rule(1, "r", "Hot", 1, operator, low, high, Action.LOG, None, True, 60, None, 0)


def as_the_contract_says(operator: str, value: float, low: float, high: float | None) -> bool:
    """The table, in numbers that are exact; only the difference of `eq` is one of doubles."""
    v, a, b = Fraction(value), Fraction(low), None if high is None else Fraction(high)
    if operator in RANGES:
        if b is None:
            return False
        return a <= v <= b if operator == "between" else v < a or v > b
    order = (v > a) - (v < a)
    return {
        "gt": order == 1,
        "lt": order == -1,
        "gte": order >= 0,
        "lte": order <= 0,
        "eq": abs(value - low) < 1e-9,
    }[operator]


@given(OPERATORS, FINITE, FINITE, st.none() | FINITE)
@example(Operator.EQ, 1.7e308, -1.7e308, None)
@example(Operator.NOT_BETWEEN, 1.0, 2.0, None)
@example(Operator.BETWEEN, 2.0, 2.0, 2.0)
@example(Operator.GT, 5e-324, 0.0, None)
@example(Operator.LT, -0.0, 0.0, None)
def test_a_rule_is_met_exactly_when_the_contract_says_so(
    operator: Operator, value: float, low: float, high: float | None
) -> None:
    assert exceeds(rule(operator, low, high), value) is as_the_contract_says(operator, value, low, high)


@given(OPERATORS, st.sampled_from([0.0, 1.0, -80.5]), NEARBY, st.none() | NEARBY)
def test_a_rule_is_met_exactly_when_the_contract_says_so_for_values_close_to_it(
    operator: Operator, low: float, away: float, width: float | None
) -> None:
    value, high = low + away, None if width is None else low + width
    assert exceeds(rule(operator, low, high), value) is as_the_contract_says(operator, value, low, high)


MEETS = {
    Operator.GT: {79.9: False, 80.0: False, 80.1: True},
    Operator.LT: {79.9: True, 80.0: False, 80.1: False},
    Operator.GTE: {79.9: False, 80.0: True, 80.1: True},
    Operator.LTE: {79.9: True, 80.0: True, 80.1: False},
    Operator.EQ: {79.9: False, 80.0: True, 80.1: False, 80 + 9e-10: True, 80 - 9e-10: True, 80 + 1.1e-9: False},
}
MEETS_RANGE = {
    Operator.BETWEEN: {9.9: False, 10.0: True, 15.0: True, 20.0: True, 20.1: False},
    Operator.NOT_BETWEEN: {9.9: True, 10.0: False, 15.0: False, 20.0: False, 20.1: True},
}


@pytest.mark.parametrize(
    ("operator", "value", "met"), [(operator, *case) for operator, cases in MEETS.items() for case in cases.items()]
)
def test_a_value_is_compared_with_one_threshold(operator: Operator, value: float, met: bool) -> None:
    assert exceeds(rule(operator, 80.0), value) is met
    assert exceeds(rule(operator, 80.0, 1.0), value) is met  # the upper bound belongs to ranges


@pytest.mark.parametrize(
    ("operator", "value", "met"),
    [(operator, *case) for operator, cases in MEETS_RANGE.items() for case in cases.items()],
)
def test_the_bounds_of_a_range_belong_to_it(operator: Operator, value: float, met: bool) -> None:
    assert exceeds(rule(operator, 10.0, 20.0), value) is met


def test_a_difference_of_exactly_the_width_is_not_equal() -> None:
    assert [exceeds(rule(Operator.EQ, 0.0), value) for value in (1e-9, math.nextafter(1e-9, 0))] == [False, True]


@given(st.sampled_from(RANGES), FINITE, FINITE)
def test_a_range_without_its_upper_bound_is_never_met(operator: str, low: float, value: float) -> None:
    assert not exceeds(rule(Operator(operator), low), value)


# -- what makes no sense ---------------------------------------------------------------------------------------------


@given(OPERATORS, FINITE, st.none() | FINITE)
@example(Operator.BETWEEN, 1.0, 1.0)
def test_finite_thresholds_are_at_fault_only_in_a_range_that_is_none(
    operator: Operator, low: float, high: float | None
) -> None:
    is_none = operator in RANGES and (high is None or high < low)
    assert (fault(operator, low, high) is not None) is is_none


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("impossible", [math.nan, math.inf, -math.inf])
def test_thresholds_are_finite_numbers(operator: Operator, impossible: float) -> None:
    expected = "threshold and threshold_high must be finite numbers"
    assert fault(operator, impossible, 100.0) == fault(operator, 0.0, impossible) == expected


@pytest.mark.parametrize("operator", RANGES)
def test_what_is_wrong_with_a_range_is_said(operator: str) -> None:
    assert fault(Operator(operator), 5.0, None) == f"{operator} needs threshold_high"
    assert fault(Operator(operator), 5.0, 4.5) == "threshold_high (4.5) is below threshold (5)"
    assert (
        fault(Operator(operator), 1234567.5, 1234567.25) == "threshold_high (1234567.25) is below threshold (1234567.5)"
    )


@given(FINITE, FINITE)
def test_a_range_that_is_not_at_fault_is_met_inside_or_outside(low: float, high: float) -> None:
    if fault(Operator.BETWEEN, low, high) is None:
        assert exceeds(rule(Operator.BETWEEN, low, high), low)
        assert not exceeds(rule(Operator.NOT_BETWEEN, low, high), high)


# -- in words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "text"),
    {
        "gt": "above 80",
        "lt": "below 80",
        "eq": "equal to 80",
        "gte": "at or above 80",
        "lte": "at or below 80",
        "between": "between 80 and 90.5",
        "not_between": "outside 80 to 90.5",
    }.items(),
)
def test_a_rule_is_said_in_words(operator: str, text: str) -> None:
    assert words(rule(Operator(operator), 80.0, 90.5)) == text


def test_a_threshold_is_said_as_it_was_entered() -> None:
    assert words(rule(Operator.GT, 1234567.25)) == "above 1234567.25"
    assert words(rule(Operator.LT, 0.1 + 0.2)) == "below 0.3"


def test_a_range_without_its_upper_bound_is_said_as_such() -> None:
    assert words(rule(Operator.BETWEEN, 80.0)) == "between 80 and ?"


RULES = st.lists(st.builds(rule, OPERATORS, FINITE, st.none() | FINITE), max_size=4)


@given(RULES, FINITE)
def test_no_value_of_the_quiet_range_meets_any_rule(rules: list[Rule], value: float) -> None:
    low, high = quiet(rules)
    bounds = [bound for bound in (low, high) if math.isfinite(bound)]
    for one in (value, *bounds, *(math.nextafter(bound, 0.0) for bound in bounds)):
        if low <= one <= high:
            assert not any(exceeds(rule, one) for rule in rules)


@given(st.sampled_from([Operator.GT, Operator.GTE, Operator.LT, Operator.LTE, Operator.NOT_BETWEEN]), FINITE, FINITE)
def test_beyond_the_quiet_range_of_a_rule_every_value_meets_it(operator: Operator, one: float, other: float) -> None:
    threshold, threshold_high = sorted((one, other))
    only = rule(operator, threshold, threshold_high)
    low, high = quiet([only])
    if math.isfinite(low):
        assert exceeds(only, math.nextafter(low, -math.inf))
    if math.isfinite(high):
        assert exceeds(only, math.nextafter(high, math.inf))


def test_what_is_met_inside_leaves_no_quiet_range() -> None:
    for operator in (Operator.EQ, Operator.BETWEEN):
        low, high = quiet([rule(Operator.GT, 80.0), rule(operator, 1.0, 2.0)])
        assert low > high
    assert quiet([]) == (-math.inf, math.inf)
    assert quiet([rule(Operator.NOT_BETWEEN, 1.0, None)]) == (-math.inf, math.inf)
