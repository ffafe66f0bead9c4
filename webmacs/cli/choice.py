"""Which one is meant: by id, by name, or by as much of one as fits no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import click

from webmacs.cli.printable import SHORT_ID, printable
from webmacs.errors import NotFound
from webmacs.model import WebhookEvent

T = TypeVar("T")

MANY: Final = 8


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """Something that may be meant. `shown` is its name as it may be seen by everybody."""

    thing: T
    public_id: str
    name: str
    shown: str


def chosen(what: str, wanted: str, candidates: Sequence[Candidate[T]], *, secret: bool = False) -> T:
    """The one of that id or name; else the one whose name has that text in it, or whose id begins with it.

    What is `secret` is not repeated.

    Raises:
        NotFound: there is none.
        click.ClickException: it may be several.

    """
    for candidate in candidates:
        if wanted in {candidate.public_id, candidate.name}:
            return candidate.thing
    said = "that" if secret else repr(wanted)
    found = [candidate for candidate in candidates if _fits(wanted, candidate)] if wanted.strip() else []
    if len(found) == 1:
        return found[0].thing
    if found:
        raise click.ClickException(f"{said} may be {_listed(found)}; say more of the {what} that is meant")
    there = f"there are {_listed(candidates)}" if candidates else "there is none at all"
    raise NotFound(f"no {what} is called {said}; {there}")


def webhook_event(text: str) -> WebhookEvent:
    """The event of a command line, in either spelling. Raises `click.ClickException`."""
    try:
        return WebhookEvent.spelled(text)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def short_id(public_id: str) -> str:
    """The beginning of an id, which is enough where there are not thousands."""
    return printable(public_id[:SHORT_ID])


def _fits(wanted: str, candidate: Candidate[T]) -> bool:
    return wanted.casefold() in candidate.name.casefold() or candidate.public_id.startswith(wanted.lower())


def _listed(candidates: Sequence[Candidate[T]]) -> str:
    names = [f"{printable(candidate.shown)!r}" for candidate in candidates[:MANY]]
    more = len(candidates) - MANY
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
