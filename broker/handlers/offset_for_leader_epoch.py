"""OffsetForLeaderEpoch: where an epoch ended in the leader's log. Must never know: who truncates.

Source: KIP-101, KIP-279, KIP-320.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import error_code
from protocol.api.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.partitions import Partitions
    from protocol.api.offset_for_leader_epoch import OffsetForLeaderEpochRequest
    from protocol.errors import ErrorCode


class OffsetForLeaderEpochHandler:
    """Answers followers that reconcile, and consumers that look for truncation."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def __call__(
        self, request: OffsetForLeaderEpochRequest, _context: RequestContext
    ) -> OffsetForLeaderEpochResponse:
        """Answer partition by partition."""
        response = OffsetForLeaderEpochResponse()
        for topic in request.topics:
            answer = OffsetForLeaderTopicResult(topic=topic.topic)
            response.topics.append(answer)
            for asked in topic.partitions:
                found = EpochEndOffset(partition=asked.partition)
                answer.partitions.append(found)
                try:
                    partition = self._partitions.get(topic.topic, asked.partition)
                    partition.require_leader(leader_epoch=asked.current_leader_epoch)
                    found.leader_epoch, found.end_offset = partition.log.end_offset_for_epoch(
                        asked.leader_epoch
                    )
                except OttlaError as error:
                    found.error_code = error_code(error)
        return response


def refuse(
    request: OffsetForLeaderEpochRequest, code: ErrorCode, _message: str
) -> OffsetForLeaderEpochResponse:
    """Answer with an error for each partition."""
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=[
                    EpochEndOffset(partition=asked.partition, error_code=code)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
