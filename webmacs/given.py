"""The newest setpoint of each event, in memory: its value, and when it was given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple


class Given(NamedTuple):
    """A value that somebody gave an event which an output follows. `time_us`: when the server received it."""

    event_public_id: str
    value: float
    time_us: int


class NewestGiven:
    """The last one of each event, by the public id of the event: loaded at start, replaced with each that is stored."""

    def __init__(self) -> None:
        self._by_event: dict[str, Given] = {}
        self._watchers: list[Callable[[Iterable[Given]], None]] = []

    def load(self, given: Iterable[Given]) -> None:
        """Replace everything by what the storage has."""
        self._by_event = {one.event_public_id: one for one in given}

    def retain(self, event_public_ids: Collection[str]) -> None:
        """Forget events that are gone."""
        for event_public_id in self._by_event.keys() - set(event_public_ids):
            del self._by_event[event_public_id]

    def last(self, event_public_id: str) -> Given | None:
        """What the event was given last."""
        return self._by_event.get(event_public_id)

    def of(self, event_public_ids: Iterable[str]) -> list[Given]:
        """What these events were given last, those of them that were given something."""
        return [given for one in event_public_ids if (given := self.last(one)) is not None]

    def watch(self, watcher: Callable[[Iterable[Given]], None]) -> None:
        """Call `watcher` with what is given from now on: after it is stored, at most one of each event at once."""
        self._watchers.append(watcher)

    def take(self, given: Mapping[str, Given]) -> None:
        """Setpoints that have been stored, by the public id of the event."""
        self._by_event |= given
        for watcher in self._watchers:
            watcher(given.values())
