"""The newest value of each event, in memory: loaded at start, advanced with each commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from webmacs.model import Datapoint, Reading


class LatestValues:
    """The newest datapoint of each event, by the event's surrogate id.

    Newest means by time of measurement. A reading timed by the server itself always advances its event, also after
    the server's clock stepped back; otherwise a display would freeze until the clock caught up.
    """

    def __init__(self) -> None:
        self._by_event: dict[int, Datapoint] = {}

    def load(self, datapoints: Iterable[Datapoint]) -> None:
        """Replace everything by what the storage has."""
        self._by_event = {datapoint.event.id: datapoint for datapoint in datapoints}

    def retain(self, event_ids: Collection[int], experiment_ids: Collection[int]) -> None:
        """Forget events that are gone; readings of an experiment that is gone belong to none."""
        for event_id in self._by_event.keys() - set(event_ids):
            del self._by_event[event_id]
        for event_id, datapoint in self._by_event.items():
            if datapoint.experiment is not None and datapoint.experiment.id not in experiment_ids:
                self._by_event[event_id] = datapoint._replace(experiment=None)

    def replace(self, gone: Datapoint, newest: Datapoint | None) -> None:
        """A datapoint was deleted; `newest` is what its event has now. If it was not the newest, nothing changes."""
        if self._by_event.get(gone.event.id, gone).id != gone.id:
            return
        if newest is None:
            self._by_event.pop(gone.event.id, None)
        else:
            self._by_event[gone.event.id] = newest

    def all(self) -> Mapping[int, Datapoint]:
        """By event id. Not a copy: read it before anything else runs."""
        return self._by_event

    def advances(self, reading: Reading, received_us: int, over: Mapping[int, Reading]) -> bool:
        """Whether a reading received at that time is newer than the newest, and than those in `over`."""
        event_id = reading.event.id
        last = over.get(event_id) or self._by_event.get(event_id)
        return last is None or reading.time_us >= last.time_us or reading.time_us == received_us

    def apply(self, newest: Mapping[int, Datapoint]) -> None:
        """Take over what has been committed."""
        self._by_event.update(newest)
