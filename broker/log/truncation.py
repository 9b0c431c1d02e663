"""Cutting a log: at its end on the word of a leader, at its start by age, size or command.

Must never know: who leads, why a record has to go.
Source: KIP-101, KIP-107 (log start offset).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.log.epochs import EpochCache
from broker.log.errors import DiskFull
from broker.log.producers import ProducerStates
from broker.log.recovery import TRUNCATION_FILE, note_truncation, sync_small_files
from broker.log.retention import count_expired
from broker.log.snapshots import load_producers, remove_snapshots

if TYPE_CHECKING:
    from broker.log.state import LogState


def truncate(state: LogState, offset: int) -> None:
    """Cut every record from `offset` on, and every epoch that began there. Durable on return.

    Raises: DiskFull, and nothing is cut; any other StorageError, after which it is used no more.
    """
    _note_truncation(state, offset)
    with state.guarded():
        if offset < state.segments.base_offset:
            _restart(state, offset)
        else:
            _truncate(state, offset)


def restart(state: LogState, offset: int) -> None:
    """Drop everything and begin anew at `offset`. Raises: as `truncate`."""
    _note_truncation(state, offset)
    with state.guarded():
        _restart(state, offset)


def _truncate(state: LogState, offset: int) -> None:
    if offset < state.end_offset:
        state.interrupt_compaction()
        state.segments.truncate(offset)
        _records_cut(state, state.end_offset)
        if len(state.producers):
            state.producers = load_producers(state.storage, state.segments, state.end_offset)
        else:
            remove_snapshots(state.storage, beyond=state.end_offset)
    state.epochs_unwritten |= state.epochs.cut_end(state.end_offset)
    state.write_epochs_if_room()


def _restart(state: LogState, offset: int) -> None:
    state.interrupt_compaction()
    state.segments.restart(offset)
    _records_cut(state, offset)
    state.synced_end_offset = state.start_offset = offset
    state.epochs, state.epochs_unwritten = EpochCache(), True
    state.write_epochs_if_room()
    state.producers = ProducerStates()
    remove_snapshots(state.storage, beyond=-1)
    # Where the log begins counts as durable now, and nothing may be appended for long.
    sync_small_files(state.storage)
    state.segments.active.file.sync()
    state.storage.disk.sync_directory(state.storage.parent)


def _note_truncation(state: LogState, offset: int) -> None:
    """Note it before anything is cut. Raises: as `truncate`."""
    state.demand_usable()
    if offset < state.synced_end_offset:
        with state.guarded_but_for_room():
            note_truncation(state.storage, _cut_from(state, offset))
        state.cuts += 1


def _cut_from(state: LogState, offset: int) -> int:
    """Tell what a cut to `offset` leaves: the batch that holds it goes as a whole."""
    if not state.segments.base_offset <= offset < state.end_offset:
        return offset
    held = next(state.segments.headers(offset), None)
    return offset if held is None else min(offset, held.base_offset)


def forget_cuts(state: LogState, cuts: int) -> None:
    """Have a checkpoint believed that is durable and of after so many cuts. Raises: StorageError.

    Where it was cut again meanwhile, the next checkpoint is. A power failure may bring the note
    back: then recovery reads more than it has to.
    """
    if cuts and cuts == state.cuts and not state.closed and state.failed is None:
        with state.guarded():
            state.storage.disk.remove(state.storage.path(TRUNCATION_FILE))
        state.cuts = 0


def _records_cut(state: LogState, end_offset: int) -> None:
    state.storage.unsynced.truncated(end_offset)
    state.synced_end_offset = min(state.synced_end_offset, end_offset)
    state.start_offset = min(state.start_offset, end_offset)
    state.first_dirty_offset = min(state.first_dirty_offset, end_offset)


def advance_start(state: LogState, offset: int) -> None:
    """Hide the records below `offset`; one below the log start is ignored. Raises: StorageError."""
    assert offset <= state.end_offset, "the log starts within itself"
    if offset > state.start_offset:
        state.start_offset = offset
        state.epochs_unwritten |= state.epochs.cut_start(offset)
        state.write_epochs_if_room()


def remove_expired(state: LogState, high_watermark: int, *, count_max: int) -> int:
    """Remove whole old segments below the high watermark, and forget idle producers.

    At most `count_max` of them: each takes its time, while everything else waits. None while the
    log is compacted: the pass would begin anew, and might never come to an end.
    Returns: how many segments were removed. Raises: StorageError.
    """
    now_ms, config = state.storage.wall_ms(), state.storage.config
    state.producers.expire(now_ms=now_ms, expiration_ms=config.producer_id_expiration_ms)
    if state.is_compacted:
        return 0

    def look() -> int:
        expired = count_expired(
            state.segments.as_tuple(),
            config,
            log_start_offset=state.start_offset,
            high_watermark=high_watermark,
            now_ms=now_ms,
        )
        return min(expired, count_max)

    count = look()
    # Nothing is deleted on the word of an index of which only the end was read.
    doomed = state.segments.as_tuple()[:count]
    if sum(one.make_sure() for one in doomed if one.next_offset > state.start_offset):
        count = look()
    if count == len(state.segments) and not _begins_anew(state):
        count -= 1
    if count:
        state.interrupt_compaction()
        advance_start(state, state.segments.as_tuple()[count].base_offset)
        state.segments.remove_oldest(count)
    return count


def _begins_anew(state: LogState) -> bool:
    """Begin a segment in place of the newest. Returns: whether; there may be nothing or no room."""
    if not state.segments.active.size_bytes:
        return False
    try:
        state.roll()
    except DiskFull:
        return False
    return True
