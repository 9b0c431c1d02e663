"""ElectLeaders (43): have leaders elected now. Must never know: who is elected.

Source: KIP-183 (preferred), KIP-460 (unclean).
"""

from __future__ import annotations

from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire


@struct
class TopicPartitions:
    """One topic's partitions."""

    topic: String = ""
    partitions: list[Int32] = wire()


@request(key=43, versions=(0, 2), flexible_since=2)
class ElectLeadersRequest:
    """`election_type` is 0 preferred or 1 unclean; `topic_partitions` None asks for all."""

    election_type: Int8 = wire(since=1)
    topic_partitions: list[TopicPartitions] | None = wire()
    timeout_ms: Int32 = 60_000


@struct
class PartitionResult:
    """The outcome for one partition."""

    partition_id: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = ""


@struct
class ReplicaElectionResult:
    """One topic's partitions."""

    topic: String = ""
    partition_result: list[PartitionResult] = wire()


@response(key=43, versions=(0, 2), flexible_since=2)
class ElectLeadersResponse:
    """The outcome, partition by partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = wire(since=1, ignorable=True)
    replica_election_results: list[ReplicaElectionResult] = wire()
