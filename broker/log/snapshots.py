"""Producer snapshots: `<offset>.snapshot` holds what was known of producers at that offset.

Must never know: what a producer's state means, epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from broker.log.producers import NO_PRODUCER_ID, ProducedBatch, ProducerStates, SnapshotDamaged
from protocol.batch import TimestampType

if TYPE_CHECKING:
    from broker.log.segments import Segments
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader

SNAPSHOT_SUFFIX: Final = ".snapshot"
SNAPSHOTS_PER_SEGMENT: Final = 256
"""How often what is known is written while a segment is filled: all batches since have to be read
again where the log is cut, while everything else waits."""
INTERVAL_BYTES_MIN: Final = 4096
BYTES_PER_PRODUCER: Final = 16_384
"""So much more is appended for each producer until the next one. What is known of one takes some 10
us to write, a twentieth of what it takes to append so much."""
PRODUCERS_FREE: Final = 16
"""To write what is known of so many takes no longer than to make the file."""
_KEPT: Final = 8
_KEPT_AT_SEGMENTS: Final = 3

_events = structlog.get_logger()


def produced(header: BatchHeader) -> ProducedBatch:
    """Take from a batch's header what concerns its producer."""
    is_stamped = header.timestamp_type is TimestampType.LOG_APPEND_TIME
    return ProducedBatch(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence,
        header.base_offset,
        header.last_offset,
        header.max_timestamp if is_stamped else -1,
    )


def snapshot_offsets(storage: Storage) -> list[int]:
    """List the offsets that have a snapshot, rising. Raises: StorageError."""
    names = storage.disk.list(storage.directory)
    stems = (name.removesuffix(SNAPSHOT_SUFFIX) for name in names if name.endswith(SNAPSHOT_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def interval_bytes(storage: Storage, producers: ProducerStates) -> int:
    """Give how many bytes of batches may follow a snapshot until the next one is due."""
    in_segment = storage.config.segment_bytes // SNAPSHOTS_PER_SEGMENT
    return max(
        in_segment, INTERVAL_BYTES_MIN, BYTES_PER_PRODUCER * (len(producers) - PRODUCERS_FREE)
    )


def write_snapshot(
    storage: Storage,
    segments: Segments,
    offset: int,
    producers: ProducerStates,
    *,
    soon_durable: bool = True,
) -> None:
    """Write what is known at `offset`; older snapshots go. Raises: StorageError.

    One that is not made durable by the next flush may be gone, or found damaged, after a power
    failure; then the one before it is used.
    """
    name, data = _name(offset), producers.encode()
    if soon_durable:
        storage.write_soon_durable(name, data)
    else:
        storage.disk.write_file(storage.path(name), data, durable=False)
    kept = {segment.base_offset for segment in segments.as_tuple()[-_KEPT_AT_SEGMENTS:]}
    for old in snapshot_offsets(storage)[:-_KEPT]:
        if old not in kept:
            storage.disk.remove(storage.path(_name(old)))


def remove_snapshots(storage: Storage, *, beyond: int) -> None:
    """Durably remove the snapshots of offsets greater than `beyond`. Raises: StorageError.

    Else one could come back after a power failure, over other batches than those that it knew.
    """
    doomed = [offset for offset in snapshot_offsets(storage) if offset > beyond]
    for offset in doomed:
        storage.disk.remove(storage.path(_name(offset)))
    if doomed:
        storage.disk.sync_directory(storage.directory)


def load_producers(storage: Storage, segments: Segments, end_offset: int) -> ProducerStates:
    """Rebuild what is known at the log's end: the newest snapshot, then the batches after it.

    Snapshots beyond the end are removed. One from before the first batch is of no use: what came
    between is gone, and a producer would be refused for what it has sent. Raises: StorageError.
    """
    remove_snapshots(storage, beyond=end_offset)
    producers, start_offset = ProducerStates(), segments.base_offset
    usable = [one for one in snapshot_offsets(storage) if one >= segments.base_offset]
    for offset in reversed(usable):
        path = storage.path(_name(offset))
        try:
            producers, start_offset = ProducerStates.parse(storage.disk.read_file(path)), offset
            break
        except SnapshotDamaged as error:
            _events.warning("producer_snapshot_damaged", path=path, reason=str(error))
            storage.disk.remove(path)
    if start_offset < end_offset:
        _replay(producers, segments, start_offset, now_ms=storage.wall_ms())
    return producers


def _replay(
    producers: ProducerStates, segments: Segments, start_offset: int, *, now_ms: int
) -> None:
    # The time at which a batch came is not in it, and its own timestamps may be of any year: a
    # producer that is replayed counts as seen now, and is rather remembered too long.
    for header in segments.headers(start_offset):
        if header.producer_id != NO_PRODUCER_ID and header.base_offset >= start_offset:
            producers.appended(produced(header), now_ms=now_ms)


def _name(offset: int) -> str:
    return f"{offset:020d}{SNAPSHOT_SUFFIX}"
