"""Looks records up by their timestamp: the indexes lead to one batch, and only that is opened.

Must never know: watermarks, who asks.
Source: KIP-33, KIP-79, KIP-734.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from protocol.batch import NO_TIMESTAMP, TimestampType
from protocol.raw_records import scan_records
from protocol.records import data_of

if TYPE_CHECKING:
    from broker.log.segment import Segment
    from broker.log.segments import Segments
    from protocol.batch import BatchHeader


class TimestampedOffset(NamedTuple):
    """A record that was found: where it is, its timestamp, and the epoch that it was written in."""

    offset: int
    timestamp_ms: int
    leader_epoch: int


def first_at_or_after(
    segments: Segments, timestamp_ms: int, *, start_offset: int
) -> TimestampedOffset | None:
    """Find the first record at or after `start_offset` that is as new as the timestamp.

    Raises: StorageError; CorruptBatch where the batch cannot be opened.
    """
    for segment in segments:
        if segment.next_offset <= start_offset or segment.max_timestamp_ms < timestamp_ms:
            continue
        for header, position in segment.headers_from_timestamp(timestamp_ms):
            if header.max_timestamp >= timestamp_ms and header.last_offset >= start_offset:
                found = _search(
                    segment, header, position, timestamp_ms=timestamp_ms, start_offset=start_offset
                )
                if found is not None:
                    return found
                if header.base_offset >= start_offset and header.record_count:
                    # The header claims more than the records have, and is believed: else a whole
                    # log of such batches would be unfolded while everything else waits.
                    return TimestampedOffset(
                        header.base_offset, header.max_timestamp, header.partition_leader_epoch
                    )
    return None


def newest(segments: Segments, *, start_offset: int) -> TimestampedOffset | None:
    """Find the first of the records with the greatest timestamp. Raises: as `first_at_or_after`."""
    segment = max(segments, key=lambda one: one.max_timestamp_ms)
    timestamp_ms, _ = segment.max_timestamp
    if timestamp_ms == NO_TIMESTAMP:
        return None
    return first_at_or_after(segments, timestamp_ms, start_offset=start_offset)


def _search(
    segment: Segment, header: BatchHeader, position: int, *, timestamp_ms: int, start_offset: int
) -> TimestampedOffset | None:
    epoch = header.partition_leader_epoch
    is_whole = header.record_count == header.last_offset_delta + 1
    is_stamped = header.timestamp_type is TimestampType.LOG_APPEND_TIME
    if is_whole and is_stamped:
        offset = max(header.base_offset, start_offset)
        return TimestampedOffset(offset, header.max_timestamp, epoch)
    data = data_of(header, segment.file.read(position, header.size_bytes))
    for record in scan_records(header, data):  # it may unfold to millions
        offset = header.base_offset + record.offset_delta
        time_ms = header.base_timestamp + record.timestamp_delta
        time_ms = header.max_timestamp if is_stamped else time_ms
        if offset >= start_offset and time_ms >= timestamp_ms:
            return TimestampedOffset(offset, time_ms, epoch)
    return None
