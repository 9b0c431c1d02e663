"""A follower's loop: fetch from one leader what it has and we lack, make it durable, ask again.

The offset of a fetch is the acknowledgement: all below it is on our stable storage. A fetch names
only what has changed since the one before; for all else the leader counts on what it was told.
Must never know: who leads what (it is told), the coordinator, requests of clients.
Source: KIP-73 (throttles), KIP-101, KIP-107 (log starts), KIP-227 (sessions), KIP-320, KIP-595
(diverging epochs), KIP-903 (broker epochs).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import structlog
import trio
from msgspec import Struct

from broker.errors import PeerUnknown
from broker.replication.following import append_from_leader, follow_watermarks, restart_log
from broker.replication.reconcile import reconcile
from client.errors import ConnectionBroken
from client.fetch_session import SESSION_ENDED, FetchedTopic, FetchSessionHandler
from protocol.api.fetch import FetchPartition, FetchRequest, ReplicaState
from protocol.errors import ErrorCode, RequestError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from broker.config import ReplicationConfig
    from broker.partition import Partition
    from broker.replication.throttle import Throttle
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
START_NOTED_S = 0.05
"""About as long as it takes to note where a log starts."""

Key = tuple[bytes, int]


class Followed(Struct):
    """A partition that follows this fetcher's leader under one leader epoch."""

    partition: Partition
    leader_epoch: int
    asked_offset: int = -1
    """The offset that the leader was told last: our acknowledgement."""
    pause_s: float = 0.0
    paused_until: float = 0.0

    @property
    def key(self) -> Key:
        """Topic id and number, as requests and answers name it."""
        return self.partition.topic_id, self.partition.index

    @property
    def may_be_fetched(self) -> bool:
        """Whether the log agrees with the leader's, and is durable: a fetch says both.

        Nor is a crash to hide what the fetch brings.
        """
        partition = self.partition
        return (
            partition.follows(self.leader_epoch)
            and not partition.needs_reconciling
            and partition.noted_start.is_safe
            and partition.durable.value >= partition.log.log_end_offset
        )

    @property
    def starts_for_good(self) -> bool:
        """Whether a crash leaves the log starting where it does."""
        return self.partition.noted_start.offset >= self.partition.log.log_start_offset

    def asked(self, *, bytes_max: int) -> FetchPartition:
        """Say what is to be fetched next, and acknowledge all before."""
        log = self.partition.log
        self.asked_offset = log.log_end_offset
        return FetchPartition(
            partition=self.partition.index,
            current_leader_epoch=self.leader_epoch,
            fetch_offset=self.asked_offset,
            last_fetched_epoch=log.latest_epoch,
            log_start_offset=self.partition.noted_start.offset,
            partition_max_bytes=bytes_max,
        )


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
        self._followed: dict[Key, Followed] = {}
        self._touched: dict[Key, Followed] = {}
        """Those that the next request may have to name: all else is as the leader was told."""
        self._paused: dict[Key, Followed] = {}
        self._fetched: dict[Key, Followed] = {}
        """Those that the leader was asked for."""
        self._starting: dict[Key, Followed] = {}
        """Those whose leader may wait to hear that a crash leaves the log starting where it does.
        """
        self._session = FetchSessionHandler()
        self._round = trio.CancelScope()
        self._changed = trio.Event()

    def follow(self, partition: Partition) -> None:
        """Begin to fetch a partition under its present leader epoch."""
        self.forget(partition)
        followed = Followed(partition=partition, leader_epoch=partition.leader_epoch)
        self._followed[followed.key] = self._touched[followed.key] = followed
        self._interrupt()

    def forget(self, partition: Partition) -> bool:
        """Stop to fetch a partition. Returns: whether it was fetched here."""
        followed = self._followed.pop((partition.topic_id, partition.index), None)
        if followed is not None:
            self._touched.pop(followed.key, None)
            self._paused.pop(followed.key, None)
            self._starting.pop(followed.key, None)
            self._leave_out(followed)
        return followed is not None

    def touch(self, partition: Partition) -> None:
        """Tell the leader anew how far a partition has come, with the next request to be sent."""
        followed = self._followed.get((partition.topic_id, partition.index))
        if followed is not None and followed.key not in self._paused:
            self._touched[followed.key] = followed

    def _leave_out(self, followed: Followed) -> None:
        """Have the leader count on nothing of a partition any more."""
        topic_id, index = followed.key
        self._session.forget(FetchedTopic("", topic_id), index)
        self._fetched.pop(followed.key, None)

    def _pause(self, followed: Followed) -> None:
        """Leave a partition out for a while, longer with every time."""
        followed.pause_s = min(max(FIRST_PAUSE_S, followed.pause_s * 2), self._longest_pause_s)
        self._pause_until(followed, trio.current_time() + followed.pause_s)

    def _pause_until(self, followed: Followed, end: float) -> None:
        followed.paused_until = end
        if self._followed.get(followed.key) is followed:
            self._touched.pop(followed.key, None)
            self._paused[followed.key] = followed
            self._leave_out(followed)

    def _end_pauses(self) -> None:
        now = trio.current_time()
        for followed in [f for f in self._paused.values() if f.paused_until <= now]:
            del self._paused[followed.key]
            self._touched[followed.key] = followed

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
            self._session.lost()  # an answer may have been lost, and what it told with it
            if not self._changed.is_set():
                with trio.move_on_after(FIRST_PAUSE_S * 5):
                    await self._changed.wait()

    async def _fetch_until_interrupted(self, connection: Connection) -> None:
        while self._followed:
            self._end_pauses()
            self._hold_back()
            await self._reconcile(connection)
            await self._wait_durable()
            self._acknowledge()
            if len(self._session):
                await self._fetch(connection)
            elif self._paused:
                await trio.sleep_until(min(f.paused_until for f in self._paused.values()))
            else:
                await trio.lowlevel.checkpoint()  # what was touched is no longer followed

    def _hold_back(self) -> None:
        """Leave out whatever a throttle holds back, for as long as it does."""
        now = trio.current_time()
        for followed in tuple(self._touched.values()):
            throttle = self._throttle_of(followed.partition)
            wait_s = throttle.wait_s(now=now) if throttle is not None else 0.0
            if now + wait_s > now:
                self._pause_until(followed, now + wait_s)

    def _throttle_of(self, partition: Partition) -> Throttle | None:
        """Give what holds us back: only while we are out of sync."""
        return None if self._broker_id in partition.isr else partition.throttles.follower

    async def _reconcile(self, connection: Connection) -> None:
        async def ask(question: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse:
            answer: OffsetForLeaderEpochResponse = await connection.call(
                question, version=OFFSET_FOR_LEADER_EPOCH_VERSION, timeout_s=ANSWER_GRACE_S
            )
            return answer

        due = [f for f in self._touched.values() if f.partition.needs_reconciling]
        if not due:
            return
        for followed in due:
            self._leave_out(followed)
        refused = await reconcile([f.partition for f in due], broker_id=self._broker_id, ask=ask)
        for followed in due:
            if followed.partition in refused:
                self._pause(followed)

    async def _wait_durable(self) -> None:
        """Wait until all that was appended is durable: the next fetch says that it is."""
        for key, followed in tuple(self._touched.items()):
            partition = followed.partition
            # What was forgotten meanwhile may have a log that nobody will sync any more.
            if self._touched.get(key) is not followed or partition.needs_reconciling:
                continue
            try:
                await partition.durable.wait_reached(partition.log.log_end_offset)
            except RequestError:
                log_events.info("follower_stopped_meanwhile", partition=partition.name)

    def _acknowledge(self) -> None:
        """Take into the next request what was touched, and is durable and agreed on by now."""
        for key, followed in tuple(self._touched.items()):
            if followed.may_be_fetched:
                if self._throttle_of(followed.partition) is None:
                    del self._touched[key]  # a throttle is looked at before each request
                self._fetched[key] = followed
                bytes_max = self._bytes_wanted(followed.partition)
                self._session.want(FetchedTopic("", key[0]), followed.asked(bytes_max=bytes_max))
            else:
                self._leave_out(followed)
                if not followed.partition.follows(followed.leader_epoch):
                    self.forget(followed.partition)
                elif not followed.partition.noted_start.is_safe:
                    self._pause_until(followed, trio.current_time() + START_NOTED_S)

    def _bytes_wanted(self, partition: Partition) -> int:
        at_most = self._config.replica_fetch_max_bytes
        throttle = self._throttle_of(partition)
        if throttle is None:
            return at_most
        # Where there is no room left meanwhile a batch is asked for all the same, and counted.
        return max(throttle.room(now=trio.current_time(), at_most=at_most), 1)

    async def _fetch(self, connection: Connection) -> None:
        wait_s = self._wait_s()
        response = await connection.call(
            self._request(wait_s=wait_s),
            version=FETCH_VERSION,
            timeout_s=wait_s + ANSWER_GRACE_S,
        )
        self._session.answered(response)
        self._take(response)

    def _wait_s(self) -> float:
        """Give how long the leader may wait: not past the pause of a partition left out.

        Nor for long while it has yet to hear that a log's start was noted: that is soon.
        """
        for followed in tuple(self._starting.values()):
            if followed.starts_for_good:
                del self._starting[followed.key]
        now = trio.current_time()
        # A pause may have ended long ago, while others' records were made durable.
        pauses = (max(0.0, f.paused_until - now) for f in self._paused.values())
        longest = self._config.replica_fetch_wait_max_ms / 1000
        return min([longest, *([START_NOTED_S] if self._starting else []), *pauses])

    def _request(self, *, wait_s: float) -> FetchRequest:
        request = FetchRequest(
            replica_state=ReplicaState(
                replica_id=self._broker_id, replica_epoch=self._broker_epoch()
            ),
            max_wait_ms=max(1, ceil(wait_s * 1000)),  # 0 would ask again and again
            min_bytes=1,
            max_bytes=self._config.replica_fetch_response_max_bytes,
        )
        self._session.name(request)
        return request

    def _take(self, response: FetchResponse) -> None:
        if response.error_code in SESSION_ENDED:
            return
        if response.error_code != ErrorCode.NONE:
            for followed in tuple(self._fetched.values()):
                self._pause(followed)
            return
        for topic in response.responses:
            for data in topic.partitions:
                # Not what is followed now: that may be the same one under a later leader epoch.
                found = self._fetched.get((topic.topic_id, data.partition_index))
                if found is not None:
                    self._take_partition(found, data)

    def _take_partition(self, followed: Followed, data: PartitionData) -> None:
        """Append what came for one partition."""
        partition = followed.partition
        self._touched[followed.key] = followed
        throttle = self._throttle_of(partition)
        if throttle is not None:
            throttle.count(len(data.records or b""), now=trio.current_time())
        if not partition.follows(followed.leader_epoch) or (
            partition.log.log_end_offset != followed.asked_offset
        ):
            return
        try:
            self._obey(followed, data)
        except RequestError as error:
            # A batch that came damaged: what we hold is good, ask again.
            log_events.warning("fetched_batch_refused", partition=partition.name, error=str(error))
            self._pause(followed)
        except StorageError as error:
            log_events.warning("follower_cannot_write", partition=partition.name, error=str(error))
            self._pause(followed)

    def _obey(self, followed: Followed, data: PartitionData) -> None:
        partition = followed.partition
        if data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
            is_empty = partition.log.latest_epoch < 0  # and so has nothing to reconcile by
            if is_empty or data.log_start_offset > partition.log.log_end_offset:
                restart_log(partition, data.log_start_offset)
            else:
                partition.needs_reconciling = True
                self._pause(followed)
            return
        if data.error_code != ErrorCode.NONE:
            self._pause(followed)
            return
        if data.diverging_epoch is not None:
            partition.needs_reconciling = True
            return
        if data.records:
            append_from_leader(
                partition,
                data.records,
                leader_epoch=followed.leader_epoch,
                log_start_offset=data.log_start_offset,
            )
        start_offset = partition.log.log_start_offset
        follow_watermarks(
            partition, high_watermark=data.high_watermark, log_start_offset=data.log_start_offset
        )
        if partition.log.log_start_offset != start_offset:
            self._starting[followed.key] = followed
        partition.told_replicated = data.replicated_end_offset
        # Only now: an append that the disk refuses is to be tried less and less often.
        followed.pause_s = 0.0
