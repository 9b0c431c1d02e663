"""OffsetForLeaderEpoch (23): where an epoch ended in the leader's log, for truncation.

Must never know: logs. Source: KIP-101, KIP-279, KIP-320.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, String, request, response, struct, wire


@struct
class OffsetForLeaderPartition:
    """`leader_epoch` is asked about, `current_leader_epoch` fences the question."""

    partition: Int32 = 0
    current_leader_epoch: Int32 = -1
    leader_epoch: Int32 = 0


@struct
class OffsetForLeaderTopic:
    """One topic's partitions."""

    topic: String = ""
    partitions: list[OffsetForLeaderPartition] = wire()


@request(key=23, versions=(2, 4), flexible_since=4)
class OffsetForLeaderEpochRequest:
    """`replica_id` is -1 for a consumer, -2 unknown."""

    replica_id: Int32 = wire(since=3, default=-2, ignorable=True)
    topics: list[OffsetForLeaderTopic] = wire()


@struct
class EpochEndOffset:
    """The largest epoch at or below the one asked about, and its end; -1, -1 if unknown."""

    error_code: Int16 = 0
    partition: Int32 = 0
    leader_epoch: Int32 = -1
    end_offset: Int64 = -1


@struct
class OffsetForLeaderTopicResult:
    """One topic's partitions."""

    topic: String = ""
    partitions: list[EpochEndOffset] = wire()


@response(key=23, versions=(2, 4), flexible_since=4)
class OffsetForLeaderEpochResponse:
    """The ends, partition by partition."""

    throttle_time_ms: Int32 = 0
    topics: list[OffsetForLeaderTopicResult] = wire()
