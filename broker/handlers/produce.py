"""Produce: append at once, in the order of arrival; the answer comes when enough replicas have it.

Must never know: how a record looks, sockets.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import trio

from broker.errors import HandingOver, error_code
from broker.handlers.delayed_produce import NEVER, Appended, DelayedProduce, refuse_partition
from broker.handlers.endpoints import reach_leaders
from broker.handlers.expected_batches import ExpectedBatches, SentBehind
from broker.keys import require_keys
from broker.log.config import CREATE_TIME, PRODUCER, VALIDATE_NONE
from broker.log.errors import OutOfOrderSequence
from broker.newest_time import Times, set_newest_time
from broker.opening import Opening
from broker.partition import ACKS_ALL
from broker.recompression import recompress
from protocol.api.produce import (
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from protocol.errors import ErrorCode, OttlaError, ProtocolError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from broker.confirmation import Confirmation
    from broker.delayed import Delayed
    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from broker.schema_guard import SchemaGuard
    from coordinator.cluster import ClusterState
    from protocol.api.produce import PartitionProduceData, ProduceRequest

ACKS_NONE = 0
ACKS_LEADER = 1

BATCHES_MAX = 20_000
"""Of one request: appending them takes a second, and nothing else happens then."""


class _Common(NamedTuple):
    """What holds for all batches of a request."""

    acks: int
    times: Times
    opening: Opening


class ProduceHandler:
    """Appends producers' batches."""

    def __init__(
        self,
        partitions: Partitions,
        confirmation: Confirmation,
        schemas: SchemaGuard,
        *,
        cluster: Callable[[], ClusterState],
        wall_ms: Callable[[], int],
    ) -> None:
        self._partitions = partitions
        self._confirmation = confirmation
        self._schemas = schemas
        self._cluster = cluster
        self._wall_ms = wall_ms
        self._expected = ExpectedBatches()

    def __call__(
        self, request: ProduceRequest, context: RequestContext
    ) -> Delayed | Coroutine[Any, Any, ProduceResponse] | None:
        """Append every partition's batches, then answer, wait, or with acks=0 say nothing.

        Raises: ProtocolError for too many batches, and where acks=0 leaves no other way to tell of
        a failure.
        """
        count = sum(len(topic.partition_data) for topic in request.topic_data)
        if count > BATCHES_MAX:
            raise ProtocolError(
                f"a produce of {count} batches came, {BATCHES_MAX} are accepted: send several"
            )
        response = ProduceResponse()
        common = _Common(request.acks, Times(context.api_version, self._wall_ms()), Opening())
        waiting: list[Appended] = []
        missed: dict[Partition, PartitionProduceResponse] = {}
        for topic in request.topic_data:
            answer = TopicProduceResponse(name=topic.name)
            response.responses.append(answer)
            for data in topic.partition_data:
                reply = PartitionProduceResponse(index=data.index, base_offset=-1)
                answer.partition_responses.append(reply)
                try:
                    waiting.append(self._append(common, topic.name, data, reply))
                except OttlaError as error:
                    refuse_partition(reply, error)
                    if not isinstance(error, SentBehind):
                        code = error_code(error)
                        self._expected.refused(topic.name, data.index, data.records, code)
                    if isinstance(error, HandingOver):
                        partition = self._partitions.get(topic.name, data.index)
                        waiting.append(Appended(partition, NEVER, partition.leader_epoch, reply))
                    if isinstance(error, OutOfOrderSequence):
                        missed[self._partitions.get(topic.name, data.index)] = reply
        if request.acks == ACKS_NONE:
            _fail_loudly(response)
            return None
        deadline = trio.current_time() + max(request.timeout_ms, 0) / 1000
        finish = partial(self._with_endpoints, listener=context.listener)
        delayed = DelayedProduce(
            response, waiting, acks=request.acks, deadline=deadline, finish=finish
        )
        return self._confirm(missed, delayed) if missed else delayed

    def refuse(self, request: ProduceRequest, code: ErrorCode, message: str) -> ProduceResponse:
        """Answer with an error for each partition; nothing was appended."""
        for topic in request.topic_data:
            for data in topic.partition_data:
                self._expected.refused(topic.name, data.index, data.records, code)
        return refuse(request, code, message)

    def _with_endpoints(self, response: ProduceResponse, *, listener: str) -> ProduceResponse:
        """Say where the leaders can be reached that the response names."""
        answers = response.responses
        named = (reply.current_leader for topic in answers for reply in topic.partition_responses)
        reached = reach_leaders(named, self._cluster, listener)
        response.node_endpoints = [NodeEndpoint(*each) for each in reached]
        return response

    async def _confirm(
        self, missed: Mapping[Partition, PartitionProduceResponse], delayed: DelayedProduce
    ) -> ProduceResponse:
        """Refuse for another reason where records may be missing only as we lead no more."""
        for reply in await self._confirmation.unconfirmed(missed):
            reply.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
        await delayed.wait()
        return delayed.response()

    def _append(
        self,
        common: _Common,
        topic: str,
        data: PartitionProduceData,
        reply: PartitionProduceResponse,
    ) -> Appended:
        if common.acks not in (ACKS_ALL, ACKS_NONE, ACKS_LEADER):
            raise RequestError.of(
                ErrorCode.INVALID_REQUIRED_ACKS, f"acks is {common.acks}; use -1 (all), 0 or 1"
            )
        if not data.records:
            raise RequestError.of(ErrorCode.INVALID_RECORD, "there is no record batch to append")
        partition = self._partitions.get(topic, data.index)
        self._demand_order(partition, data.records)
        try:
            batch = self._opened(partition, data.records, common)
            appended = partition.append(batch, acks=common.acks)
        except OutOfOrderSequence as error:
            self._excuse_gap(partition, error)
            raise
        reply.base_offset = appended.base_offset
        reply.log_append_time_ms = appended.log_append_time_ms
        reply.log_start_offset = appended.log_start_offset
        return Appended(partition, appended.last_offset + 1, partition.leader_epoch, reply)

    def _demand_order(self, partition: Partition, batches: memoryview) -> None:
        """Refuse what is sent behind a batch that may still come. Raises: SentBehind, what
        `require_leader` raises."""
        if self._expected:
            partition.require_leader()  # whoever does not lead cannot know what is missing
            self._expected.demand_none_before(
                partition.topic, partition.index, batches, partition.log.producers
            )

    def _excuse_gap(self, partition: Partition, gap: OutOfOrderSequence) -> None:
        """Refuse for the moment one who has written to another leader, but not under us yet.

        Raises: SentBehind.
        """
        known = partition.log.producers.entry(gap.producer_id)
        if known is not None and (
            partition.log.epoch_at(known.batches[-1].last_offset) < partition.leader_epoch
        ):
            self._expected.overtaken(partition.topic, partition.index, gap, known)

    def _opened(self, partition: Partition, batch: memoryview, common: _Common) -> memoryview:
        """Look into the records where their topic's settings ask for it, and compress them so.

        Also where their header may be wrong about the newest one's time, which is set then.
        Raises: RefusedRecords, SchemasNotRead, OpenedEnough, CorruptBatch, what `require_leader`
        and `Log.demand_openable` raise.
        """
        config = partition.log.config
        validates = config.schema_validation != VALIDATE_NONE
        compresses = config.compression_type != PRODUCER
        doubts = config.message_timestamp_type == CREATE_TIME and common.times.doubt(batch)
        if not (config.compacts or validates or compresses or doubts):
            return batch
        opening = common.opening
        partition.require_leader()  # whoever does not lead has nothing to say of records
        partition.log.demand_openable(batch)
        if doubts:
            batch = set_newest_time(batch, opening)
        if config.compacts:
            require_keys(batch, opening)
        if validates:
            self._schemas.check(partition.topic, batch, config.schema_validation, opening)
        if not compresses:
            return batch
        return recompress(batch, config.compression_type, opening)


def refuse(request: ProduceRequest, code: ErrorCode, message: str) -> ProduceResponse:
    """Answer with an error for each partition."""
    return ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                partition_responses=[
                    PartitionProduceResponse(
                        index=data.index, error_code=code, base_offset=-1, error_message=message
                    )
                    for data in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )


def _fail_loudly(response: ProduceResponse) -> None:
    for topic in response.responses:
        for reply in topic.partition_responses:
            if reply.error_code != ErrorCode.NONE:
                raise ProtocolError(
                    f"a produce with acks=0 to {topic.name}-{reply.index} failed:"
                    f" {reply.error_message}; the connection is closed to tell the client"
                )
