"""ListPartitionReassignments: what is being moved, as this broker knows it.

Must never know: how partitions are moved. Source: KIP-455.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coordinator import reassign
from protocol.api.list_partition_reassignments import (
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState, PartitionState
    from protocol.api.list_partition_reassignments import ListPartitionReassignmentsRequest
    from protocol.errors import ErrorCode


class ListPartitionReassignmentsHandler:
    """Reads the cluster's state: any broker can answer."""

    def __init__(self, cluster: Callable[[], ClusterState]) -> None:
        self._cluster = cluster

    def __call__(
        self, request: ListPartitionReassignmentsRequest, _context: RequestContext
    ) -> ListPartitionReassignmentsResponse:
        """Answer with what is under way of what was asked for."""
        cluster = self._cluster()
        response = ListPartitionReassignmentsResponse(error_message=None)
        for name, indexes in _asked(request, cluster):
            under_way = [
                _describe(index, partition)
                for index in indexes
                if (partition := cluster.partition(name, index)) is not None
                and reassign.is_under_way(partition)
            ]
            if under_way:
                response.topics.append(OngoingTopicReassignment(name=name, partitions=under_way))
        return response


def _asked(
    request: ListPartitionReassignmentsRequest, cluster: ClusterState
) -> Iterator[tuple[str, Iterable[int]]]:
    if request.topics is None:
        for topic in cluster.topics.values():
            yield topic.name, range(len(topic.partitions))
        return
    for asked in request.topics:
        yield asked.name, dict.fromkeys(asked.partition_indexes)


def _describe(index: int, partition: PartitionState) -> OngoingPartitionReassignment:
    coming = [r for r in partition.adding if r not in partition.removing]
    return OngoingPartitionReassignment(
        partition_index=index,
        replicas=list(partition.replicas),
        adding_replicas=coming,
        removing_replicas=list(partition.removing),
    )


def refuse(_request: Any, code: ErrorCode, message: str) -> ListPartitionReassignmentsResponse:
    """Answer with an error for the whole request."""
    return ListPartitionReassignmentsResponse(error_code=code, error_message=message)
