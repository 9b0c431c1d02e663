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
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

    from broker.catching_up import CatchingUp
    from broker.confirmation import Confirmation
    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from protocol.api.offset_for_leader_epoch import OffsetForLeaderEpochRequest


class OffsetForLeaderEpochHandler:
    """Answers followers that reconcile, and consumers that look for truncation."""

    def __init__(
        self, partitions: Partitions, confirmation: Confirmation, catching_up: CatchingUp
    ) -> None:
        self._partitions = partitions
        self._confirmation = confirmation
        self._catching_up = catching_up

    def __call__(
        self, request: OffsetForLeaderEpochRequest, _context: RequestContext
    ) -> OffsetForLeaderEpochResponse | Coroutine[Any, Any, OffsetForLeaderEpochResponse]:
        """Answer partition by partition, once this broker knows the leaders that a client knows."""
        if request.replica_id < 0:
            known = [
                (topic.topic, asked.partition, asked.current_leader_epoch)
                for topic in request.topics
                for asked in topic.partitions
            ]
            if self._catching_up.is_behind(known):
                return self._answer_after(self._catching_up.wait(known), request)
        response, doubtful = self._answer(request)
        return self._confirm(response, doubtful) if doubtful else response

    async def _answer_after(
        self, waiting: Coroutine[Any, Any, None], request: OffsetForLeaderEpochRequest
    ) -> OffsetForLeaderEpochResponse:
        await waiting
        response, doubtful = self._answer(request)
        return await self._confirm(response, doubtful) if doubtful else response

    def _answer(
        self, request: OffsetForLeaderEpochRequest
    ) -> tuple[OffsetForLeaderEpochResponse, dict[Partition, EpochEndOffset]]:
        """Give the answer, and what of it needs to be confirmed."""
        response = OffsetForLeaderEpochResponse()
        doubtful: dict[Partition, EpochEndOffset] = {}
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
                    if asked.leader_epoch > partition.leader_epoch:
                        doubtful[partition] = found
                except OttlaError as error:
                    found.error_code = error_code(error)
        return response, doubtful

    async def _confirm(
        self,
        response: OffsetForLeaderEpochResponse,
        doubtful: Mapping[Partition, EpochEndOffset],
    ) -> OffsetForLeaderEpochResponse:
        """Who has seen a newer epoch than ours is right, unless we lead all the same."""
        for found in await self._confirmation.unconfirmed(doubtful):
            found.error_code = ErrorCode.NOT_LEADER_OR_FOLLOWER
            found.leader_epoch, found.end_offset = -1, -1
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
