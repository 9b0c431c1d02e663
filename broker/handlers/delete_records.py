"""DeleteRecords: forget the oldest records, answered when no live replica holds them any more.

Must never know: logs, how followers learn of it. Source: KIP-107.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from broker.errors import error_code
from broker.handlers.metadata import INTERNAL_TOPICS
from broker.record_deletion import delete_records, wait_deleted
from protocol.api.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from protocol.api.delete_records import DeleteRecordsRequest

NO_LOW_WATERMARK = -1


class _Begun(Struct, frozen=True):
    """A deletion that waits for the replicas, under one leader epoch."""

    partition: Partition
    offset: int
    leader_epoch: int
    reply: DeleteRecordsPartitionResult


class DeleteRecordsHandler:
    """Deletes records of the partitions that this broker leads."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def __call__(
        self, request: DeleteRecordsRequest, _context: RequestContext
    ) -> DeleteRecordsResponse | Coroutine[Any, Any, DeleteRecordsResponse]:
        """Begin with every partition; answer once all are through, or the time is over.

        A partition that is named again is refused there: each deletion writes, all in one go.
        """
        response = DeleteRecordsResponse()
        waiting: list[_Begun] = []
        named: set[tuple[str, int]] = set()
        for topic in request.topics:
            answer = DeleteRecordsTopicResult(name=topic.name)
            response.topics.append(answer)
            for asked in topic.partitions:
                reply = DeleteRecordsPartitionResult(partition_index=asked.partition_index)
                answer.partitions.append(reply)
                if (topic.name, asked.partition_index) in named:
                    _refuse_partition(reply, ErrorCode.INVALID_REQUEST)
                    continue
                named.add((topic.name, asked.partition_index))
                try:
                    waiting.append(self._begin(topic.name, asked.offset, reply))
                except OttlaError as error:
                    _refuse_partition(reply, error_code(error))
        if not waiting:
            return response
        return self._finish(request, response, waiting)

    def _begin(self, topic: str, offset: int, reply: DeleteRecordsPartitionResult) -> _Begun:
        if topic in INTERNAL_TOPICS:
            raise RequestError.of(
                ErrorCode.INVALID_TOPIC_EXCEPTION, f"{topic} is the cluster's own: it needs them"
            )
        partition = self._partitions.get(topic, reply.partition_index)
        if not partition.log.config.deletes:
            raise RequestError.of(
                ErrorCode.POLICY_VIOLATION, f"cleanup.policy of {topic} deletes no records"
            )
        deleted_to = delete_records(partition, offset)
        return _Begun(partition, deleted_to, partition.leader_epoch, reply)

    async def _finish(
        self, request: DeleteRecordsRequest, response: DeleteRecordsResponse, waiting: list[_Begun]
    ) -> DeleteRecordsResponse:
        deadline = trio.current_time() + max(request.timeout_ms, 0) / 1000
        for begun in waiting:
            with trio.move_on_at(deadline) as scope:
                try:
                    begun.reply.low_watermark = await wait_deleted(
                        begun.partition,
                        begun.offset,
                        leader_epoch=begun.leader_epoch,
                        live=self._partitions.live_brokers,
                    )
                except RequestError as error:
                    _refuse_partition(begun.reply, error.code)
            if scope.cancelled_caught:
                _refuse_partition(begun.reply, ErrorCode.REQUEST_TIMED_OUT)
        return response


def _refuse_partition(reply: DeleteRecordsPartitionResult, code: ErrorCode) -> None:
    reply.error_code, reply.low_watermark = code, NO_LOW_WATERMARK


def refuse(request: DeleteRecordsRequest, code: ErrorCode, _message: str) -> DeleteRecordsResponse:
    """Answer with an error for each partition."""
    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[
                    DeleteRecordsPartitionResult(
                        partition_index=asked.partition_index,
                        low_watermark=NO_LOW_WATERMARK,
                        error_code=code,
                    )
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
