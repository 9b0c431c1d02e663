"""Deleting the oldest records of a partition: begun by its leader, done when its replicas have.

Must never know: requests, replies, how followers learn of it. Source: KIP-107.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import OffsetNotCommitted

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from broker.partition import Partition

COMMITTED = -1
"""Stands for the high watermark."""


def delete_records(partition: Partition, offset: int) -> int:
    """Forget all below `offset` (-1: all that is committed) here, and have followers do so.

    Returns: that offset.
    Raises: what `require_leader` raises, OffsetNotCommitted, StorageError.
    """
    partition.require_leader()
    committed = partition.high_watermark.value
    target = committed if offset == COMMITTED else offset
    if not 0 <= target <= committed:
        raise OffsetNotCommitted(partition.name, offset=offset, high_watermark=committed)
    if target > partition.log.log_start_offset:
        partition.start_log_at(target)
    return target


def low_watermark(partition: Partition, *, leader_epoch: int, live: Container[int]) -> int:
    """Give the offset below which no live replica holds a record; -1 where one is unheard.

    Raises: NotLeader where `leader_epoch` is over.
    """
    leadership = partition.require_epoch(leader_epoch)
    return leadership.low_watermark(log_start_offset=partition.noted_start.offset, live=live)


async def wait_deleted(
    partition: Partition,
    offset: int,
    *,
    leader_epoch: int,
    live: Callable[[], Container[int]],
) -> int:
    """Return the low watermark once it is at least `offset`.

    No replica holds older records then that lives, or may come to lead. That survives a crash of
    all of them. Raises: NotLeader where `leader_epoch` ends first.
    """
    while True:
        reached = low_watermark(partition, leader_epoch=leader_epoch, live=live())
        if reached >= offset:
            partition.require_epoch(leader_epoch).note_deleted(reached)
            return reached
        await partition.deleters_waiting.park()
