"""What was found, line by line: a figure, what it stands beside, and the goal that it has to reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Literal

HEADINGS: Final = ("", "storage", "case", "found", "beside", "ratio", "goal", "")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for the figure itself, or for its ratio to what it stands beside."""

    of: Literal["figure", "ratio"]
    bound: float
    least: bool = True

    def __str__(self) -> str:
        what = " of it" if self.of == "ratio" else ""
        return f"{'≥' if self.least else '≤'} {number(self.bound)}{what}"


@dataclass
class Line:
    """One line. `found` and `limits` have one value for each repetition; those at the same place belong together.

    `more`: medians of what else is to be known of it.
    """

    section: str
    storage: str
    case: str
    unit: str
    limit_name: str = ""
    goal: Goal | None = None
    found: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    more: dict[str, list[float]] = field(default_factory=dict)

    @property
    def figure(self) -> float:
        """The median."""
        return median(self.found)

    @property
    def limit(self) -> float:
        """The median of what it stands beside."""
        return median(self.limits)

    @property
    def ratio(self) -> float | None:
        """The median of the pairs that were measured side by side."""
        if not self.limits:
            return None
        return median(one / other for one, other in zip(self.found, self.limits, strict=True))

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None without one."""
        value = self.ratio if self.goal is not None and self.goal.of == "ratio" else self.figure
        if self.goal is None or value is None:
            return None
        return value >= self.goal.bound if self.goal.least else value <= self.goal.bound

    def cells(self) -> tuple[str, ...]:
        """For a table with these headings."""
        beside = f"{number(self.limit)} {self.limit_name}" if self.limits else ""
        verdict = {None: "", True: "reached", False: "missed"}[self.reached]
        ratio = "" if self.ratio is None else number(self.ratio)
        goal = "" if self.goal is None else str(self.goal)
        return self.section, self.storage, self.case, f"{number(self.figure)} {self.unit}", beside, ratio, goal, verdict

    def document(self) -> dict[str, Any]:
        """For JSON; what is reckoned from the rest is there for those who read it."""
        reckoned = {"figure": self.figure, "ratio": self.ratio, "reached": self.reached}
        return asdict(self) | reckoned


@dataclass
class Book:
    """All lines of a run."""

    lines: dict[tuple[str, str, str], Line] = field(default_factory=dict)

    def ordered(self) -> list[Line]:
        """Section by section and in it storage by storage; otherwise in the order in which they were begun."""
        sections = list(dict.fromkeys(section for section, _, _ in self.lines))
        storages = list(dict.fromkeys(storage for _, storage, _ in self.lines))
        lines = self.lines.values()
        return sorted(lines, key=lambda line: (sections.index(line.section), storages.index(line.storage)))

    def note(
        self,
        section: str,
        storage: str,
        case: object,
        unit: str,
        found: float,
        *,
        beside: tuple[str, float] | None = None,
        goal: Goal | None = None,
        more: Mapping[str, float] | None = None,
    ) -> Line:
        """One measurement more; returns its line so far."""
        limit_name = beside[0] if beside is not None else ""
        line = self.lines.setdefault(
            (section, storage, str(case)), Line(section, storage, str(case), unit, limit_name, goal)
        )
        line.found.append(found)
        if beside is not None:
            line.limits.append(beside[1])
        for name, value in (more or {}).items():
            line.more.setdefault(name, []).append(value)
        return line

    def figure(self, section: str, storage: str, case: object) -> float | None:
        """The median of a line; None where it was not measured."""
        line = self.lines.get((section, storage, str(case)))
        return None if line is None else line.figure


def read(documents: Iterable[Mapping[str, Any]]) -> list[Line]:
    """The lines of a JSON document."""
    return [
        Line(
            section=one["section"],
            storage=one["storage"],
            case=one["case"],
            unit=one["unit"],
            limit_name=one["limit_name"],
            goal=Goal(**one["goal"]) if one["goal"] is not None else None,
            found=one["found"],
            limits=one["limits"],
            more=one["more"],
        )
        for one in documents
    ]


def number(value: float) -> str:
    """With three digits that say something, and thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
