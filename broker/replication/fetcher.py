"""A follower's loop: fetch from one leader what it has and we lack, make it durable, ask again.

The offset of a fetch is the acknowledgement: all below it is on our stable storage. Must never
know: who leads what (it is told), the coordinator, requests of clients.
Source: KIP-101, KIP-320, KIP-595 (diverging epochs), KIP-903 (broker epoch in fetches).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import PeerUnknown
from broker.replication.reconcile import reconcile
from client.errors import ConnectionBroken
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from protocol.errors import ErrorCode, RequestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from broker.config import ReplicationConfig
    from broker.partition import Partition
    from client.connection import Connection
    from protocol.api.fetch import FetchResponse, PartitionData
    from protocol.api.offset_for_leader_epoch import (
        OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse,
    )

log_events = structlog.get_logger()

FETCH_VERSION = 17
OFFSET_FOR_LEADER_EPOCH_VERSION = 4
ANSWER_GRACE_S = 5.0
FIRST_PAUSE_S = 0.02


@dataclass(slots=True)
class Followed:
    """A partition that follows this fetcher's leader, and its part of the next request."""

    partition: Partition
    leader_epoch: int
    asked: FetchPartition
    pause_s: float = 0.0
    paused_until: float = 0.0

    @property
    def may_be_fetched(self) -> bool:
        """Whether the log agrees with the leader's, and is durable: a fetch says both."""
        partition = self.partition
        return not partition.needs_reconciling and (
            partition.durable.value >= partition.log.log_end_offset
        )

    def pause(self, *, longest_s: float) -> None:
        """Leave the partition out for a while, longer with every time."""
        self.pause_s = min(max(FIRST_PAUSE_S, self.pause_s * 2), longest_s)
        self.paused_until = trio.current_time() + self.pause_s


