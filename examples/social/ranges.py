"""A set of whole numbers that costs no more than its gaps.

Must never know: what is numbered.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ranges:
    """Numbers as ranges, both ends included, in order; ranges never touch."""

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._ranges = [(first, last) for first, last in ranges]

    def add(self, number: int) -> bool:
        """Add a number. Returns: False where it is in there already."""
        at = bisect_right(self._ranges, number, key=_first)
        before = self._ranges[at - 1] if at else None
        after = self._ranges[at] if at < len(self._ranges) else None
        if before is not None and number <= before[1]:
            return False
        start, first, end, last = at, number, at, number
        if before is not None and before[1] == number - 1:
            start, first = at - 1, before[0]
        if after is not None and after[0] == number + 1:
            end, last = at + 1, after[1]
        self._ranges[start:end] = [(first, last)]
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._ranges, number, key=_first)
        return at > 0 and number <= self._ranges[at - 1][1]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._ranges)

    def common(self, other: Ranges) -> int:
        """Count the numbers that are in both."""
        mine, others, total = 0, 0, 0
        while mine < len(self._ranges) and others < len(other._ranges):
            a, b = self._ranges[mine], other._ranges[others]
            total += max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
            if a[1] < b[1]:
                mine += 1
            else:
                others += 1
        return total


def _first(one: tuple[int, int]) -> int:
    return one[0]
