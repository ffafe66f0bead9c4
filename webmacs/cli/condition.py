"""When a rule fires, as it is written on a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click

from webmacs.model import Operator
from webmacs.pipeline.thresholds import fault

Bounds = float | tuple[float, float] | None
_ONE: Final[dict[str, Any]] = {"type": float, "metavar": "X"}
_TWO: Final[dict[str, Any]] = {"type": float, "nargs": 2, "metavar": "LOW HIGH"}
_OPTIONS: Final = {
    "above": (Operator.GT, _ONE, "Fire on values greater than X."),
    "below": (Operator.LT, _ONE, "Fire on values less than X."),
    "at_least": (Operator.GTE, _ONE, "Fire on X and above."),
    "at_most": (Operator.LTE, _ONE, "Fire on X and below."),
    "equals": (Operator.EQ, _ONE, "Fire on X, to a billionth."),
    "between": (Operator.BETWEEN, _TWO, "Fire from LOW to HIGH, both included."),
    "outside": (Operator.NOT_BETWEEN, _TWO, "Fire below LOW and above HIGH."),
}


class Condition(NamedTuple):
    """An operator with its threshold, or with both where it has two."""

    operator: Operator
    low: float
    high: float | None


def condition_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each operator."""
    for name, (_, kind, text) in reversed(_OPTIONS.items()):
        command = click.option(_spelled(name), name, help=text, **kind)(command)
    return command


def given_condition(bounds: dict[str, Bounds]) -> Condition:
    """The one that was given among the options. Raises `click.ClickException`."""
    given = {name: value for name, value in bounds.items() if value is not None}
    if len(given) != 1:
        options = ", ".join(map(_spelled, given or _OPTIONS))
        raise click.UsageError(f"when does it fire? Give one of {options}")
    ((name, value),) = given.items()
    low, high = value if isinstance(value, tuple) else (value, None)
    operator = _OPTIONS[name][0]
    wrong = fault(operator, low, high)
    if wrong is not None:
        raise click.ClickException(f"{_spelled(name)} {low:g}{'' if high is None else f' {high:g}'}: {wrong}")
    return Condition(operator, low, high)


def _spelled(name: str) -> str:
    return "--" + name.replace("_", "-")
