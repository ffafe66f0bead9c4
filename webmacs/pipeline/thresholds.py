"""What a rule's operators mean. Pure; imports nothing but the nouns.

Comparisons are those of IEEE 754 doubles; values and thresholds are finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isfinite, nextafter
from typing import Final, Protocol

from webmacs.model import Operator, Rule

EQUAL_WITHIN: Final = 1e-9
RANGES: Final = frozenset({Operator.BETWEEN, Operator.NOT_BETWEEN})

_MEETS: Final[Mapping[Operator, Callable[[float, float, float], bool]]] = {
    Operator.GT: lambda value, low, _: value > low,
    Operator.LT: lambda value, low, _: value < low,
    Operator.EQ: lambda value, low, _: abs(value - low) < EQUAL_WITHIN,
    Operator.GTE: lambda value, low, _: value >= low,
    Operator.LTE: lambda value, low, _: value <= low,
    Operator.BETWEEN: lambda value, low, high: low <= value <= high,
    Operator.NOT_BETWEEN: lambda value, low, high: value < low or value > high,
}


class Condition(Protocol):
    """What a rule or a plan of one says of values."""

    @property
    def operator(self) -> Operator:
        """How a value is compared."""

    @property
    def threshold(self) -> float:
        """With what."""

    @property
    def threshold_high(self) -> float | None:
        """The upper bound of a range."""


def exceeds(rule: Condition, value: float) -> bool:
    """Whether the value meets the rule. The bounds belong to a range; a range without its upper one is never met."""
    high = rule.threshold_high
    if high is None:
        return rule.operator not in RANGES and _MEETS[rule.operator](value, rule.threshold, 0.0)
    return _MEETS[rule.operator](value, rule.threshold, high)


def quiet(rules: Iterable[Rule]) -> tuple[float, float]:
    """A range, both bounds included, of which no value meets any of the rules: the usual case, told by two comparisons.

    Where the values that meet them leave no such range, it is empty: its lower bound is above the upper one.
    """
    low, high = -inf, inf
    for rule in rules:
        match rule.operator:
            case Operator.GT:
                high = min(high, rule.threshold)
            case Operator.GTE:
                high = min(high, nextafter(rule.threshold, -inf))
            case Operator.LT:
                low = max(low, rule.threshold)
            case Operator.LTE:
                low = max(low, nextafter(rule.threshold, inf))
            case Operator.NOT_BETWEEN if rule.threshold_high is not None:
                low, high = max(low, rule.threshold), min(high, rule.threshold_high)
            case Operator.EQ | Operator.BETWEEN:
                return inf, -inf
    return low, high


def fault(operator: Operator, threshold: float, threshold_high: float | None) -> str | None:
    """What is wrong with the thresholds of a rule, for a person; None when they make sense."""
    if not isfinite(threshold) or (threshold_high is not None and not isfinite(threshold_high)):
        return "threshold and threshold_high must be finite numbers"
    if operator in RANGES and threshold_high is None:
        return f"{operator} needs threshold_high"
    if operator in RANGES and threshold_high is not None and threshold_high < threshold:
        return f"threshold_high ({threshold_high:.15g}) is below threshold ({threshold:.15g})"
    return None


def words(rule: Condition) -> str:
    """What a value is that meets the rule, for a person: `above 80`."""
    low, high = f"{rule.threshold:.15g}", "?" if rule.threshold_high is None else f"{rule.threshold_high:.15g}"
    return {
        Operator.GT: f"above {low}",
        Operator.LT: f"below {low}",
        Operator.EQ: f"equal to {low}",
        Operator.GTE: f"at or above {low}",
        Operator.LTE: f"at or below {low}",
        Operator.BETWEEN: f"between {low} and {high}",
        Operator.NOT_BETWEEN: f"outside {low} to {high}",
    }[rule.operator]
