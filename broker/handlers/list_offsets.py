"""ListOffsets: where a log starts and ends, and offsets by timestamp. Must never know: files.

Source: KIP-79, KIP-207 (a new leader does not guess), KIP-734 (largest timestamp), KIP-1005.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio

from broker.errors import error_code
from protocol.api.list_offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

    from broker.catching_up import CatchingUp
    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from protocol.api.list_offsets import ListOffsetsPartition, ListOffsetsRequest

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3
EARLIEST_LOCAL = -4
LATEST_TIERED = -5
CONSUMER_ID = -1
OFFSET_NOT_AVAILABLE_SINCE = 5
NOT_FOUND = (-1, -1, -1)


class ListOffsetsHandler:
    """Looks offsets up."""

    def __init__(self, partitions: Partitions, catching_up: CatchingUp) -> None:
        self._partitions = partitions
        self._catching_up = catching_up

    def __call__(
        self, request: ListOffsetsRequest, context: RequestContext
    ) -> ListOffsetsResponse | Coroutine[Any, Any, ListOffsetsResponse]:
        """Answer partition by partition, once this broker knows the leaders that a client knows."""
        if request.replica_id == CONSUMER_ID:
            known = [
                (topic.name, asked.partition_index, asked.current_leader_epoch)
                for topic in request.topics
                for asked in topic.partitions
            ]
            if self._catching_up.is_behind(known):
                return self._answer_after(self._catching_up.wait(known), request, context)
        if any(_is_by_time(asked) for topic in request.topics for asked in topic.partitions):
            return self._answer_in_turns(request, context)
        response = ListOffsetsResponse()
        for _ in self._look_ups(request, context, response):
            pass  # where logs begin and end is known: nothing is read
        return response

    async def _answer_after(
        self,
        waiting: Coroutine[Any, Any, None],
        request: ListOffsetsRequest,
        context: RequestContext,
    ) -> ListOffsetsResponse:
        await waiting
        return await self._answer_in_turns(request, context)

    async def _answer_in_turns(
        self, request: ListOffsetsRequest, context: RequestContext
    ) -> ListOffsetsResponse:
        """Answer with a checkpoint after each look-up by time.

        Each may read and unfold a large batch. Hundreds in one go would outlast our session.
        """
        response = ListOffsetsResponse()
        for asked in self._look_ups(request, context, response):
            if _is_by_time(asked):
                await trio.lowlevel.checkpoint()
        return response

    def _look_ups(
        self, request: ListOffsetsRequest, context: RequestContext, response: ListOffsetsResponse
    ) -> Iterator[ListOffsetsPartition]:
        """Fill the response partition by partition; yield what was asked after each.

        A partition that is named twice is answered once, with INVALID_REQUEST: as Kafka does.
        """
        named = Counter(
            (topic.name, asked.partition_index)
            for topic in request.topics
            for asked in topic.partitions
        )
        for topic in request.topics:
            answer = ListOffsetsTopicResponse(name=topic.name)
            response.topics.append(answer)
            for asked in topic.partitions:
                times = named.pop((topic.name, asked.partition_index), 0)
                if times == 0:
                    continue  # it is answered where it was named first
                found = ListOffsetsPartitionResponse(partition_index=asked.partition_index)
                answer.partitions.append(found)
                if times > 1:
                    found.error_code = ErrorCode.INVALID_REQUEST
                    continue
                try:
                    partition = self._partitions.get(topic.name, asked.partition_index)
                    partition.require_leader(leader_epoch=asked.current_leader_epoch)
                    found.offset, found.timestamp, found.leader_epoch = _look_up(
                        partition, asked, for_replica=request.replica_id != CONSUMER_ID
                    )
                except OttlaError as error:
                    found.error_code = _known_error(error_code(error), context.api_version)
                yield asked


def _is_by_time(asked: ListOffsetsPartition) -> bool:
    return asked.timestamp >= 0 or asked.timestamp == MAX_TIMESTAMP


def _known_error(code: ErrorCode, api_version: int) -> ErrorCode:
    """Give an older client an error that it knows (KIP-207)."""
    if code is ErrorCode.OFFSET_NOT_AVAILABLE and api_version < OFFSET_NOT_AVAILABLE_SINCE:
        return ErrorCode.LEADER_NOT_AVAILABLE
    return code


def _look_up(
    partition: Partition, asked: ListOffsetsPartition, *, for_replica: bool
) -> tuple[int, int, int]:
    """Give (offset, timestamp or -1, leader epoch or -1)."""
    log = partition.log
    if asked.timestamp == LATEST:
        return partition.latest_offset(for_replica=for_replica), -1, partition.leader_epoch
    if asked.timestamp in (EARLIEST, EARLIEST_LOCAL):
        return log.log_start_offset, -1, log.epoch_at(log.log_start_offset)
    if asked.timestamp == LATEST_TIERED:
        return NOT_FOUND
    if asked.timestamp == MAX_TIMESTAMP:
        found = log.max_timestamp()
    elif asked.timestamp >= 0:
        found = log.offset_for_timestamp(asked.timestamp)
    else:
        raise RequestError.of(
            ErrorCode.UNSUPPORTED_VERSION, f"{asked.timestamp} is no special timestamp known here"
        )
    end_offset = partition.latest_offset(for_replica=for_replica)
    if found is None or found[0] >= end_offset:
        return NOT_FOUND
    return found


def refuse(request: ListOffsetsRequest, code: ErrorCode, _message: str) -> ListOffsetsResponse:
    """Answer with an error for each partition."""
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    ListOffsetsPartitionResponse(
                        partition_index=asked.partition_index, error_code=code
                    )
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
