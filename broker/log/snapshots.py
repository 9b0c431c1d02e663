"""Producer snapshots: `<offset>.snapshot` holds what was known of producers at that offset.

Must never know: what a producer's state means, epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from broker.log.producers import NO_PRODUCER_ID, ProducedBatch, ProducerStates, SnapshotDamaged

if TYPE_CHECKING:
    from broker.log.segments import Segments
    from broker.log.storage import Storage
    from protocol.batch import BatchHeader

SNAPSHOT_SUFFIX: Final = ".snapshot"
_KEPT: Final = 3

_events = structlog.get_logger(__name__)


def produced(header: BatchHeader) -> ProducedBatch:
    """Take from a batch's header what concerns its producer."""
    return ProducedBatch(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence,
        header.base_offset,
        header.last_offset,
    )


def snapshot_offsets(storage: Storage) -> list[int]:
    """List the offsets that have a snapshot, rising. Raises: StorageError."""
    names = storage.disk.list(storage.directory)
    stems = (name.removesuffix(SNAPSHOT_SUFFIX) for name in names if name.endswith(SNAPSHOT_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def write_snapshot(storage: Storage, offset: int, producers: ProducerStates) -> None:
    """Write what is known at `offset`; the oldest snapshots go. Raises: StorageError."""
    storage.write_soon_durable(_name(offset), producers.encode())
    for old in snapshot_offsets(storage)[:-_KEPT]:
        storage.disk.remove(storage.path(_name(old)))


def remove_snapshots(storage: Storage, *, beyond: int) -> None:
    """Remove the snapshots of offsets greater than `beyond`. Raises: StorageError."""
    for offset in snapshot_offsets(storage):
        if offset > beyond:
            storage.disk.remove(storage.path(_name(offset)))


def load_producers(storage: Storage, segments: Segments, end_offset: int) -> ProducerStates:
    """Rebuild what is known at the log's end: the newest snapshot, then the batches after it.

    Snapshots beyond the end are removed. Raises: StorageError.
    """
    remove_snapshots(storage, beyond=end_offset)
    producers, start_offset = ProducerStates(), segments.base_offset
    for offset in reversed(snapshot_offsets(storage)):
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
