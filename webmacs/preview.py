"""What a rule would have done about the readings that are there: each is looked at, none is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from webmacs.catalog import Snapshot
from webmacs.export import merged
from webmacs.model import Datapoint
from webmacs.pipeline.cooldown import Cooldown
from webmacs.pipeline.thresholds import Condition, exceeds
from webmacs.storage.base import Storage

MAX_FIRED_AT: Final = 500


@dataclass(slots=True)
class Preview:
    """So far: how many readings there were, how many of them met the condition, how often the rule would have fired,
    and when, of which the newest are kept, by time.

    It says what `webmacs.pipeline.rules` would have done, had each reading come by itself when it was measured.
    """

    condition: Condition
    cooldown_us: int
    readings: int = 0
    matching: int = 0
    fired: int = 0
    fired_at_us: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_FIRED_AT))
    _cooldown: Cooldown[None] = field(default_factory=Cooldown)

    def look_at(self, datapoints: Iterable[Datapoint]) -> None:
        """Some more readings, by time."""
        for _, _, time_us, value, _ in datapoints:
            self.readings += 1
            if exceeds(self.condition, value):
                self.matching += 1
                if self._cooldown.passes(None, time_us, self.cooldown_us):
                    self.fired += 1
                    self.fired_at_us.append(time_us)


async def preview(
    storage: Storage,
    snapshot: Snapshot,
    event_id: int,
    condition: Condition,
    *,
    cooldown_s: int,
    from_us: int,
    until_us: int,
    turns: asyncio.Semaphore,
) -> Preview:
    """What a rule on an event would have done from one time until before another. Holds a few thousand readings at a
    time; each time more are read, a turn of `turns` is taken, so that charts are not held up by a long look.
    """
    found = Preview(condition, cooldown_s * 1_000_000)
    async with aclosing(merged(storage, snapshot, [event_id], from_us=from_us, until_us=until_us)) as runs:
        while True:
            async with turns:
                run = await anext(runs, None)
            if run is None:
                return found
            found.look_at(run)
