"""Appending to a log: a producer's batch by the leader, the leader's batches by a follower.

All of a call's batches or none: they are checked first, then given their place, then written at
once. Must never know: who asks, when the batches become durable.
Source: KIP-98 (idempotent producers), KIP-101 (leader epochs in batches).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from broker.log.admission import (
    check_admission,
    check_continuity,
    check_opening,
    the_only_batch,
)
from broker.log.config import LOG_APPEND_TIME
from broker.log.errors import DiskFull, RecordListTooLarge
from broker.log.placement import Placed, place, place_batch
from broker.log.snapshots import produced
from protocol.batch import NO_PRODUCER_ID, split_batches
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.log.disk import Buffer
    from broker.log.state import LogState
    from protocol.batch import BatchHeader


class Appended(NamedTuple):
    """What became of a producer's batch: its offsets, or those of the first time it came.

    `log_append_time_ms` is -1 where the producer's own timestamps are kept.
    """

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool


def append_as_leader(state: LogState, records: Buffer, *, leader_epoch: int) -> Appended:
    """Append a producer's one batch at the offsets and under the epoch given here.

    Raises: CorruptBatch and the refusals of `broker.log.errors`; StorageError.
    """
    state.demand_usable()
    now_ms = state.storage.wall_ms()
    header, batch = the_only_batch(records, check_crc=True)
    first = _admit(state, header, now_ms=now_ms)
    if first is not None:
        return first
    stamps = state.storage.config.message_timestamp_type == LOG_APPEND_TIME
    stamp_ms = now_ms if stamps else None
    base_offset = state.end_offset
    chunks, placed = place_batch(
        header, batch, base_offset=base_offset, leader_epoch=leader_epoch, stamp_ms=stamp_ms
    )
    state.start_epoch(leader_epoch, base_offset)
    _write(state, chunks, [placed], size_bytes=header.size_bytes)
    time_ms = -1 if stamp_ms is None else stamp_ms
    if header.producer_id != NO_PRODUCER_ID:
        as_placed = produced(replace(header, base_offset=base_offset))
        state.producers.appended(as_placed._replace(log_append_time_ms=time_ms), now_ms=now_ms)
    state.write_snapshot_if_due()
    return Appended(base_offset, placed.last_offset, time_ms, state.start_offset, False)


def demand_openable(state: LogState, records: Buffer) -> None:
    """Refuse by its header what an append would refuse, before anyone unfolds it.

    Raises: as `append_as_leader`, but for the producer's order; InvalidRecord: too many records.
    """
    header, _ = the_only_batch(records)
    _check(state, header, now_ms=state.storage.wall_ms())
    check_opening(header)


def _check(state: LogState, header: BatchHeader, *, now_ms: int) -> None:
    config = state.storage.config
    check_admission(header, config, now_ms=now_ms)
    if header.size_bytes > config.segment_bytes:
        raise RecordListTooLarge(size_bytes=header.size_bytes, segment_bytes=config.segment_bytes)


def _admit(state: LogState, header: BatchHeader, *, now_ms: int) -> Appended | None:
    """Refuse what must not be appended, or return what became of it when it came first."""
    _check(state, header, now_ms=now_ms)
    if header.producer_id == NO_PRODUCER_ID:
        return None
    first = state.producers.check(produced(header))
    if first is None:
        return None
    return Appended(
        first.base_offset, first.last_offset, first.log_append_time_ms, state.start_offset, True
    )


def append_as_follower(state: LogState, records: Buffer, *, leader_epoch: int) -> int:
    """Append the batches of that epoch's leader as they are. Returns: the new log end.

    Raises: CorruptBatch, NotContinuous, StorageError.
    """
    state.demand_usable()
    batches = split_batches(records, check_crc=True)
    headers = [header for header, _ in batches]
    if not headers:
        return state.end_offset
    end_offset = state.end_offset
    epoch = state.epochs.epoch_of(end_offset - 1)
    check_continuity(headers, next_offset=end_offset, epoch=epoch, leader_epoch=leader_epoch)
    for header in headers:
        state.start_epoch(header.partition_leader_epoch, header.base_offset)
    _write(state, [records], [place(header) for header in headers], size_bytes=len(records))
    now_ms = state.storage.wall_ms()
    for header in headers:
        if header.producer_id != NO_PRODUCER_ID:
            state.producers.appended(produced(header), now_ms=now_ms)
    state.write_snapshot_if_due()
    return state.end_offset


def _write(
    state: LogState, chunks: Sequence[Buffer], placed: list[Placed], *, size_bytes: int
) -> None:
    try:
        state.write_epochs()
        if state.segments.needs_roll(placed, size_bytes):
            state.roll()
        state.segments.append(chunks, placed)
        state.bytes_since_snapshot += size_bytes
    except DiskFull:
        raise  # nothing was taken, and what was there is whole
    except StorageError as error:
        state.fail(error)
        raise
