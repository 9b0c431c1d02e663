"""What all partitions of a broker share, and whom they tell of what they do not decide themselves.

Must never know: how anything of it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.log.flush import Flusher
    from broker.partition import Partition
    from broker.replication.throttle import Throttles
    from protocol.errors import StorageError


class PartitionContext(Struct, frozen=True):
    """What a partition is given by its broker."""

    broker_id: int
    flusher: Flusher
    lease_held: Callable[[], bool]
    """Whether the coordinator still counts on us; without it nobody leads."""
    storage_failed: Callable[[Partition, StorageError], None]
    """Called when a disk has failed under a partition, which is offline by then."""
    is_borne: Callable[[Partition, StorageError], bool]
    """Asked before that: True to lead on over a damaged log, as nobody else could lead."""
    throttles: Throttles
    """This broker's, for those of its replicas that are to be held back."""
    isr_due: Callable[[Partition], None]
    """Called when a leader may have to propose an ISR, also one without itself."""
    checkpoint_due: Callable[[], None] = lambda: None
    """Called when a log starts elsewhere, or lacks nothing any more: a crash would undo that until
    it is noted."""
    leaving: Callable[[], bool] = lambda: False
    """Whether this broker is about to stop: what it is given to lead it hands over."""
