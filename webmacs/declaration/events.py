"""Events of a file: what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable

from webmacs.declaration.draft import Draft, merged
from webmacs.declaration.file import EventEntry
from webmacs.declaration.problem import shown
from webmacs.declaration.state import EventState


def plan_events(draft: Draft, entries: Iterable[EventEntry]) -> None:
    """The events that the file names; those that come with plugin instances are not among them."""
    taken = {public_id: name for name, public_id in draft.event_ids.items()}
    for where, entry in draft.numbered("events", entries, "name"):
        thing = draft.there.events.get(entry.name)
        if draft.left(entry.name, thing):
            continue
        if thing is None:
            why = f"there is no event {shown(entry.name)} yet"
            draft.needs(where, entry, why, "unit", "min_value", "max_value")
            now = merged(EventState(entry.name, "", "sensor", 0.0, 0.0), entry)
            public_id = entry.public_id or draft.new_id()
        else:
            now, public_id = merged(thing.state, entry), thing.public_id
            if entry.public_id not in {None, public_id}:
                draft.problem(
                    f"{where}.public_id",
                    f"the event has {shown(public_id)} already, which cannot be changed to {shown(entry.public_id)}",
                )
        if taken.setdefault(public_id, entry.name) != entry.name:
            draft.problem(f"{where}.public_id", f"{shown(public_id)} is that of the event {shown(taken[public_id])}")
        if now.min_value > now.max_value:
            draft.problem(f"{where}.min_value", f"{now.min_value:.15g} is above max_value ({now.max_value:.15g})")
        draft.event_ids[entry.name] = draft.step(entry.name, thing, now, public_id)


def all_events(draft: Draft) -> dict[str, EventState]:
    """All events that there will be, by public id."""
    there = {thing.public_id: thing.state for thing in draft.there.events.values()}
    return there | {step.public_id: step.now for step in draft.steps if isinstance(step.now, EventState)}
