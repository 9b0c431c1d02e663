"""AlterPartitionReassignments: partitions for other brokers. Must never know: how they get there.

Source: KIP-455.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coordinator import reassign
from coordinator.events import Reassignment
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.dispatch import RequestContext
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState
    from protocol.api.alter_partition_reassignments import AlterPartitionReassignmentsRequest


class AlterPartitionReassignmentsHandler:
    """Has reassignments begun and called off."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def __call__(
        self, request: AlterPartitionReassignmentsRequest, context: RequestContext
    ) -> Coroutine[Any, Any, AlterPartitionReassignmentsResponse]:
        """Answer once the controller has decided; the moving goes on after that."""
        wanted = _read(request)

        def shows(response: AlterPartitionReassignmentsResponse, cluster: ClusterState) -> bool:
            codes = [p.error_code for topic in response.responses for p in topic.partitions]
            return response.error_code != ErrorCode.NONE or all(
                code != ErrorCode.NONE or _shows(item, cluster)
                for item, code in zip(wanted, codes, strict=True)
            )

        return self._control.carry_out(request, context, self._carry_out, shows=shows)

    async def _carry_out(
        self, request: AlterPartitionReassignmentsRequest
    ) -> AlterPartitionReassignmentsResponse:
        decided = await self._control.controller().alter_reassignments(_read(request))
        errors = iter(each if isinstance(each, RequestError) else None for each in decided)
        return AlterPartitionReassignmentsResponse(
            error_message=None,
            responses=[
                ReassignableTopicResponse(
                    name=topic.name,
                    partitions=[_result(p.partition_index, next(errors)) for p in topic.partitions],
                )
                for topic in request.topics
            ],
        )


def _read(request: AlterPartitionReassignmentsRequest) -> list[Reassignment]:
    return [
        Reassignment(
            topic.name,
            asked.partition_index,
            replicas=None if asked.replicas is None else tuple(asked.replicas),
        )
        for topic in request.topics
        for asked in topic.partitions
    ]


def _shows(item: Reassignment, cluster: ClusterState) -> bool:
    partition = cluster.partition(item.name, item.partition)
    if partition is None:
        return True
    if item.replicas is None:
        return set(partition.adding) == set(partition.removing)
    return reassign.target_of(partition) == item.replicas


def _result(index: int, error: RequestError | None) -> ReassignablePartitionResponse:
    if error is None:
        return ReassignablePartitionResponse(partition_index=index, error_message=None)
    return ReassignablePartitionResponse(
        partition_index=index, error_code=error.code, error_message=str(error)
    )


def refuse(_request: Any, code: ErrorCode, message: str) -> AlterPartitionReassignmentsResponse:
    """Answer with an error for the whole request."""
    return AlterPartitionReassignmentsResponse(error_code=code, error_message=message)
