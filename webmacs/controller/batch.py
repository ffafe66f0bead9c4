"""What goes to a server in one message, and what it says of it."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from webmacs.controller.frames import Reading


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings that are stored together, or not at all.

    `batch_id` means these readings and no others, for ever: sent again, they are not stored again. `boot` names the run
    of the machine that their monotonic times belong to.
    """

    batch_id: str
    readings: Sequence[Reading]
    boot: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """It is on the server's disk. `duplicate`: it had been before.

    `told` False: it was given to a server that never says what became of it.
    """

    accepted: int
    invalid: int = 0
    unlinked: int = 0
    skewed: int = 0
    duplicate: bool = False
    told: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not stored. `retry`: it may be later, else it never will be."""

    message: str
    retry: bool


Outcome = Stored | Refused


class Source(abc.ABC):
    """Where a connection gets its batches from. It is asked as often as there is room for one more on the way."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    @abc.abstractmethod
    def take(self) -> Batch | None:
        """The next to send; None when there is none just now. Each comes once, until it is answered or lost."""

    def due_s(self) -> float | None:
        """In how many seconds there may be one that is held back now; None: not before somebody wakes us."""
        return None

    @abc.abstractmethod
    def answered(self, batch: Batch, outcome: Outcome) -> None:
        """What became of one that was taken."""

    @abc.abstractmethod
    def connected(self) -> None:
        """What is taken from now on is sent at once."""

    @abc.abstractmethod
    def lost(self) -> None:
        """The connection is gone: what was taken and not answered will be taken again."""

    def wake(self) -> None:
        """End the present or the next `wait`."""
        self._woken.set()

    async def wait(self) -> None:
        """Return when there may be something to take that was not there before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.due_s()):
                await self._woken.wait()
        self._woken.clear()
