"""OffsetCommit (8): keep a group's positions. Must never know: groups, where offsets are kept."""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, String, request, response, struct, wire


@struct
class OffsetCommitRequestPartition:
    """The next offset to read, and the leader epoch of the record before it."""

    partition_index: Int32 = 0
    committed_offset: Int64 = 0
    committed_leader_epoch: Int32 = wire(since=6, default=-1, ignorable=True)
    committed_metadata: String | None = ""


@struct
class OffsetCommitRequestTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[OffsetCommitRequestPartition] = wire()


@request(key=8, versions=(2, 9), flexible_since=8)
class OffsetCommitRequest:
    """Generation -1 and an empty member: a commit without group membership."""

    group_id: String = ""
    generation_id_or_member_epoch: Int32 = -1
    member_id: String = ""
    group_instance_id: String | None = wire(since=7, default=None)
    retention_time_ms: Int64 = wire(until=4, default=-1, ignorable=True)
    topics: list[OffsetCommitRequestTopic] = wire()


@struct
class OffsetCommitResponsePartition:
    """Whether the offset was kept."""

    partition_index: Int32 = 0
    error_code: Int16 = 0


@struct
class OffsetCommitResponseTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[OffsetCommitResponsePartition] = wire()


@response(key=8, versions=(2, 9), flexible_since=8)
class OffsetCommitResponse:
    """The outcome, partition by partition."""

    throttle_time_ms: Int32 = wire(since=3, ignorable=True)
    topics: list[OffsetCommitResponseTopic] = wire()
