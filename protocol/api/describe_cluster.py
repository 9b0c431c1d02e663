"""DescribeCluster (60): the brokers and the controller. Must never know: the cluster.

Source: KIP-700, KIP-919 (endpoint types), KIP-1073 (fenced brokers).
"""

from __future__ import annotations

from protocol.api.metadata import NO_AUTHORIZED_OPERATIONS
from protocol.message import Bool, Int8, Int16, Int32, String, request, response, struct, wire


@request(key=60, versions=(0, 2), flexible_since=0)
class DescribeClusterRequest:
    """`endpoint_type` is 1 for brokers, 2 for controllers; fenced brokers are not live."""

    include_cluster_authorized_operations: Bool = False
    endpoint_type: Int8 = wire(since=1, default=1)
    include_fenced_brokers: Bool = wire(since=2)


@struct
class DescribeClusterBroker:
    """A broker and where to reach it."""

    broker_id: Int32 = 0
    host: String = ""
    port: Int32 = 0
    rack: String | None = None
    is_fenced: Bool = wire(since=2, ignorable=True)


@response(key=60, versions=(0, 2), flexible_since=0)
class DescribeClusterResponse:
    """What this broker knows of the cluster."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = None
    endpoint_type: Int8 = wire(since=1, default=1)
    cluster_id: String = ""
    controller_id: Int32 = -1
    brokers: list[DescribeClusterBroker] = wire()
    cluster_authorized_operations: Int32 = NO_AUTHORIZED_OPERATIONS
