"""Whose rows are at fault when the storage refuses a transaction: what to try next. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Final

from webmacs.pipeline.base import Batch, Recorder

MOST_ATTEMPTS: Final = 14
"""Enough for every choice of up to four recorders; of more, no bad batch is tried more often than this."""


def halves(batches: Sequence[Batch]) -> tuple[Sequence[Batch], Sequence[Batch]]:
    """In order. The offender is in one of them, and the other one can be stored."""
    middle = len(batches) // 2
    return batches[:middle], batches[middle:]


def fewer(recorders: Sequence[Recorder]) -> Iterator[tuple[Recorder, ...]]:
    """With whom to try the offender again: as many of them as possible first, in the end with nobody.

    It has to be in this order, as the first attempt that the storage takes is final.
    """
    smaller = (chosen for count in range(len(recorders) - 1, 0, -1) for chosen in combinations(recorders, count))
    yield from islice(smaller, MOST_ATTEMPTS)
    if recorders:
        yield ()
