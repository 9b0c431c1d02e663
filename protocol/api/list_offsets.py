"""ListOffsets (2): offsets by timestamp, or of the ends of a log. Must never know: the log."""

from __future__ import annotations

from protocol.message import Int8, Int16, Int32, Int64, String, request, response, struct, wire


@struct
class ListOffsetsPartition:
    """`timestamp` in ms; -1 asks for the end, -2 for the start, -3 for the largest timestamp."""

    partition_index: Int32 = 0
    current_leader_epoch: Int32 = wire(since=4, default=-1, ignorable=True)
    timestamp: Int64 = 0


@struct
class ListOffsetsTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[ListOffsetsPartition] = wire()


@request(key=2, versions=(1, 10), flexible_since=6)
class ListOffsetsRequest:
    """`isolation_level` 1 (read_committed) makes "the end" the last stable offset."""

    replica_id: Int32 = 0
    isolation_level: Int8 = wire(since=2)
    topics: list[ListOffsetsTopic] = wire()
    timeout_ms: Int32 = wire(since=10, ignorable=True)


@struct
class ListOffsetsPartitionResponse:
    """The first record at or after the timestamp asked for; -1, -1 where there is none."""

    partition_index: Int32 = 0
    error_code: Int16 = 0
    timestamp: Int64 = -1
    offset: Int64 = -1
    leader_epoch: Int32 = wire(since=4, default=-1, ignorable=True)


@struct
class ListOffsetsTopicResponse:
    """One topic's partitions."""

    name: String = ""
    partitions: list[ListOffsetsPartitionResponse] = wire()


@response(key=2, versions=(1, 10), flexible_since=6)
class ListOffsetsResponse:
    """The offsets, partition by partition."""

    throttle_time_ms: Int32 = wire(since=2, ignorable=True)
    topics: list[ListOffsetsTopicResponse] = wire()
