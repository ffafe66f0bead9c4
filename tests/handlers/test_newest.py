"""The newest datapoint of each event, encoded once for a crowd, in parts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from webmacs.catalog import Catalog
from webmacs.handlers.newest import EncodedNewest
from webmacs.latest import LatestValues
from webmacs.model import Datapoint, Event

EVENTS = 300


class Newest:
    """What is encoded, of events that come and go."""

    def __init__(self, events: int = EVENTS) -> None:
        self.latest, self.encoded = LatestValues(), list[Datapoint]()
        self.know(events)
        self.change(*range(events), to=0.0)
        catalog = cast(Catalog, SimpleNamespace(current=self.known))
        self.subject = EncodedNewest(catalog, self.latest, self._encode)

    def know(self, events: int) -> None:
        self.events = {number: event(number) for number in range(events)}
        known: Any = getattr(self, "known", None) or SimpleNamespace()
        known.events_by_id, known.events = self.events, {one.public_id: one for one in self.events.values()}
        self.known = known

    def change(self, *numbers: int, to: float) -> None:
        self.latest.apply({number: Datapoint(number, self.events[number], 0, to, None) for number in numbers})

    def _encode(self, datapoint: Datapoint) -> bytes:
        self.encoded.append(datapoint)
        return b"%f" % datapoint.value


def event(number: int) -> Event:
    return cast(Event, SimpleNamespace(id=number, public_id=f"event {number}"))


async def test_a_crowd_is_served_by_one_encoding() -> None:
    newest = Newest()
    crowd = await asyncio.gather(*(newest.subject.fragments() for _ in range(20)))
    assert len(newest.encoded) == EVENTS
    assert all(one == crowd[0] and len(one) == EVENTS for one in crowd)


async def test_only_what_has_changed_is_encoded_again() -> None:
    newest = Newest()
    await newest.subject.fragments()
    newest.change(7, 8, to=1.0)
    found = await newest.subject.fragments()
    assert len(newest.encoded) == EVENTS + 2
    assert (found["event 7"], found["event 9"]) == (b"1.000000", b"0.000000")


async def test_who_wants_a_few_has_a_few_encoded() -> None:
    newest = Newest()
    assert await newest.subject.fragments(frozenset({"event 3", "nobody knows"})) == {"event 3": b"0.000000"}
    assert len(newest.encoded) == 1


async def test_others_have_their_turn_and_what_they_change_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webmacs.pauses.SLICE_S", 0.0)
    monkeypatch.setattr("webmacs.pauses.Pauses.__init__.__defaults__", (0.0, lambda: 0.0))
    newest, turns = Newest(), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            newest.change(0, EVENTS - 1, to=float(turns))
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    found = await newest.subject.fragments()
    task.cancel()
    assert turns >= EVENTS
    assert found["event 0"] == found[f"event {EVENTS - 1}"] == b"%f" % turns


async def test_events_that_are_gone_are_forgotten() -> None:
    newest = Newest()
    await newest.subject.fragments()
    newest.know(2)
    assert set(await newest.subject.fragments()) == {"event 0", "event 1"}
    assert len(newest.subject._made) == 2
