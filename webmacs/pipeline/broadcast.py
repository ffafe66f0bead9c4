"""The observer that shows committed readings to every browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from webmacs.frames import Update
from webmacs.hub import FRONTEND
from webmacs.model import Datapoint, to_datetime
from webmacs.pipeline.base import Committed, Observer, StageContext, StageSettings
from webmacs.pipeline.throttle import Throttle

TICK_S: Final = 0.01  # windows that end within one tick share a message


class BroadcastSettings(StageSettings):
    """`[stages.broadcast]`."""

    interval_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.2


class StreamEncoder:
    """Datapoints as the stream's messages; each is encoded once, whoever gets it."""

    def __init__(self) -> None:
        self._quoted = lru_cache(maxsize=20_000)(json.dumps)
        self._second = lru_cache(maxsize=1_000)(_second)  # most readings are of the same few

    def update(self, datapoints: Iterable[Datapoint]) -> Update:
        """A `datapoints_batch` message, at most one datapoint per event."""
        return self.message({datapoint.event.public_id: self.fragment(datapoint) for datapoint in datapoints})

    def message(self, fragments: Mapping[str, bytes]) -> Update:
        """The same, of what is encoded already, by the public id of the event."""
        return Update(b'{"type":"datapoints_batch","datapoints":[', fragments, b"]}")

    def fragment(self, datapoint: Datapoint) -> bytes:
        """One datapoint of a message."""
        experiment = datapoint.experiment
        second, fraction_us = divmod(datapoint.time_us, 1_000_000)
        return (
            f'{{"value":{datapoint.value!r},"event_public_id":{self._quoted(datapoint.event.public_id)},'
            f'"timestamp":"{self._second(second)}.{fraction_us:06}+00:00",'
            f'"experiment_public_id":{self._quoted(experiment and experiment.public_id)}}}'
        ).encode()


def _second(second: int) -> str:
    return to_datetime(second * 1_000_000).isoformat().removesuffix("+00:00")


class Broadcast(Observer):
    """Send the newest reading of each event to the group `frontend`, at most once per event and interval.

    A reading that is older than its event's latest is not shown. While nobody watches, nothing is done.
    """

    Settings = BroadcastSettings
    overflow: ClassVar[Literal["coalesce", "drop"]] = "coalesce"
    settings: BroadcastSettings

    async def start(self, context: StageContext) -> None:
        """See `Stage`."""
        await super().start(context)
        self._loop = asyncio.get_running_loop()
        self._encoder = StreamEncoder()
        self._throttle: Throttle[int, Datapoint] = Throttle(self.settings.interval_s)
        self._timer: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Send what still waits for its window to end: after this there is no other chance."""
        self._disarm()
        self._send(datapoint for _, datapoint in self._throttle.flush(float("inf")))

    async def observe(self, committed: Committed) -> None:
        """See `Observer`."""
        if not self.context.hub.size(FRONTEND):
            self._throttle.clear()
            self._disarm()
            return
        now = self._loop.time()
        passed = [datapoint for key, datapoint in committed.newest.items() if self._throttle.offer(key, datapoint, now)]
        self._send([*passed, *(datapoint for _, datapoint in self._throttle.flush(now))])
        self._arm()

    def _arm(self) -> None:
        due = self._throttle.next_flush()
        if due is not None and self._timer is None:
            self._timer = self._loop.call_at(max(due, self._loop.time() + TICK_S), self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._send(datapoint for _, datapoint in self._throttle.flush(self._loop.time()))
        self._arm()

    def _send(self, datapoints: Iterable[Datapoint]) -> None:
        update = self._encoder.update(datapoints)
        if update.fragments:
            self.context.hub.broadcast(FRONTEND, update)
