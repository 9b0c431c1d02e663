"""What a follower does to its log on its leader's word: append, start later, cut, begin anew.

All of it is synchronous: nothing runs between a look at the log and the change.
Must never know: the messages that carry the word, who leads, whether it is right.
Source: KIP-101, KIP-107 (log starts), KIP-320.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from protocol.batch import read_header

if TYPE_CHECKING:
    from broker.partition import Partition

log_events = structlog.get_logger()


def append_from_leader(
    partition: Partition, records: memoryview, *, leader_epoch: int, log_start_offset: int = 0
) -> bool:
    """Append what the leader of `leader_epoch` sent. False: that epoch is over, nothing done.

    `log_start_offset` is where the leader's log starts. Raises: CorruptBatch, StorageError.
    """
    if not partition.follows(leader_epoch):
        return False
    _begin_with(partition, records, log_start_offset)
    partition.log.append_as_follower(records, leader_epoch=leader_epoch)
    partition.flush_soon()
    return True


def _begin_with(partition: Partition, records: memoryview, log_start_offset: int) -> None:
    """Begin a log where the leader's first batch does: its own may start within one.

    Records are deleted on demand up to any offset, and batches are sent whole. That is done to an
    empty log, and to one of which the leader has deleted all: what ours has there may be of an
    epoch of which the leader knows nothing any more, and could not have cut off. Where the log is
    to start the leader's watermarks say next. Raises: CorruptBatch, StorageError.
    """
    log = partition.log
    if max(log.log_start_offset, log_start_offset) < log.log_end_offset:
        return
    first = read_header(records)
    if first.base_offset < log.log_end_offset < first.next_offset:
        restart_log(partition, first.base_offset)


def follow_watermarks(partition: Partition, *, high_watermark: int, log_start_offset: int) -> None:
    """Take over the leader's watermarks, as far as our log reaches. Raises: StorageError."""
    log_end_offset = partition.log.log_end_offset
    if partition.losses.any and high_watermark <= log_end_offset:
        partition.losses.caught_up(partition.state)
    partition.high_watermark.advance(min(high_watermark, log_end_offset))
    if partition.log.log_start_offset < log_start_offset <= log_end_offset:
        partition.start_log_at(log_start_offset)


def truncate(partition: Partition, end_offset: int) -> None:
    """Cut the log to `end_offset`, on the word of the current leader. Raises: StorageError.

    At or beyond the log's end it still forgets the epochs that wrote nothing here: with them
    the next fetch would be told to reconcile again, for ever (KAFKA-10706).
    """
    log = partition.log
    start_before, end_before = log.log_start_offset, log.log_end_offset
    if end_offset < end_before:
        _report_truncation(partition, end_offset)
    log.truncate_to(end_offset)
    if end_offset < end_before:
        partition.log_was_cut(start_before=start_before)


def _report_truncation(partition: Partition, end_offset: int) -> None:
    facts = {
        "partition": partition.name,
        "end_offset": end_offset,
        "log_end_offset": partition.log.log_end_offset,
        "leader_epoch": partition.leader_epoch,
    }
    lost = partition.high_watermark.value - end_offset
    if lost > 0:
        log_events.warning("truncated_below_high_watermark", committed_records=lost, **facts)
    else:
        log_events.info("truncated", **facts)


def begin_anew_if_lossy(partition: Partition) -> bool:
    """Begin a compacted log anew if it lacks durable records; any other one can fetch them.

    If it had them, or another leader than the one before has not, a tombstone among them may be
    removed. Fetching would not bring that, and what it had deleted would stay here.
    Returns: whether. Raises: StorageError.
    """
    begins_anew = partition.losses.any and partition.log.config.compacts
    if begins_anew:
        restart_log(partition, partition.log.log_start_offset)
    return begins_anew


def restart_log(partition: Partition, offset: int) -> None:
    """Drop the log and begin anew at `offset`: nothing older is to be had.

    Raises: StorageError.
    """
    log = partition.log
    start_before = log.log_start_offset
    log_events.warning(
        "log_restarted",
        partition=partition.name,
        offset=offset,
        log_end_offset=log.log_end_offset,
    )
    log.reset_to(offset)
    partition.log_was_cut(start_before=start_before)
