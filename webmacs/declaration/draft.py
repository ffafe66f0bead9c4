"""A plan while it is made: the steps and problems found so far, and the events that may be referred to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

from webmacs.declaration.file import Entry, place
from webmacs.declaration.plan import Mode, Step
from webmacs.declaration.problem import Problem, choice, shown
from webmacs.declaration.state import Present, State, Thing

E = TypeVar("E", bound=Entry)
S = TypeVar("S", bound=State)


class Draft:
    """What the kinds of things have in common while they are planned, one after the other."""

    def __init__(self, there: Present, mode: Mode, new_id: Callable[[], str]) -> None:
        """`new_id` makes public ids."""
        self.there = there
        self.steps: list[Step] = []
        self.problems: list[Problem] = []
        self.event_ids = {name: thing.public_id for name, thing in there.events.items()}
        self.new_id = new_id
        self._mode = mode

    def problem(self, where: str, text: str) -> None:
        """Something is wrong; the rest of the file is looked at all the same."""
        self.problems.append(Problem(where, text))

    def numbered(self, table: str, entries: Iterable[E], key: str) -> Iterator[tuple[str, E]]:
        """Entries with their places; one that is in the file a second time is a problem, and left out."""
        seen: dict[str, str] = {}
        for number, entry in enumerate(entries):
            where, known_by = place(table, number), getattr(entry, key)
            if known_by in seen:
                what = "this one" if key == "url" else shown(known_by)
                self.problem(f"{where}.{key}", f"{what} is {seen[known_by]} already; leave one of them out")
            else:
                seen[known_by] = where
                yield where, entry

    def needs(self, where: str, entry: Entry, why: str, *keys: str) -> None:
        """Ask for what a new thing cannot be without."""
        for key in keys:
            if getattr(entry, key) is None:
                self.problem(f"{where}.{key}", f"is missing: {why}")

    def left(self, name: str, thing: Thing[State] | None) -> bool:
        """Whether a thing is left alone, whatever the file says of it; then that is its step."""
        if thing is None or self._mode is Mode.BRING:
            return False
        self.step(name, thing, thing.state)
        return True

    def step(self, name: str, thing: Thing[State] | None, now: State, public_id: str | None = None) -> str:
        """Add a step; returns the public id of what it is about: `public_id` or one that is made, when it is new."""
        was = None if thing is None else thing.state
        public_id = thing.public_id if thing is not None else public_id or self.new_id()
        self.steps.append(Step(name, public_id, was, now))
        return public_id

    def event(self, where: str, name: str) -> str | None:
        """The public id of an event that is there or in the file; it is a problem when there is none."""
        if name not in self.event_ids:
            may_be = choice(name, self.event_ids)
            self.problem(
                where, f"no event is called {shown(name)}, neither in the installation nor in the file; {may_be}"
            )
        return self.event_ids.get(name)


def merged(base: S, entry: Entry, *, but: str = "") -> S:
    """What is there, or a default, with all that an entry says of it under the same names; but one is left out."""
    said: dict[str, Any] = {
        field.name: value
        for field in fields(base)
        if field.name in type(entry).model_fields
        and field.name != but
        and (value := getattr(entry, field.name)) is not None
    }
    return replace(base, **said)
