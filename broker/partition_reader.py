"""What the partitions of one fetch have for its reader, or why they have nothing.

Must never know: which partitions a fetch asks for, who waits, how a reply is put together.
Source: KIP-73 (throttles), KIP-320 (fencing), KIP-516 (topic ids), KIP-595 (diverging epochs),
KIP-903 (broker epochs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from broker.errors import (
    FencedLeaderEpoch,
    InconsistentTopicId,
    NotLeader,
    UnknownLeaderEpoch,
    error_code,
)
from broker.log.errors import OffsetOutOfRange
from protocol.api.fetch import EpochEndOffset, LeaderIdAndEpoch, PartitionData
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.confirmation import Confirmation
    from broker.fetch_sessions import CachedPartition, FetchSession
    from broker.partition import Partition
    from broker.partitions import Partitions
    from broker.replication.throttle import Throttle
    from protocol.api.fetch import FetchRequest

READ_COMMITTED = 1


class PartitionReader:
    """Looks at single partitions for one fetch of a session."""

    def __init__(
        self,
        partitions: Partitions,
        session: FetchSession,
        request: FetchRequest,
        *,
        on_follower_fetch: Callable[[Partition, int], None],
    ) -> None:
        self._partitions = partitions
        self._session = session
        self._reader = session.reader
        self._shows_aborted = request.isolation_level == READ_COMMITTED
        self._on_follower_fetch = on_follower_fetch
        self._doubtful: dict[Partition, PartitionData] = {}
        self._ahead: list[CachedPartition] = []

    def begin(self, cached: CachedPartition) -> None:
        """Find the replica and compare the reader's log with it, once in a fetch.

        A follower that agrees has acknowledged all below its offset.
        """
        cached.found = PartitionData(partition_index=cached.asked.partition, high_watermark=-1)
        try:
            partition = self._find(cached)
            self._session.find_again(cached, partition)
            self._compare(cached, cached.found, partition)
        except OttlaError as error:
            self._refuse(cached, cached.found, error)

    def read(self, cached: CachedPartition, *, bytes_max: int, at_least_one: bool) -> None:
        """Look at a partition anew: watermarks, and records within `bytes_max`.

        `at_least_one` batch is read even where it is larger.
        """
        found = cached.found
        if found is None:
            found = cached.found = PartitionData(partition_index=cached.asked.partition)
        if cached.partition is None:
            return
        try:
            self._read(cached, found, bytes_max=bytes_max, at_least_one=at_least_one)
        except OttlaError as error:
            self._refuse(cached, found, error)

    def take_ahead(self) -> list[CachedPartition]:
        """Give the partitions of which a consumer knows a newer leader epoch, once each."""
        ahead, self._ahead = self._ahead, []
        return ahead

    @property
    def is_doubtful(self) -> bool:
        """Whether a consumer has seen more than a log holds, so that `confirm` is needed."""
        return bool(self._doubtful)

    async def confirm(self, confirmation: Confirmation) -> None:
        """Refuse for another reason where the log may end there only because it is led no more."""
        for found in await confirmation.unconfirmed(self._doubtful):
            found.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
            found.diverging_epoch = None

    def is_at_end(self, cached: CachedPartition) -> bool:
        """Say whether nothing can come of another look until the partition has news."""
        partition = cached.partition
        if partition is None:
            return False
        if not self._reader.is_follower:
            return cached.asked.fetch_offset == partition.high_watermark.value
        # One that is not in sync yet may join at any of its fetches, a successor take over.
        return (
            cached.asked.fetch_offset == partition.log.log_end_offset
            and self._reader.replica_id in partition.isr
            and self._reader.replica_id != partition.successor_id
        )

    def count(self, cached: CachedPartition) -> None:
        """Count what is sent of a partition against what holds its reader back."""
        throttle = None if cached.partition is None else self._throttle_of(cached.partition)
        if throttle is not None:
            throttle.count(cached.found_bytes, now=trio.current_time())

    def _throttle_of(self, partition: Partition) -> Throttle | None:
        """Give what holds the reader back: a follower, as long as it is out of sync."""
        if not self._reader.is_follower or self._reader.replica_id in partition.isr:
            return None
        return partition.throttles.leader

    def _find(self, cached: CachedPartition) -> Partition:
        """Find the replica. Raises: UnknownTopicId, InconsistentTopicId, what `get` raises."""
        if not self._session.uses_topic_ids:
            return self._partitions.get(cached.topic, cached.asked.partition)
        if not cached.topic:
            cached.topic = self._partitions.topic_name(cached.topic_id)
        partition = self._partitions.get(cached.topic, cached.asked.partition)
        if partition.topic_id != cached.topic_id:
            raise InconsistentTopicId(
                f"topic {cached.topic} has the id {partition.topic_id.hex()} now,"
                f" not {cached.topic_id.hex()}"
            )
        return partition

    def _compare(self, cached: CachedPartition, found: PartitionData, partition: Partition) -> None:
        asked, reader = cached.asked, self._reader
        partition.require_leader(leader_epoch=asked.current_leader_epoch)
        diverging = partition.log.diverges(asked.fetch_offset, asked.last_fetched_epoch)
        if diverging is not None:
            epoch, end_offset = diverging
            found.diverging_epoch = EpochEndOffset(epoch=epoch, end_offset=end_offset)
            if asked.last_fetched_epoch > partition.leader_epoch and not reader.is_follower:
                self._doubtful[partition] = found
        elif reader.is_follower:
            partition.follower_fetched(
                reader.replica_id,
                asked.fetch_offset,
                broker_epoch=reader.replica_epoch,
                log_start_offset=asked.log_start_offset,
            )
            self._on_follower_fetch(partition, reader.replica_id)

    def _read(
        self,
        cached: CachedPartition,
        found: PartitionData,
        *,
        bytes_max: int,
        at_least_one: bool,
    ) -> None:
        asked, partition = cached.asked, cached.partition
        assert partition is not None, "asked of what was found"
        partition.require_leader(leader_epoch=asked.current_leader_epoch)
        found.high_watermark = partition.high_watermark.value
        found.last_stable_offset = partition.high_watermark.value
        found.log_start_offset = partition.log.log_start_offset
        if self._reader.is_follower and partition.log.config.compacts:
            found.replicated_end_offset = partition.replicated_end_offset
        found.records = b""
        cached.counted_bytes = 0
        found.aborted_transactions = [] if self._shows_aborted else None
        if found.diverging_epoch is not None or (bytes_max <= 0 and not at_least_one):
            return
        bytes_max = min(asked.partition_max_bytes, bytes_max)
        throttle = self._throttle_of(partition)
        if throttle is not None:
            bytes_max = throttle.room(now=trio.current_time(), at_most=bytes_max)
            if bytes_max == 0:
                return  # it stays due, and so is looked at again in the next fetch
        is_follower = self._reader.is_follower
        found.records = records = partition.log.read(
            asked.fetch_offset,
            bytes_max=bytes_max,
            # Only replicas see what is not committed yet.
            end_offset=partition.log.log_end_offset if is_follower else found.high_watermark,
            at_least_one=at_least_one,
        )
        # No time would add to what has come to its bounds.
        cached.counted_bytes = max(bytes_max, len(records)) if records.goes_on else len(records)

    def _refuse(self, cached: CachedPartition, found: PartitionData, error: OttlaError) -> None:
        found.error_code = error_code(error)
        found.records = b""
        found.current_leader = _current_leader(cached.partition, error)
        if isinstance(error, OffsetOutOfRange):
            found.log_start_offset = error.log_start_offset
            if (
                cached.partition is not None
                and error.offset > error.log_end_offset
                and not self._reader.is_follower
            ):
                self._doubtful[cached.partition] = found
        if isinstance(error, UnknownLeaderEpoch) and not self._reader.is_follower:
            self._ahead.append(cached)
        self._session.find_again(cached, None)


def _current_leader(partition: Partition | None, error: OttlaError) -> LeaderIdAndEpoch | None:
    """Name the leader to a reader that believes in another one."""
    if isinstance(error, NotLeader):
        return LeaderIdAndEpoch(leader_id=error.leader_id, leader_epoch=error.leader_epoch)
    if isinstance(error, FencedLeaderEpoch) and partition is not None:
        return LeaderIdAndEpoch(leader_id=partition.leader_id, leader_epoch=error.current)
    return None
