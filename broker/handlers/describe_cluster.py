"""DescribeCluster: the brokers and the controller. Must never know: topics.

Source: KIP-700, KIP-1073 (fenced brokers: those known that are not live).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.handlers.authorized import CLUSTER_OPERATIONS
from broker.handlers.endpoints import controller_for_clients, endpoint_for
from protocol.api.describe_cluster import DescribeClusterBroker, DescribeClusterResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState
    from protocol.api.describe_cluster import DescribeClusterRequest

BROKERS = 1
NO_PORT = -1


class DescribeClusterHandler:
    """Shows the brokers of the latest view."""

    def __init__(self, *, broker_id: int, cluster: Callable[[], ClusterState]) -> None:
        self._broker_id = broker_id
        self._cluster = cluster

    def __call__(
        self, request: DescribeClusterRequest, context: RequestContext
    ) -> DescribeClusterResponse:
        """List brokers; controllers are brokers here and have no endpoints of their own."""
        if request.endpoint_type != BROKERS:
            return refuse(
                request,
                ErrorCode.MISMATCHED_ENDPOINT_TYPE,
                f"endpoint type {request.endpoint_type} was asked for: only brokers (1) are here",
            )
        cluster = self._cluster()
        response = DescribeClusterResponse(
            cluster_id=cluster.cluster_id,
            controller_id=controller_for_clients(cluster, self._broker_id),
        )
        for broker in cluster.brokers.values():
            endpoint = endpoint_for(broker, context.listener)
            response.brokers.append(
                DescribeClusterBroker(
                    broker_id=broker.broker_id,
                    host=endpoint.host,
                    port=endpoint.port,
                    rack=broker.rack,
                )
            )
        if request.include_fenced_brokers:
            # Where they were reached went with their registrations.
            response.brokers += [
                DescribeClusterBroker(broker_id=gone, port=NO_PORT, is_fenced=True)
                for gone in sorted(cluster.acknowledged.keys() - cluster.brokers.keys())
            ]
        if request.include_cluster_authorized_operations:
            response.cluster_authorized_operations = CLUSTER_OPERATIONS
        return response


def refuse(_request: Any, code: ErrorCode, message: str) -> DescribeClusterResponse:
    """Answer with an error and no brokers."""
    return DescribeClusterResponse(error_code=code, error_message=message)
