"""What was sent, what its senders were told of it, and what the table holds in the end: reading by reading.

No two readings of a test have the same value, so that the value is the reading's name, whoever counts.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from webmacs.storage.base import Storage

CHUNK = 20_000
EVERY_S = 0.02


@dataclass(frozen=True)
class Balance:
    """The ledger against the table, in readings."""

    acknowledged: int
    stored: int
    lost: int
    """Acknowledged, and not in the table."""
    twice: int
    """In the table more than once."""
    strangers: int
    """In the table, and sent by nobody."""

    def __str__(self) -> str:
        return f"{self.acknowledged:,} acknowledged readings; lost {self.lost}, stored twice {self.twice}"

    @property
    def even(self) -> bool:
        """Whether nothing is lost, doubled or made up."""
        return (self.lost, self.twice, self.strangers) == (0, 0, 0)


@dataclass
class Ledger:
    """Kept by all senders of a test together. Batches are ranges of values: a reading has each of them once."""

    issued: int = 0
    """How many values were given out."""
    sent: int = 0
    """Readings that went out, those that were sent again as well."""
    acknowledged: list[range] = field(default_factory=list)
    acknowledged_at: float = float("-inf")
    """When the newest of them came."""
    repeated: int = 0
    """Readings whose acknowledgement says that they had been stored before."""
    refused: int = 0
    """Readings of batches that were answered with an error, and that it may help to send them again."""
    said: Counter[str] = field(default_factory=Counter)
    """The texts of errors."""

    def issue(self, size: int) -> range:
        """Values for a new batch."""
        first, self.issued = self.issued, self.issued + size
        return range(first, self.issued)

    def acknowledge(self, batch: range, *, duplicate: bool) -> None:
        """Its sender was told that it is stored."""
        self.acknowledged.append(batch)
        self.acknowledged_at = time.monotonic()
        self.repeated += len(batch) * duplicate

    def refuse(self, batch: range, message: str) -> None:
        """Its sender was told to send it again."""
        self.refused += len(batch)
        self.said[message] += 1

    async def acknowledged_after(self, moment: float, within_s: float = 60.0) -> float:
        """When the first acknowledgement came that is known to have come after a moment; waits for one."""
        async with asyncio.timeout(within_s):
            while self.acknowledged_at <= moment:  # noqa: ASYNC110 - senders tell nobody else
                await asyncio.sleep(EVERY_S)
        return self.acknowledged_at

    async def balance(self, storage: Storage) -> Balance:
        """Hold all of it against the table."""
        stored = await stored_values(storage)
        acknowledged = {value for batch in self.acknowledged for value in batch}
        return Balance(
            acknowledged=len(acknowledged),
            stored=stored.total(),
            lost=len(acknowledged - stored.keys()),
            twice=sum(count > 1 for count in stored.values()),
            strangers=sum(not 0 <= value < self.issued or value % 1 != 0 for value in stored),
        )


async def stored_values(storage: Storage) -> Counter[float]:
    """How often each value is in the table."""
    found: Counter[float] = Counter()
    after = -1
    while True:
        rows = await storage.fetch(
            "SELECT id, value FROM datapoints WHERE id > :after ORDER BY id LIMIT :limit", after=after, limit=CHUNK
        )
        found.update(value for _, value in rows)
        if len(rows) < CHUNK:
            return found
        after = rows[-1][0]
