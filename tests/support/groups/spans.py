"""Cuts what members report into spans: the time in which one member owned one partition.

Must never know: clients, processes, which laws there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.groups.events import (
    Assigned,
    Committed,
    Consumed,
    Event,
    Killed,
    Left,
    Lost,
    Partition,
    Paused,
    Revoked,
)


@dataclass
class Span:
    """One member's ownership of one partition, as it saw it: [began_ms, ended_ms)."""

    member: str
    partition: Partition
    began_ms: int
    ended_ms: float = math.inf
    believed_until_ms: float = math.inf
    """Until when nothing spoke against it: a pause does, for others may own the partition then."""
    reads: list[Consumed] = field(default_factory=list)
    proofs: list[tuple[int, int, int]] = field(default_factory=list)
    """(last read before it, when it was heard, offset) of acknowledged commits: it owned then."""

    failures: list[int] = field(default_factory=list)
    """Offsets of commits that were not acknowledged."""

    @property
    def settled(self) -> float:
        """The offset below which it did all it could that nobody reads again."""
        if not self.failures:
            return math.inf
        acknowledged = max((offset for _, _, offset in self.proofs), default=0)
        return math.inf if acknowledged >= max(self.failures) else acknowledged

    @property
    def believed(self) -> tuple[float, float]:
        """When it owned the partition if no member was put out of the group unawares."""
        return self.began_ms, self.believed_until_ms

    @property
    def proven(self) -> tuple[float, float]:
        """When it owned the partition for sure: from the first proof to the last."""
        if not self.proofs:
            return math.inf, -math.inf
        return self.proofs[0][1], self.proofs[-1][0]

    def end(self, at_ms: int) -> None:
        """It ended; a doubt that is older stays."""
        self.ended_ms = at_ms
        self.doubt(at_ms)

    def doubt(self, at_ms: int) -> None:
        """From here on it may be wrong."""
        self.believed_until_ms = min(self.believed_until_ms, at_ms)

    def prove(self, at_ms: int, offset: int) -> None:
        """A commit of `offset` was acknowledged: the group knew it as the owner."""
        before = [read.at_ms for read in self.reads if read.last < offset]
        if before:
            self.proofs.append((max(before), at_ms, offset))

    def __str__(self) -> str:
        return f"{self.member} [{self.began_ms}, {self.ended_ms})"


@dataclass
class Cut:
    """All spans of a run, and what was processed outside of any."""

    spans: list[Span] = field(default_factory=list)
    unowned: list[tuple[str, Consumed]] = field(default_factory=list)


def cut(histories: Mapping[str, Sequence[Event]]) -> Cut:
    """Cut the histories of all members."""
    found = Cut()
    for member, events in histories.items():
        _MemberCut(member, found).follow(events)
    return found


class _MemberCut:
    """Follows one member."""

    def __init__(self, member: str, found: Cut) -> None:
        self._member = member
        self._found = found
        self._open: dict[Partition, Span] = {}

    def follow(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Assigned():
                    self._begin(event)
                case Consumed():
                    self._read(event)
                case Committed():
                    self._commit(event)
                case Revoked() | Lost():
                    self._end(event)
                case Killed() | Left():
                    for span in self._open.values():
                        span.end(event.at_ms)
                    self._open.clear()
                case Paused():
                    for span in self._open.values():
                        span.doubt(event.at_ms)
                case _:
                    pass

    def _begin(self, event: Assigned) -> None:
        for partition in event.partitions:
            # A client may repeat what it owns already.
            if partition not in self._open:
                span = Span(self._member, partition, event.at_ms)
                self._open[partition] = span
                self._found.spans.append(span)

    def _read(self, event: Consumed) -> None:
        if span := self._open.get(event.partition):
            span.reads.append(event)
        else:
            self._found.unowned.append((self._member, event))

    def _commit(self, event: Committed) -> None:
        for partition, offset in event.offsets:
            span = self._open.get(partition)
            if span is not None and event.error is None:
                span.prove(event.at_ms, offset)
            elif span is not None:
                span.failures.append(offset)

    def _end(self, event: Revoked | Lost) -> None:
        for partition in event.partitions:
            if span := self._open.pop(partition, None):
                if isinstance(event, Lost):
                    # It was taken away at some time that only the group knows.
                    span.doubt(span.began_ms)
                span.end(event.at_ms)
