"""ElectLeaders: preferred leaders, or any leader where there is none.

Must never know: who is elected. Source: KIP-183, KIP-460.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from broker.handlers.control import is_from_broker
from coordinator.cluster import NO_LEADER
from protocol.api.elect_leaders import ElectLeadersResponse, PartitionResult, ReplicaElectionResult
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker.dispatch import RequestContext
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState
    from protocol.api.elect_leaders import ElectLeadersRequest


class ElectionType(IntEnum):
    """Which leaders are wanted. Source: KIP-460."""

    PREFERRED = 0
    UNCLEAN = 1


class ElectLeadersHandler:
    """Has leaders elected."""

    def __init__(self, control: Control, *, cluster: Callable[[], ClusterState]) -> None:
        self._control = control
        self._cluster = cluster

    async def __call__(
        self, request: ElectLeadersRequest, context: RequestContext
    ) -> ElectLeadersResponse:
        """Answer once the leaders lead: one that hands over takes its time."""

        def shows(response: ElectLeadersResponse, cluster: ClusterState) -> bool:
            return not any(_pending(response, request, cluster))

        response = await self._control.carry_out(request, context, self._carry_out, shows=shows)
        if not is_from_broker(context):
            for result in _pending(response, request, self._cluster()):
                result.error_code = ErrorCode.REQUEST_TIMED_OUT
                result.error_message = "the leader has not handed over yet: look again later"
        return response

    async def _carry_out(self, request: ElectLeadersRequest) -> ElectLeadersResponse:
        if request.election_type not in [*ElectionType]:
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"election type {request.election_type} is unknown: 0 is preferred, 1 is unclean",
            )
        wanted = None
        if request.topic_partitions is not None:
            wanted = [(t.topic, index) for t in request.topic_partitions for index in t.partitions]
        outcomes = await self._control.controller().elect_leaders(
            wanted, unclean=request.election_type == ElectionType.UNCLEAN
        )
        by_topic: dict[str, list[PartitionResult]] = {}
        for (name, index), outcome in outcomes.items():
            result = PartitionResult(partition_id=index, error_message=None)
            if isinstance(outcome, RequestError):
                result.error_code, result.error_message = outcome.code, str(outcome)
            if wanted is not None or result.error_code != ErrorCode.ELECTION_NOT_NEEDED:
                by_topic.setdefault(name, []).append(result)
        return ElectLeadersResponse(
            replica_election_results=[
                ReplicaElectionResult(topic=name, partition_result=results)
                for name, results in by_topic.items()
            ]
        )


def _pending(
    response: ElectLeadersResponse, request: ElectLeadersRequest, cluster: ClusterState
) -> Iterator[PartitionResult]:
    """Find what was granted and does not show in the cluster yet."""
    for topic in response.replica_election_results:
        for result in topic.partition_result:
            partition = cluster.partition(topic.topic, result.partition_id)
            if result.error_code != ErrorCode.NONE or partition is None:
                continue
            is_unclean = request.election_type == ElectionType.UNCLEAN
            wanted = partition.leader_id if is_unclean else partition.replicas[0]
            if wanted == NO_LEADER or partition.leader_id != wanted:
                yield result


def refuse(request: ElectLeadersRequest, code: ErrorCode, message: str) -> ElectLeadersResponse:
    """Answer with an error for the whole request, and for each partition that it names."""
    return ElectLeadersResponse(
        error_code=code,
        replica_election_results=[
            ReplicaElectionResult(
                topic=topic.topic,
                partition_result=[
                    PartitionResult(partition_id=index, error_code=code, error_message=message)
                    for index in topic.partitions
                ],
            )
            for topic in request.topic_partitions or ()
        ],
    )
