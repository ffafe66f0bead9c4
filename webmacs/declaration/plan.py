"""What has to be done so that what is there becomes what a file says: pure data, of which nothing is done yet."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from webmacs.declaration.state import EventState, State


class Mode(enum.Enum):
    """What becomes of things that are there already. What a file does not mention stays in either mode."""

    BRING = "bring"
    """They become what the file says of them."""
    ADD = "add"
    """They stay as they are: only what is missing is added."""


class Verdict(enum.StrEnum):
    """What a step does."""

    ADD = "add"
    CHANGE = "change"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing of the file, as it is and as it is to be; `was` None: it is new.

    `name` is what people call it; the name of a channel begins with that of its instance.
    """

    name: str
    public_id: str
    was: State | None
    now: State

    @property
    def verdict(self) -> Verdict:
        """What it does."""
        if self.was is None:
            return Verdict.ADD
        return Verdict.KEEP if self.was == self.now else Verdict.CHANGE


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in an order in which they can be done.

    `events` are all events by public id as they will be, those that are not in the file, too. `owner` is the public id
    of the user to whom new things belong. `passwords` are those of new users, by e-mail address.
    """

    steps: tuple[Step, ...] = ()
    events: Mapping[str, EventState] = field(default_factory=dict)
    owner: str | None = None
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.verdict is not Verdict.KEEP)

    def count(self, verdict: Verdict) -> int:
        """How many steps there are of a kind."""
        return sum(step.verdict is verdict for step in self.steps)
