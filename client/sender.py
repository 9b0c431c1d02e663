"""Sends the batches of all partitions to their leaders, pipelined, in order, until they are acked.

One loop decides, without waiting, what can be sent now; a task per request waits for its answer.
Must never know: partitioners, records.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec import Struct

from client.answer import STALL_CHECK_S, await_answer
from client.cluster import UNKNOWN_TOPIC_GRACE_S
from client.errors import (
    ConnectionBroken,
    UnsupportedApi,
    WaitTimedOut,
    error_code,
    refusal,
)
from client.identity import IdentitySource
from client.partition_queue import PartitionQueue
from client.pool import Lane
from client.records import TopicPartition
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.errors import RETRIABLE_CODES, EncodeError, ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.backoff import Backoff
    from client.cluster import Cluster
    from client.connection import Connection, Exchange
    from client.delivery import Batch
    from client.identity import ProducerIdentity
    from protocol.api.produce import PartitionProduceResponse
    from protocol.compression import Compression

REQUESTS_IN_FLIGHT_MAX: Final = 5
"""Per broker. Brokers remember the last five batches of a producer, no more."""

ANSWER_GRACE_S: Final = 2.0
"""How much longer than the broker itself we wait for its answer."""

ACKS_NONE: Final = 0

NOT_WRITTEN_CODES: Final = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode.UNKNOWN_PRODUCER_ID,
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.THROTTLING_QUOTA_EXCEEDED,
        ErrorCode.UNKNOWN_TOPIC_ID,
    }
)
"""Refusals before the append. After the other retriable ones a batch may be in the log."""

_TOO_LARGE: Final = frozenset({ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE})


class SenderOptions(Struct, frozen=True):
    """How to send. `acks` is 0, 1 or -1; times are seconds, sizes bytes."""

    acks: int
    idempotent: bool
    compression: Compression
    linger_s: float
    delivery_timeout_s: float
    request_timeout_s: float
    request_bytes_max: int


class _BrokerState(Struct):
    backoff: Backoff
    requests: int = 0
    connecting: bool = False
    retry_at: float = 0.0


class Sender:
    """Owns the queues of all partitions. `settled` is told of each batch whose fate is known."""

    def __init__(
        self,
        cluster: Cluster,
        nursery: trio.Nursery,
        options: SenderOptions,
        *,
        settled: Callable[[Batch], None],
        identity: ProducerIdentity | None = None,
    ) -> None:
        self.failure: OttlaError | None = None
        self._cluster = cluster
        self._nursery = nursery
        self._options = options
        self._settled = settled
        self._active: dict[PartitionQueue, None] = {}
        self._brokers: dict[int, _BrokerState] = {}
        self._identities = IdentitySource(
            cluster, nursery, obtained=self.wake, refused=self.fail_all, given=identity
        )
        self._wakeup = trio.lowlevel.ParkingLot()
        cluster.on_news(self.wake)

    def new_queue(self, place: TopicPartition) -> PartitionQueue:
        """Make the queue of a partition."""
        return PartitionQueue(
            place,
            in_flight_max=REQUESTS_IN_FLIGHT_MAX if self._options.idempotent else 1,
            backoff=self._cluster.backoff(),
            settled=self._settled,
        )

    def note(self, queue: PartitionQueue) -> None:
        """Take notice of a queue that got a batch, or whose open batch is full."""
        self._active[queue] = None
        self.wake()

    def abandon(self, queue: PartitionQueue, cause: OttlaError) -> None:
        """Fail what a queue holds, because its partition is no more.

        Not at once: a broker that has not heard yet of a new topic tells of the one before. Until
        that is ruled out, `take_back` undoes it.
        """
        queue.gone, queue.gone_at = cause, trio.current_time()
        self.wake()

    def take_back(self, queue: PartitionQueue) -> None:
        """Send what a queue holds and gets: its partition is there after all, or again."""
        queue.gone = None
        self.wake()

    def wake(self) -> None:
        """Look again for something to send."""
        self._wakeup.unpark_all()

    def close_open(self) -> list[Batch]:
        """Send all open batches without lingering; returns every unsettled batch."""
        for queue in self._active:
            queue.close_open()
        self.wake()
        return [batch for queue in self._active for batch in queue.batches()]

    def fail_all(self, cause: OttlaError) -> None:
        """Settle every batch as failed; nothing can be sent any more."""
        self.failure = cause
        for queue in self._active:
            for batch in list(queue.batches()):
                batch.in_doubt = batch.in_doubt or queue.is_unanswered(batch)
                queue.fail(batch, cause)
        self._active.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            wake_at = self._send_what_can_be()
            with trio.move_on_at(wake_at):
                await self._wakeup.park()

    def _send_what_can_be(self) -> float:
        """Start all requests that can be started; returns when to look again (trio's clock)."""
        now = trio.current_time()
        wake_at = now + self._options.delivery_timeout_s
        while True:
            sendable: dict[int, list[PartitionQueue]] = {}
            for queue in list(self._active):
                wake_at = min(wake_at, self._examine(queue, now, sendable))
            started = [self._send_to(*entry, now) for entry in sendable.items()]
            if not any(started):
                return wake_at

    def _examine(
        self, queue: PartitionQueue, now: float, sendable: dict[int, list[PartitionQueue]]
    ) -> float:
        """Put the queue with its leader's if it can be sent now; returns when to look again."""
        wake_at = self._expire(queue, now)
        if queue.gone is not None:
            wake_at = min(wake_at, self._fail_gone(queue, queue.gone, now))
        if queue.is_idle:
            del self._active[queue]
            return wake_at
        if queue.open is not None and not queue.has_ready:
            due_at = queue.open.opened_at + self._options.linger_s
            if due_at > now:
                return min(wake_at, due_at)
            queue.close_open()
        if queue.retry_at > now:
            return min(wake_at, queue.retry_at)
        if queue.may_send and self._identify(queue):
            retry_at = self._line_up(queue, sendable)
            return min(wake_at, retry_at) if retry_at > now else wake_at
        return wake_at

    def _line_up(self, queue: PartitionQueue, sendable: dict[int, list[PartitionQueue]]) -> float:
        """Put the queue with its leader's; returns until when that broker is left alone."""
        leader = self._cluster.leader_nowait(*queue.place)
        if leader is None:
            self._cluster.refresh_soon(needed=queue.place.topic)
            return 0.0
        if not queue.in_flight or queue.broker_id == leader.leader_id:
            sendable.setdefault(leader.leader_id, []).append(queue)
        return self._broker(leader.leader_id).retry_at

    def _expire(self, queue: PartitionQueue, now: float) -> float:
        """Fail what was not acknowledged in time; returns when the next batch is too old."""
        timeout_s = self._options.delivery_timeout_s
        oldest = next(queue.batches(), None)
        if oldest is None or oldest.opened_at + timeout_s > now:
            return oldest.opened_at + timeout_s if oldest is not None else now + timeout_s
        for batch in queue.expired(now - timeout_s):
            what = f"the acknowledgement of a batch of {len(batch)} records"
            last = batch.last_error or self._cluster.last_error
            queue.fail(batch, WaitTimedOut(what, timeout_s, last_cause=last))
        return now + STALL_CHECK_S

    def _fail_gone(self, queue: PartitionQueue, cause: OttlaError, now: float) -> float:
        """Fail what no broker has once it is sure that its partition is no more; returns when."""
        believed_at = queue.gone_at + UNKNOWN_TOPIC_GRACE_S
        if believed_at > now:
            self._cluster.refresh_soon()
            return believed_at
        for batch in queue.expired(now):
            queue.fail(batch, cause)
        return math.inf

    def _identify(self, queue: PartitionQueue) -> bool:
        """See to it that the queue has a producer id; False while there is none."""
        if self._options.idempotent and queue.identity is None:
            identity = self._identities.get_nowait(other_than=queue.spent_identity)
            if identity is None:
                return False
            queue.adopt(identity)
        return True

    def _send_to(self, broker_id: int, queues: list[PartitionQueue], now: float) -> bool:
        """Start one request with a batch of each queue, as far as they fit; False if none."""
        state = self._broker(broker_id)
        address = self._cluster.metadata.brokers[broker_id].address
        connection = self._cluster.pool.get_nowait(address, Lane.PRODUCE)
        if connection is None:
            if not state.connecting and state.retry_at <= now:
                state.connecting = True
                self._nursery.start_soon(self._connect, broker_id, state)
            return False
        if state.requests >= REQUESTS_IN_FLIGHT_MAX:
            return False
        batches: dict[Batch, PartitionQueue] = {}
        size = 0
        for queue in queues:
            if batches and size + queue.next_size() > self._options.request_bytes_max:
                break
            size += queue.next_size()
            batches[queue.take(broker_id)] = queue
            # To the back of the line: whatever did not fit goes first next time.
            del self._active[queue]
            self._active[queue] = None
        self._start(connection, state, batches)
        return True

    def _start(
        self, connection: Connection, state: _BrokerState, batches: dict[Batch, PartitionQueue]
    ) -> None:
        by_topic: dict[str, list[PartitionProduceData]] = {}
        for batch in batches:
            data = PartitionProduceData(
                batch.place.partition, batch.encode(self._options.compression)
            )
            by_topic.setdefault(batch.place.topic, []).append(data)
        request = ProduceRequest(
            acks=self._options.acks,
            timeout_ms=int(self._options.request_timeout_s * 1000),
            topic_data=[TopicProduceData(*entry) for entry in by_topic.items()],
        )
        try:
            exchange = connection.start(request, expect_response=self._options.acks != ACKS_NONE)
        except (ConnectionBroken, UnsupportedApi, EncodeError) as error:
            self._retry(batches, error, in_doubt=False)
            return
        state.requests += 1
        self._nursery.start_soon(self._await_answer, connection, exchange, state, batches)

    async def _await_answer(
        self,
        connection: Connection,
        exchange: Exchange,
        state: _BrokerState,
        batches: dict[Batch, PartitionQueue],
    ) -> None:
        try:
            response = await self._answer(connection, exchange, batches)
        except ConnectionBroken as error:
            self._retry(batches, error, in_doubt=True)
        else:
            state.backoff.reset()
            if response is None:
                for batch, queue in batches.items():
                    queue.complete(batch, base_offset=-1, log_append_time_ms=-1)
            else:
                self._apply(response, batches)
        finally:
            state.requests -= 1
            self.wake()

    async def _answer(
        self, connection: Connection, exchange: Exchange, batches: dict[Batch, PartitionQueue]
    ) -> Any:
        """Wait for the answer. Raises: ConnectionBroken."""
        oldest_at = min(batch.opened_at for batch in batches)
        return await await_answer(
            self._cluster,
            connection,
            exchange,
            expected_s=STALL_CHECK_S,
            deadline=min(
                trio.current_time() + self._options.request_timeout_s + ANSWER_GRACE_S,
                oldest_at + self._options.delivery_timeout_s,
            ),
            moved=lambda: any(self._has_moved(queue) for queue in batches.values()),
        )

    def _has_moved(self, queue: PartitionQueue) -> bool:
        leader = self._cluster.leader_nowait(*queue.place)
        return leader is not None and leader.leader_id != queue.broker_id

    def _apply(self, response: Any, batches: dict[Batch, PartitionQueue]) -> None:
        answers = {
            TopicPartition(topic.name, partition.index): partition
            for topic in response.responses
            for partition in topic.partition_responses
        }
        for batch, queue in batches.items():
            answer = answers.get(batch.place)
            if answer is None:
                error = refusal(ErrorCode.UNKNOWN_SERVER_ERROR, f"no answer for {batch.place}")
                self._retry({batch: queue}, error, in_doubt=True)
            else:
                self._apply_one(answer, batch, queue)

    def _apply_one(
        self, answer: PartitionProduceResponse, batch: Batch, queue: PartitionQueue
    ) -> None:
        code = error_code(answer.error_code)
        if code in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
            offset = answer.base_offset if code is ErrorCode.NONE else -1
            queue.complete(batch, base_offset=offset, log_append_time_ms=answer.log_append_time_ms)
            return
        cause = refusal(code, f"Produce to {batch.place}", detail=answer.error_message)
        if code in _TOO_LARGE and len(batch) > 1:
            queue.split(batch)
        elif code in RETRIABLE_CODES or (
            code is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER and queue.is_behind(batch)
        ):
            if answer.current_leader is not None:
                self._cluster.metadata.learn_leader(
                    *batch.place,
                    leader_id=answer.current_leader.leader_id,
                    leader_epoch=answer.current_leader.leader_epoch,
                )
            self._retry({batch: queue}, cause, in_doubt=code not in NOT_WRITTEN_CODES)
        else:
            # Whatever went wrong there may have gone wrong after the append.
            batch.in_doubt = batch.in_doubt or code is ErrorCode.UNKNOWN_SERVER_ERROR
            queue.fail(batch, cause)

    def _retry(
        self, batches: dict[Batch, PartitionQueue], cause: OttlaError, *, in_doubt: bool
    ) -> None:
        self._cluster.refresh_soon()
        now = trio.current_time()
        for batch, queue in batches.items():
            queue.retry(batch, cause, in_doubt=in_doubt, now=now)

    def _broker(self, broker_id: int) -> _BrokerState:
        state = self._brokers.get(broker_id)
        if state is None:
            state = self._brokers[broker_id] = _BrokerState(self._cluster.backoff())
        return state

    async def _connect(self, broker_id: int, state: _BrokerState) -> None:
        try:
            await self._cluster.connection_to(broker_id, lane=Lane.PRODUCE)
        except (ConnectionBroken, UnsupportedApi) as error:
            self._cluster.last_error = error
            state.retry_at = trio.current_time() + state.backoff.next_s()
            self._cluster.refresh_soon()
        finally:
            state.connecting = False
            self.wake()
