"""ListPartitionReassignments (46): what is being moved. Must never know: how.

Source: KIP-455.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, String, request, response, struct, wire


@struct
class ListPartitionReassignmentsTopics:
    """One topic's partitions."""

    name: String = ""
    partition_indexes: list[Int32] = wire()


@request(key=46, versions=(0, 0), flexible_since=0)
class ListPartitionReassignmentsRequest:
    """Which partitions; None asks for all."""

    timeout_ms: Int32 = 60_000
    topics: list[ListPartitionReassignmentsTopics] | None = wire(default=None)


@struct
class OngoingPartitionReassignment:
    """All replicas of a partition, and which of them come and go."""

    partition_index: Int32 = 0
    replicas: list[Int32] = wire()
    adding_replicas: list[Int32] = wire()
    removing_replicas: list[Int32] = wire()


@struct
class OngoingTopicReassignment:
    """One topic's partitions."""

    name: String = ""
    partitions: list[OngoingPartitionReassignment] = wire()


@response(key=46, versions=(0, 0), flexible_since=0)
class ListPartitionReassignmentsResponse:
    """The reassignments under way."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = ""
    topics: list[OngoingTopicReassignment] = wire()
