"""OffsetDelete (47): forget a group's positions in some partitions. Must never know: groups.

Never flexible. Source: KIP-496.
"""

from __future__ import annotations

from protocol.message import VERSION_MAX, Int16, Int32, String, request, response, struct, wire


@struct
class OffsetDeleteRequestPartition:
    """One partition."""

    partition_index: Int32 = 0


@struct
class OffsetDeleteRequestTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[OffsetDeleteRequestPartition] = wire()


@request(key=47, versions=(0, 0), flexible_since=VERSION_MAX)
class OffsetDeleteRequest:
    """Which positions."""

    group_id: String = ""
    topics: list[OffsetDeleteRequestTopic] = wire()


@struct
class OffsetDeleteResponsePartition:
    """The outcome for one partition."""

    partition_index: Int32 = 0
    error_code: Int16 = 0


@struct
class OffsetDeleteResponseTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[OffsetDeleteResponsePartition] = wire()


@response(key=47, versions=(0, 0), flexible_since=VERSION_MAX)
class OffsetDeleteResponse:
    """The outcome for the group, and partition by partition."""

    error_code: Int16 = 0
    throttle_time_ms: Int32 = 0
    topics: list[OffsetDeleteResponseTopic] = wire()
