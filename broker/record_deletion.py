"""Deleting the oldest records of a partition: begun by its leader, done when its replicas have.

Must never know: requests, replies. Source: KIP-107.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.long_poll import watching_log_starts

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from broker.partition import Partition


async def wait_deleted(
    partition: Partition,
    offset: int,
    *,
    leader_epoch: int,
    live: Callable[[], Container[int]],
) -> int:
    """Return the low watermark once it is at least `offset`: no live replica holds older records.

    That survives a crash of all of them. Raises: NotLeader where `leader_epoch` ends first.
    """
    with watching_log_starts(partition) as poll:
        while True:
            reached = partition.low_watermark(leader_epoch=leader_epoch, live=live())
            if reached >= offset:
                return reached
            await poll.wait_changed()
