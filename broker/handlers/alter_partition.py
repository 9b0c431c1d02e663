"""AlterPartition: a leader proposes in-sync replicas to the controller. Never passed on.

Must never know: when a replica is in sync. Source: KIP-497, KIP-903.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coordinator.events import IsrChange
from protocol.api.alter_partition import AlterPartitionResponse, PartitionResult, TopicResult
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.dispatch import RequestContext
    from broker.handlers.control import GetController
    from coordinator.cluster import PartitionState
    from protocol.api.alter_partition import AlterPartitionRequest, PartitionData
    from protocol.errors import ErrorCode

ANY_EPOCH = -1


class AlterPartitionHandler:
    """Asks the controller of this broker, and no other."""

    def __init__(self, controller: GetController) -> None:
        self._controller = controller

    async def __call__(
        self, request: AlterPartitionRequest, _context: RequestContext
    ) -> AlterPartitionResponse:
        """Answer once the controller has decided on every partition."""
        changes = [
            _change(topic.topic_id, asked) for topic in request.topics for asked in topic.partitions
        ]
        outcomes = iter(
            await self._controller().alter_partitions(
                request.broker_id, request.broker_epoch, changes
            )
        )
        return AlterPartitionResponse(
            topics=[
                TopicResult(
                    topic_id=topic.topic_id,
                    partitions=[
                        _result(asked.partition_index, next(outcomes)) for asked in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )


def _change(topic_id: bytes, asked: PartitionData) -> IsrChange:
    isr: Mapping[int, int] = {
        **dict.fromkeys(asked.new_isr, ANY_EPOCH),
        **{member.broker_id: member.broker_epoch for member in asked.new_isr_with_epochs},
    }
    return IsrChange(
        topic_id,
        asked.partition_index,
        leader_epoch=asked.leader_epoch,
        partition_epoch=asked.partition_epoch,
        isr=isr,
    )


def _result(index: int, outcome: PartitionState | RequestError) -> PartitionResult:
    if isinstance(outcome, RequestError):
        return PartitionResult(partition_index=index, error_code=outcome.code)
    return PartitionResult(
        partition_index=index,
        leader_id=outcome.leader_id,
        leader_epoch=outcome.leader_epoch,
        isr=list(outcome.isr),
        partition_epoch=outcome.partition_epoch,
    )


def refuse(_request: Any, code: ErrorCode, _message: str) -> AlterPartitionResponse:
    """Answer with an error for the whole request."""
    return AlterPartitionResponse(error_code=code)
