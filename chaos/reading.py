"""How a consumer may go through a partition: from where it was to begin, past nothing. Pure.

Must never know: who wrote what, what became of it, how a history came about.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from chaos.anomaly import Anomaly
from chaos.history import Outcome, Positioned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from chaos.deletion import Deletion
    from chaos.history import Committed, Polled

NOWHERE: Final = 2**63
"""An offset that no record has."""


class Needed:
    """The offsets that nobody may go past, among all that were seen (`places`)."""

    def __init__(self, places: Iterable[int], needed: Iterable[int]) -> None:
        self._sorted = sorted(needed)
        self._after: dict[int, int] = {}
        following, left = NOWHERE, list(self._sorted)
        for offset in sorted(places, reverse=True):
            self._after[offset] = following
            if left and left[-1] == offset:
                following = left.pop()

    def after(self, seen: int) -> int:
        """Give the next one after an offset that was seen; NOWHERE: there is none."""
        return self._after[seen]

    def at_or_after(self, offset: int) -> int:
        """Give the first one from any offset on; NOWHERE: there is none."""
        index = bisect_left(self._sorted, offset)
        return self._sorted[index] if index < len(self._sorted) else NOWHERE


class Starts:
    """What one group commits of one partition: members begin at a commit of theirs, or at 0."""

    def __init__(self, commits: Iterable[Committed] = ()) -> None:
        commits = list(commits)
        self._tried_at: dict[int, float] = {}
        for one in commits:
            if one.outcome is not Outcome.FAILED:
                known = self._tried_at.get(one.offset, inf)
                self._tried_at[one.offset] = min(known, one.began_at)
        self._tried = sorted(self._tried_at)
        acknowledged = sorted((c.ended_at, c.offset) for c in commits if c.outcome is Outcome.OK)
        self._times = [ended_at for ended_at, _ in acknowledged]
        self._floors = list(accumulate((offset for _, offset in acknowledged), max))

    def floor(self, at: float) -> int:
        """Give the highest offset whose commit had been acknowledged by then; 0: none."""
        index = bisect_left(self._times, at)
        return self._floors[index - 1] if index else 0

    def may_be_committed(self, offset: int, *, by: float) -> bool:
        """Say whether somebody had begun to commit this offset by then."""
        return self._tried_at.get(offset, inf) <= by

    def nearest(self, offset: int, *, by: float) -> int:
        """Give the highest offset up to this one that may have been committed by then, or 0."""
        index = bisect_right(self._tried, offset) - 1
        while index >= 0 and not self.may_be_committed(self._tried[index], by=by):
            index -= 1
        return self._tried[index] if index >= 0 else 0


def order_read(
    place: str,
    process: str,
    operations: Iterable[Polled | Positioned],
    *,
    needed: Needed,
    starts: Mapping[str, Starts],
    deletion: Deletion,
) -> Iterator[Anomaly]:
    """Judge what one consumer was handed of one partition, in its order; `starts` by group.

    It may go past what somebody was to delete by then.
    """
    last: int | None = None
    begun: Positioned | None = None
    for operation in operations:
        if isinstance(operation, Positioned):
            last, begun = None, operation
            continue
        for offset, _ in operation.records:
            if last is None:
                if begun is not None:
                    gone_below = deletion.gone_below(operation.ended_at)
                    handed = _Handed(offset, operation.ended_at, gone_below)
                    yield from _start(place, begun, handed, needed, starts)
            elif offset <= last:
                facts = f"{process} was handed {offset} after {last}"
                yield Anomaly("nonmonotonic-poll", place, facts)
            elif needed.after(last) < offset:
                left = max(last + 1, deletion.gone_below(operation.ended_at))
                if (skipped := needed.at_or_after(left)) < offset:
                    facts = f"{process} was handed {offset} after {last}"
                    yield _skip(place, facts, skipped)
            last = offset


class _Handed(NamedTuple):
    """The first record that a consumer was handed since it was positioned, and when.

    Below `gone_below` all may have been deleted by then.
    """

    offset: int
    at: float
    gone_below: int


def _start(
    place: str, begun: Positioned, handed: _Handed, needed: Needed, starts: Mapping[str, Starts]
) -> Iterator[Anomaly]:
    """Judge the first record that a consumer was handed since it was positioned."""
    offset = handed.offset
    if begun.group:
        yield from _start_of_member(place, begun, handed, needed, starts)
    elif begun.offset is not None:  # else nobody says where
        facts = f"{begun.process} was to go on at {begun.offset} and was handed {offset}"
        if offset < begun.offset:
            yield Anomaly("nonmonotonic-poll", place, facts)
        elif (skipped := needed.at_or_after(max(begun.offset, handed.gone_below))) < offset:
            yield _skip(place, facts, skipped)


def _start_of_member(
    place: str, begun: Positioned, handed: _Handed, needed: Needed, starts: Mapping[str, Starts]
) -> Iterator[Anomaly]:
    offset = handed.offset
    of_group = starts.get(begun.group) or Starts()
    began = f"{begun.process} of group {begun.group} began at {offset}"
    if offset < (floor := of_group.floor(begun.at)):
        yield Anomaly("stale-start", place, f"{began}, {floor} had been committed before")
        return
    nearest = of_group.nearest(offset, by=handed.at)
    if (skipped := needed.at_or_after(max(nearest, handed.gone_below))) < offset:
        facts = f"{began}, {nearest} is the last that can have been committed: {skipped} is between"
        yield Anomaly("odd-start", place, facts)


def _skip(place: str, facts: str, skipped: int) -> Anomaly:
    return Anomaly("poll-skip", place, f"{facts}: {skipped} is between")
