"""Which old segments may go: a pure decision.

Must never know: files, clocks, who is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.log.config import LogConfig

UNLIMITED = -1


class SegmentFacts(Protocol):
    """What retention needs to know of a segment. Timestamps are -1 where there are none."""

    @property
    def next_offset(self) -> int:
        """The offset after its last record."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def max_timestamp_ms(self) -> int:
        """The timestamp of its newest record."""

    @property
    def opened_ms(self) -> int:
        """When it was created or found: its age where no record has a timestamp."""


def count_expired(
    segments: Sequence[SegmentFacts],
    config: LogConfig,
    *,
    log_start_offset: int,
    high_watermark: int,
    now_ms: int,
) -> int:
    """Count the oldest segments that are no longer wanted; the last one given may be among them.

    A segment goes when it lies wholly below the log start; or, where the policy is to delete and
    it lies wholly below the high watermark, when its newest record is older than `retention.ms`,
    or when the rest alone still holds `retention.bytes`.
    """
    deletes = config.deletes
    excess_bytes = sum(segment.size_bytes for segment in segments) - config.retention_bytes
    for i, segment in enumerate(segments):
        excess_bytes -= segment.size_bytes
        if segment.next_offset <= log_start_offset:
            continue  # whatever is in it: it may not even be readable
        too_much = config.retention_bytes != UNLIMITED and excess_bytes >= 0
        replicated = segment.next_offset <= high_watermark
        if not (deletes and replicated and (too_much or _is_old(segment, config, now_ms))):
            return i
    return len(segments)


def _is_old(segment: SegmentFacts, config: LogConfig, now_ms: int) -> bool:
    if config.retention_ms == UNLIMITED:
        return False
    newest_ms = segment.max_timestamp_ms if segment.max_timestamp_ms >= 0 else segment.opened_ms
    return now_ms - newest_ms > config.retention_ms
