"""AlterPartitionReassignments (45): move replicas to other brokers. Must never know: how.

Source: KIP-455.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, struct, wire


@struct
class ReassignablePartition:
    """The replicas wanted, the preferred leader first; None ends a reassignment under way."""

    partition_index: Int32 = 0
    replicas: list[Int32] | None = wire(default=None)


@struct
class ReassignableTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[ReassignablePartition] = wire()


@request(key=45, versions=(0, 0), flexible_since=0)
class AlterPartitionReassignmentsRequest:
    """What to move where."""

    timeout_ms: Int32 = 60_000
    topics: list[ReassignableTopic] = wire()


@struct
class ReassignablePartitionResponse:
    """Whether the reassignment has begun, or ended."""

    partition_index: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = ""


@struct
class ReassignableTopicResponse:
    """One topic's partitions."""

    name: String = ""
    partitions: list[ReassignablePartitionResponse] = wire()


@response(key=45, versions=(0, 0), flexible_since=0)
class AlterPartitionReassignmentsResponse:
    """The outcome, partition by partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = ""
    responses: list[ReassignableTopicResponse] = wire()
