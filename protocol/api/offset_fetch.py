"""OffsetFetch (9): a group's kept positions; of several groups at once from version 8.

Must never know: groups, where offsets are kept.
"""

from __future__ import annotations

from protocol.message import Bool, Int16, Int32, Int64, String, request, response, struct, wire


@struct
class OffsetFetchRequestTopic:
    """One topic's partitions (until version 7)."""

    name: String = ""
    partition_indexes: list[Int32] = wire()


@struct
class OffsetFetchRequestTopics:
    """One topic's partitions (from version 8)."""

    name: String = ""
    partition_indexes: list[Int32] = wire()


@struct
class OffsetFetchRequestGroup:
    """One group; `topics` None asks for all."""

    group_id: String = ""
    member_id: String | None = wire(since=9, default=None, ignorable=True)
    member_epoch: Int32 = wire(since=9, default=-1, ignorable=True)
    topics: list[OffsetFetchRequestTopics] | None = wire()


@request(key=9, versions=(1, 9), flexible_since=6)
class OffsetFetchRequest:
    """One group in `group_id` and `topics` (None asks for all) until version 7, `groups` after."""

    group_id: String = wire(until=7)
    topics: list[OffsetFetchRequestTopic] | None = wire(until=7, nullable_since=2)
    groups: list[OffsetFetchRequestGroup] = wire(since=8)
    require_stable: Bool = wire(since=7)


@struct
class OffsetFetchResponsePartition:
    """What was committed (until version 7); offset -1 where nothing was."""

    partition_index: Int32 = 0
    committed_offset: Int64 = 0
    committed_leader_epoch: Int32 = wire(since=5, default=-1, ignorable=True)
    metadata: String | None = ""
    error_code: Int16 = 0


@struct
class OffsetFetchResponseTopic:
    """One topic's partitions (until version 7)."""

    name: String = ""
    partitions: list[OffsetFetchResponsePartition] = wire()


@struct
class OffsetFetchResponsePartitions:
    """What was committed (from version 8); offset -1 where nothing was."""

    partition_index: Int32 = 0
    committed_offset: Int64 = 0
    committed_leader_epoch: Int32 = -1
    metadata: String | None = ""
    error_code: Int16 = 0


@struct
class OffsetFetchResponseTopics:
    """One topic's partitions (from version 8)."""

    name: String = ""
    partitions: list[OffsetFetchResponsePartitions] = wire()


@struct
class OffsetFetchResponseGroup:
    """One group's offsets."""

    group_id: String = ""
    topics: list[OffsetFetchResponseTopics] = wire()
    error_code: Int16 = 0


@response(key=9, versions=(1, 9), flexible_since=6)
class OffsetFetchResponse:
    """One group's offsets in `topics` until version 7, every group's in `groups` after."""

    throttle_time_ms: Int32 = wire(since=3, ignorable=True)
    topics: list[OffsetFetchResponseTopic] = wire(until=7)
    error_code: Int16 = wire(since=2, until=7, ignorable=True)
    groups: list[OffsetFetchResponseGroup] = wire(since=8)
