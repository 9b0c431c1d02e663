"""Fetch: whole batches as they lie in the file, for consumers and followers; a long poll waits.

Must never know: what a batch holds, how it is sent. Source: KIP-227 (sessions are declined),
KIP-320, KIP-516, KIP-595, KIP-903, KIP-951.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from broker.errors import NotLeader, error_code
from broker.log.errors import OffsetOutOfRange
from broker.long_poll import watching
from protocol.api.fetch import (
    EpochEndOffset,
    FetchableTopicResponse,
    FetchResponse,
    LeaderIdAndEpoch,
    PartitionData,
)
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from protocol.api.fetch import FetchPartition, FetchRequest

CONSUMER_ID = -1
READ_COMMITTED = 1
TOPIC_IDS_SINCE = 13
FETCH_BYTES_MAX = 57_671_680
"""Kafka's fetch.max.bytes of the broker: what one response holds at most, but for one batch."""


@dataclass(slots=True)
class Wanted:
    """One partition of a fetch, and what was found of it so far."""

    partition: Partition | None
    asked: FetchPartition
    found: PartitionData
    seen_end: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of records found."""
        return len(self.found.records) if self.found.records is not None else 0


class FetchHandler:
    """Reads for consumers and followers."""

    def __init__(
        self, partitions: Partitions, *, on_follower_fetch: Callable[[Partition, int], None]
    ) -> None:
        self._partitions = partitions
        self._on_follower_fetch = on_follower_fetch

    def __call__(
        self, request: FetchRequest, context: RequestContext
    ) -> FetchResponse | Coroutine[Any, Any, FetchResponse]:
        """Read what is there; wait for more where the client wants to."""
        if request.session_id != 0 and request.session_epoch > 0:
            return FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        fetch = _Fetch(self._partitions, request, self._on_follower_fetch)
        fetch.resolve(by_id=context.api_version >= TOPIC_IDS_SINCE)
        fetch.read(fetch.wanted)
        if request.max_wait_ms <= 0 or fetch.is_satisfied():
            return fetch.response
        return fetch.wait()


class _Fetch:
    """One fetch under way."""

    def __init__(
        self,
        partitions: Partitions,
        request: FetchRequest,
        on_follower_fetch: Callable[[Partition, int], None],
    ) -> None:
        self.response = FetchResponse()
        self.wanted: list[Wanted] = []
        self._partitions = partitions
        self._request = request
        self._on_follower_fetch = on_follower_fetch
        state = request.replica_state
        self._replica_id = state.replica_id if state is not None else request.replica_id
        self._replica_epoch = state.replica_epoch if state is not None else -1
        self._bytes_max = min(request.max_bytes, FETCH_BYTES_MAX)

    @property
    def _is_follower(self) -> bool:
        return self._replica_id > CONSUMER_ID

    def resolve(self, *, by_id: bool) -> None:
        """Find the partitions asked for, and count a follower's fetch as its acknowledgement."""
        for topic in self._request.topics:
            answer = FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id)
            self.response.responses.append(answer)
            for asked in topic.partitions:
                found = PartitionData(partition_index=asked.partition, high_watermark=-1)
                answer.partitions.append(found)
                wanted = Wanted(None, asked, found)
                self.wanted.append(wanted)
                try:
                    name = self._partitions.topic_name(topic.topic_id) if by_id else topic.topic
                    wanted.partition = self._partitions.get(name, asked.partition)
                    self._begin(wanted, wanted.partition)
                except OttlaError as error:
                    self._refuse(wanted, error)

    def _begin(self, wanted: Wanted, partition: Partition) -> None:
        """Compare the reader's log with ours, once; a follower that agrees has acknowledged."""
        asked = wanted.asked
        partition.require_leader(leader_epoch=asked.current_leader_epoch)
        diverging = partition.diverges(asked.fetch_offset, asked.last_fetched_epoch)
        if diverging is not None:
            epoch, end_offset = diverging
            wanted.found.diverging_epoch = EpochEndOffset(epoch=epoch, end_offset=end_offset)
        elif self._is_follower:
            partition.follower_fetched(
                self._replica_id,
                asked.fetch_offset,
                broker_epoch=self._replica_epoch,
                log_start_offset=asked.log_start_offset,
            )
            self._on_follower_fetch(partition, self._replica_id)

    def read(self, wanted: list[Wanted]) -> None:
        """Read again what `wanted` names, within the bytes that are left."""
        kept = sum(w.size_bytes for w in self.wanted) - sum(w.size_bytes for w in wanted)
        left = self._bytes_max - kept
        is_empty = left == self._bytes_max
        for one in wanted:
            if one.partition is None:
                continue
            try:
                self._read_one(one, one.partition, left=left, at_least_one=is_empty)
            except OttlaError as error:
                self._refuse(one, error)
            left -= one.size_bytes
            is_empty = is_empty and one.size_bytes == 0

    def _read_one(
        self, wanted: Wanted, partition: Partition, *, left: int, at_least_one: bool
    ) -> None:
        asked, found = wanted.asked, wanted.found
        partition.require_leader(leader_epoch=asked.current_leader_epoch)
        wanted.seen_end = self._end_of(partition)
        found.high_watermark = partition.high_watermark.value
        found.last_stable_offset = partition.high_watermark.value
        found.log_start_offset = partition.log.log_start_offset
        found.records = b""
        found.aborted_transactions = [] if self._request.isolation_level == READ_COMMITTED else None
        if found.diverging_epoch is not None or (left <= 0 and not at_least_one):
            return
        read = partition.read_uncommitted if self._is_follower else partition.read_committed
        found.records = read(
            asked.fetch_offset,
            bytes_max=min(asked.partition_max_bytes, left),
            at_least_one=at_least_one,
        )

    def _end_of(self, partition: Partition) -> int:
        if self._is_follower:
            return partition.log.log_end_offset
        return partition.high_watermark.value

    def _refuse(self, wanted: Wanted, error: OttlaError) -> None:
        found = wanted.found
        found.error_code = error_code(error)
        found.records = b""
        if isinstance(error, NotLeader):
            found.current_leader = LeaderIdAndEpoch(
                leader_id=error.leader_id, leader_epoch=error.leader_epoch
            )
        if isinstance(error, OffsetOutOfRange):
            found.log_start_offset = error.log_start_offset
        wanted.partition = None

    def is_satisfied(self) -> bool:
        """Say whether the answer need not wait: enough bytes, or something to tell at once."""
        size_bytes = 0
        for wanted in self.wanted:
            if wanted.partition is None or wanted.found.diverging_epoch is not None:
                return True
            size_bytes += wanted.size_bytes
        return size_bytes >= min(self._request.min_bytes, self._bytes_max)

    async def wait(self) -> FetchResponse:
        """Answer once satisfied, or with what there is when the time is over."""
        served = {w.partition: w for w in self.wanted if w.partition is not None}
        with (
            watching(served, uncommitted=self._is_follower) as poll,
            trio.move_on_after(self._request.max_wait_ms / 1000),
        ):
            for partition, wanted in served.items():
                # What came between the first look and this line would be missed otherwise.
                if self._end_of(partition) != wanted.seen_end or not partition.is_leader:
                    poll.notice(partition)
            while not self.is_satisfied():
                changed = await poll.wait_changed()
                self.read([served[partition] for partition in changed])
        return self.response


def refuse(_request: FetchRequest, code: ErrorCode, _message: str) -> FetchResponse:
    """Answer with an error for the whole fetch."""
    return FetchResponse(error_code=code)
