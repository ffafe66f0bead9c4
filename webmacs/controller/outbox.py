"""What of the spool goes next: what is measured now before what has waited, and that not too fast."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from webmacs.controller.backoff import Backoff
from webmacs.controller.batch import Batch, Outcome, Refused, Source
from webmacs.controller.frames import Reading
from webmacs.controller.pace import Pace
from webmacs.controller.refused import RefusedFile
from webmacs.controller.spool import Spool, Spooled
from webmacs.errors import SpoolError

_log = logging.getLogger(__name__)

MAX_LIVE: Final = 64  # batches that wait to go out at once; more than that is a backlog
FIRST_PAUSE_S: Final = 0.2
MAX_PAUSE_S: Final = 10.0


@dataclass(slots=True)
class Totals:
    """What has become of readings since the process began."""

    stored: int = 0
    repeated: int = 0
    """Of those, what the server had already."""
    untold: int = 0
    """Given to a server that does not say what becomes of it."""
    unlinked: int = 0
    skewed: int = 0
    refused: int = 0
    not_kept: int = 0
    """The disk took nothing; they are lost."""


class Outbox(Source):
    """Between the spool and the connection.

    Batches that come while there is a connection go out at once, in order. All others go the oldest first, at most
    `backlog_rate` readings a second. A batch is in one place: acknowledged, on the way, waiting to go out at once, or
    part of the backlog; when the connection is lost, all that is not acknowledged is backlog.
    """

    def __init__(
        self,
        spool: Spool,
        refused: RefusedFile,
        backlog_rate: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._spool, self._refused, self._monotonic = spool, refused, monotonic
        self._pace = Pace(backlog_rate, monotonic())
        self._backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        self._resume_at = 0.0  # after a server that has no room
        self._live: deque[Spooled] = deque()
        self._under_way: dict[str, Spooled] = {}
        self._connected = False
        self._complained = False
        self.totals = Totals()
        self.problem: str | None = None
        """What the server or the disk said last that was amiss."""

    @property
    def waiting(self) -> int:
        """Readings that are not acknowledged."""
        return self._spool.depth

    @property
    def busy(self) -> bool:
        """Whether something is on the way, or about to be; what waits as backlog does not count."""
        return bool(self._live or self._under_way)

    def put(self, readings: Sequence[Reading]) -> None:
        """Keep readings, and send them as soon as possible. What the disk does not take is lost, counted and said."""
        try:
            batches = self._spool.append(readings)
        except SpoolError as error:
            self.totals.not_kept += len(readings)
            self._amiss(str(error))
            return
        self.totals.not_kept += len(readings) - sum(len(batch.readings) for batch in batches)
        self._complained = False
        if not self._connected:
            return
        for batch in batches:
            self._spool.hold(batch)
            self._live.append(batch)
            if len(self._live) > MAX_LIVE:
                self._spool.release(self._live.popleft())
        self.wake()

    # -- as a source -----------------------------------------------------------------------------------------------

    def take(self) -> Batch | None:
        """See `Source`."""
        now = self._monotonic()
        if now < self._resume_at:
            return None
        if self._live:
            batch: Spooled | None = self._live.popleft()
        elif self._pace.wait_s(now) > 0:
            return None
        else:
            batch = self._spool.take()
            if batch is not None:
                self._pace.spend(len(batch.readings), now)
        if batch is not None:
            self._under_way[batch.batch_id] = batch
        return batch

    def due_s(self) -> float | None:
        """See `Source`."""
        now = self._monotonic()
        wait_s = max(self._resume_at - now, 0.0 if self._live else self._pace.wait_s(now))
        return wait_s if wait_s > 0 else None

    def connected(self) -> None:
        """See `Source`."""
        self._connected = True
        self.wake()

    def lost(self) -> None:
        """See `Source`."""
        self._connected = False
        for batch in (*self._under_way.values(), *self._live):
            self._spool.release(batch)
        self._under_way.clear()
        self._live.clear()

    def answered(self, batch: Batch, outcome: Outcome) -> None:
        """See `Source`."""
        spooled = self._under_way.pop(batch.batch_id, None)
        if spooled is None:
            return
        if isinstance(outcome, Refused) and outcome.retry:
            self._amiss(outcome.message)
            self._resume_at = self._monotonic() + self._backoff.pause_s()
            self._spool.release(spooled)
            return
        self._backoff.reset()
        totals, count = self.totals, len(batch.readings)
        try:
            if isinstance(outcome, Refused):
                totals.refused += count
                self._amiss(f"{count} readings were refused: {outcome.message}")
                self._refused.put(batch, outcome.message)
            else:
                totals.stored += outcome.accepted if outcome.told else 0
                totals.untold += 0 if outcome.told else count
                totals.repeated += count if outcome.duplicate else 0
                totals.unlinked += outcome.unlinked
                totals.skewed += outcome.skewed
            self._spool.acknowledge(spooled)
        except SpoolError as error:  # it stays in the spool, and would be sent again after a crash: the same batch
            self._amiss(str(error))

    def _amiss(self, what: str) -> None:
        """Said once, until something goes well again or it is something else."""
        if what != self.problem or not self._complained:
            _log.warning("%s", what)
        self.problem, self._complained = what, True