class LeaderFetcher:
    """Keeps this broker's followers of one leader up to date."""

    def __init__(
        self,
        leader_id: int,
        *,
        broker_id: int,
        broker_epoch: Callable[[], int],
        connect: Callable[[int], AbstractAsyncContextManager[Connection]],
        config: ReplicationConfig,
    ) -> None:
        self.leader_id = leader_id
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._connect = connect
        self._config = config
        self._longest_pause_s = config.replica_fetch_backoff_ms / 1000
        self._followed: dict[tuple[bytes, int], Followed] = {}
        self._round = trio.CancelScope()
        self._changed = trio.Event()

    def follow(self, partition: Partition) -> None:
        """Begin to fetch a partition under its present leader epoch."""
        self._followed[partition.topic_id, partition.index] = Followed(
            partition=partition,
            leader_epoch=partition.leader_epoch,
            asked=FetchPartition(
                partition=partition.index,
                partition_max_bytes=self._config.replica_fetch_max_bytes,
            ),
        )
        self._interrupt()

    def forget(self, partition: Partition) -> bool:
        """Stop to fetch a partition. Returns: whether it was fetched here."""
        return self._followed.pop((partition.topic_id, partition.index), None) is not None

    def _interrupt(self) -> None:
        # Answers come in order: a new request would wait behind the long poll under way. A new
        # connection does not.
        self._changed.set()
        self._round.cancel()

    async def run(self) -> None:
        """Fetch for ever; reconnects when the leader does not answer."""
        while True:
            self._changed = trio.Event()
            if not self._followed:
                await self._changed.wait()
                continue
            with trio.CancelScope() as self._round:
                try:
                    async with self._connect(self.leader_id) as connection:
                        await self._fetch_until_interrupted(connection)
                except (ConnectionBroken, PeerUnknown, OSError) as error:
                    log_events.info(
                        "leader_unreachable", leader_id=self.leader_id, error=str(error)
                    )
            if not self._changed.is_set():
                with trio.move_on_after(FIRST_PAUSE_S * 5):
                    await self._changed.wait()

    async def _fetch_until_interrupted(self, connection: Connection) -> None:
        while self._followed:
            await self._reconcile(connection)
            await _wait_durable(self._ready())
            # Meanwhile one may have got another leader, and lost its claim to be durable.
            asked = [followed for followed in self._ready() if followed.may_be_fetched]
            if asked:
                await self._fetch(connection, asked)
            elif self._followed:
                await trio.sleep_until(min(f.paused_until for f in self._followed.values()))

    async def _fetch(self, connection: Connection, asked: Sequence[Followed]) -> None:
        wait_s = self._wait_s()
        response = await connection.call(
            self._request(asked, wait_s=wait_s),
            version=FETCH_VERSION,
            timeout_s=wait_s + ANSWER_GRACE_S,
        )
        self._take(response, asked)

    async def _reconcile(self, connection: Connection) -> None:
        async def ask(question: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse:
            answer: OffsetForLeaderEpochResponse = await connection.call(
                question, version=OFFSET_FOR_LEADER_EPOCH_VERSION, timeout_s=ANSWER_GRACE_S
            )
            return answer

        due = [f for f in self._ready() if f.partition.needs_reconciling]
        if not due:
            return
        refused = await reconcile([f.partition for f in due], broker_id=self._broker_id, ask=ask)
        for followed in due:
            if followed.partition in refused:
                followed.pause(longest_s=self._longest_pause_s)

    def _ready(self) -> list[Followed]:
        now = trio.current_time()
        gone = [k for k, f in self._followed.items() if not f.partition.follows(f.leader_epoch)]
        for key in gone:
            del self._followed[key]
        return [f for f in self._followed.values() if f.paused_until <= now]

    def _wait_s(self) -> float:
        """Give how long the leader may wait: not past the pause of a partition left out."""
        now = trio.current_time()
        pauses = (f.paused_until - now for f in self._followed.values() if f.paused_until > now)
        return min([self._config.replica_fetch_wait_max_ms / 1000, *pauses])

    def _request(self, to_ask: Iterable[Followed], *, wait_s: float) -> FetchRequest:
        topics: dict[bytes, FetchTopic] = {}
        for followed in to_ask:
            partition, asked = followed.partition, followed.asked
            asked.current_leader_epoch = followed.leader_epoch
            asked.fetch_offset = partition.log.log_end_offset
            asked.last_fetched_epoch = partition.log.latest_epoch
            asked.log_start_offset = partition.noted_log_start
            topic = topics.get(partition.topic_id)
            if topic is None:
                topic = topics[partition.topic_id] = FetchTopic(topic_id=partition.topic_id)
            topic.partitions.append(asked)
        return FetchRequest(
            replica_state=ReplicaState(
                replica_id=self._broker_id, replica_epoch=self._broker_epoch()
            ),
            max_wait_ms=ceil(wait_s * 1000),  # a wait of 0 would ask again and again
            min_bytes=1,
            max_bytes=self._config.replica_fetch_response_max_bytes,
            session_id=0,
            session_epoch=-1,
            topics=list(topics.values()),
        )

    def _take(self, response: FetchResponse, asked: Iterable[Followed]) -> None:
        if response.error_code != ErrorCode.NONE:
            for followed in asked:
                followed.pause(longest_s=self._longest_pause_s)
            return
        # Not what is followed now: that may be the same partition under a later leader epoch.
        by_key = {(f.partition.topic_id, f.partition.index): f for f in asked}
        for topic in response.responses:
            for data in topic.partitions:
                found = by_key.get((topic.topic_id, data.partition_index))
                if found is not None:
                    self._take_partition(found, data)

    def _take_partition(self, followed: Followed, data: PartitionData) -> None:
        """Append what came for one partition."""
        partition = followed.partition
        asked_offset = followed.asked.fetch_offset
        if not partition.follows(followed.leader_epoch) or (
            partition.log.log_end_offset != asked_offset
        ):
            return
        try:
            self._obey(followed, data)
        except RequestError as error:
            # A batch that came damaged: what we hold is good, ask again.
            log_events.warning("fetched_batch_refused", partition=partition.name, error=str(error))
            followed.pause(longest_s=self._longest_pause_s)
        except StorageError as error:
            log_events.warning("follower_cannot_write", partition=partition.name, error=str(error))
            followed.pause(longest_s=self._longest_pause_s)

    def _obey(self, followed: Followed, data: PartitionData) -> None:
        partition = followed.partition
        if data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
            is_empty = partition.log.latest_epoch < 0  # and so has nothing to reconcile by
            if is_empty or data.log_start_offset > partition.log.log_end_offset:
                partition.restart_log(data.log_start_offset)
            else:
                partition.needs_reconciling = True
                followed.pause(longest_s=self._longest_pause_s)
            return
        if data.error_code != ErrorCode.NONE:
            followed.pause(longest_s=self._longest_pause_s)
            return
        if data.diverging_epoch is not None:
            partition.needs_reconciling = True
            return
        if data.records:
            partition.append_from_leader(data.records, leader_epoch=followed.leader_epoch)
        partition.follow_leader(
            high_watermark=data.high_watermark, log_start_offset=data.log_start_offset
        )
        # Only now: an append that the disk refuses is to be tried less and less often.
        followed.pause_s = 0.0


async def _wait_durable(ready: Iterable[Followed]) -> None:
    """Wait until all that was appended is durable: the next fetch says that it is."""
    for followed in ready:
        partition = followed.partition
        try:
            await partition.durable.wait_reached(partition.log.log_end_offset)
        except RequestError:
            log_events.info("follower_stopped_meanwhile", partition=partition.name)
