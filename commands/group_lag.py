"""How far groups are behind: per partition and in all.

A group is behind its partitions' last stable offset by what it could read now, and behind the high
watermark by what open transactions still hold back as well. Pure.
Must never know: how offsets are found out, tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client.group_descriptions import GroupMember
    from client.records import OffsetAndMetadata, TopicPartition


class LogEnds(Struct, frozen=True):
    """Where a partition's log begins and ends; None where that cannot be found out now."""

    start: int | None = None
    last_stable: int | None = None
    high_watermark: int | None = None


UNKNOWN_ENDS = LogEnds()


class PartitionLag(Struct, frozen=True):
    """A place of a group: `member` reads there, `committed` is None where nothing was committed."""

    place: TopicPartition
    ends: LogEnds
    committed: OffsetAndMetadata | None = None
    member: GroupMember | None = None

    @property
    def stable_lag(self) -> int | None:
        """Return how many offsets the group could read now, None where that is unknown."""
        return self._behind(self.ends.last_stable)

    @property
    def high_watermark_lag(self) -> int | None:
        """Return how many offsets there are after what was committed, None where unknown."""
        return self._behind(self.ends.high_watermark)

    def _behind(self, end: int | None) -> int | None:
        if self.committed is None or end is None:
            return None
        return max(end - self.committed.offset, 0)


def lags_of(
    committed: Mapping[TopicPartition, OffsetAndMetadata],
    members: Iterable[GroupMember],
    ends: Mapping[TopicPartition, LogEnds],
) -> tuple[PartitionLag, ...]:
    """Put together every partition that the group has committed or a member reads, in order."""
    readers = {place: member for member in members for place in member.assignment}
    return tuple(
        PartitionLag(place, ends.get(place, UNKNOWN_ENDS), committed.get(place), readers.get(place))
        for place in sorted({*committed, *readers})
    )


def total(lags: Iterable[int | None]) -> int | None:
    """Add up what is known; None where nothing is."""
    known = [lag for lag in lags if lag is not None]
    return sum(known) if known else None
