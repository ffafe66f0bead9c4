"""A set of whole numbers that come almost in order: kept as ranges, of which there are few."""

from __future__ import annotations

from bisect import bisect_right


class Ranges:
    """Numbers from 0 on. Costs as much as it has gaps."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return self.end_of(number) is not None

    def end_of(self, number: int) -> int | None:
        """The first number behind the range that this one is in; None when it is in none."""
        at = bisect_right(self._first, number) - 1
        return self._last[at] + 1 if at >= 0 and number <= self._last[at] else None

    def add(self, number: int) -> bool:
        """Put it in; whether it was not there."""
        first, last = self._first, self._last
        at = bisect_right(first, number) - 1
        if at >= 0 and number <= last[at]:
            return False
        self._count += 1
        behind = at >= 0 and last[at] + 1 == number
        before = at + 1 < len(first) and first[at + 1] == number + 1
        if behind and before:
            last[at] = last.pop(at + 1)
            first.pop(at + 1)
        elif behind:
            last[at] = number
        elif before:
            first[at + 1] = number
        else:
            first.insert(at + 1, number)
            last.insert(at + 1, number)
        return True
