"""Which part of a log may be compacted, whether it is worth it, and which segments become one.

Pure decisions. Must never know: files, records, clocks.
Source: KIP-58 (min.compaction.lag.ms), KIP-354 (max.compaction.lag.ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from broker.log.config import LogConfig

_RELATIVE_OFFSET_MAX: Final = 2**31 - 1


class SegmentFacts(Protocol):
    """What is asked of a segment. Timestamps are -1 where there are none."""

    @property
    def base_offset(self) -> int:
        """Where it begins."""

    @property
    def next_offset(self) -> int:
        """The offset after its last record."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def first_timestamp_ms(self) -> int:
        """The newest timestamp of its first batch."""

    @property
    def max_timestamp_ms(self) -> int:
        """The timestamp of its newest record."""

    @property
    def opened_ms(self) -> int:
        """When it was created or found: its age where no record has a timestamp."""


S = TypeVar("S", bound=SegmentFacts)


class Cleanable(NamedTuple):
    """The part of a log that may be compacted: how far, and how much of it is new.

    `first_dirty_offset` is where the last pass ended; no two records below it have one key.
    """

    segment_count: int
    first_dirty_offset: int
    end_offset: int
    clean_bytes: int
    dirty_bytes: int
    is_overdue: bool

    @property
    def dirty_ratio(self) -> float:
        """The share that is new, in [0, 1]."""
        size_bytes = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / size_bytes if size_bytes else 0.0

    def is_due(self, config: LogConfig) -> bool:
        """Say whether enough is new, or something is too old, to be left as it is."""
        if not self.dirty_bytes:
            return False
        return self.is_overdue or self.dirty_ratio > config.min_cleanable_dirty_ratio


def find_cleanable(
    segments: Sequence[SegmentFacts],
    config: LogConfig,
    *,
    first_dirty_offset: int,
    limit_offset: int,
    now_ms: int,
) -> Cleanable:
    """Find the oldest segments that may be compacted: all but the last one given.

    They lie wholly below `limit_offset`, what is committed and durable, and their records are as
    old as `min.compaction.lag.ms`.
    """
    count = clean_bytes = dirty_bytes = 0
    end_offset = segments[0].base_offset
    overdue = False
    for segment in segments[:-1]:
        if segment.next_offset > limit_offset or not _may_be_compacted(segment, config, now_ms):
            break
        count += 1
        end_offset = segment.next_offset
        if end_offset <= first_dirty_offset:
            clean_bytes += segment.size_bytes
        else:
            dirty_bytes += segment.size_bytes
            overdue = overdue or _is_overdue(segment, config, now_ms)
    return Cleanable(
        segment_count=count,
        first_dirty_offset=first_dirty_offset,
        end_offset=end_offset,
        clean_bytes=clean_bytes,
        dirty_bytes=dirty_bytes,
        is_overdue=overdue,
    )


def _may_be_compacted(segment: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    if not config.min_compaction_lag_ms:
        return True
    newest_ms = segment.max_timestamp_ms if segment.max_timestamp_ms >= 0 else segment.opened_ms
    return now_ms - newest_ms >= config.min_compaction_lag_ms


def _is_overdue(segment: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    first_ms = segment.first_timestamp_ms
    oldest_ms = first_ms if first_ms >= 0 else segment.opened_ms
    return now_ms - oldest_ms > config.max_compaction_lag_ms


def group_segments(segments: Sequence[S], *, bytes_max: int) -> Iterator[list[S]]:
    """Put neighbours together that can become one segment of at most that size."""
    group: list[S] = []
    size_bytes = 0
    for segment in segments:
        size_bytes += segment.size_bytes
        fits = (
            size_bytes <= bytes_max
            and group
            and segment.next_offset - group[0].base_offset <= _RELATIVE_OFFSET_MAX
        )
        if group and not fits:
            yield group
            group, size_bytes = [], segment.size_bytes
        group.append(segment)
    if group:
        yield group


def needs_roll(active: SegmentFacts, config: LogConfig, *, now_ms: int) -> bool:
    """Say whether the newest segment is so old that it is to be compacted without more appends."""
    return active.size_bytes > 0 and now_ms - active.opened_ms > config.roll_ms
