"""DeleteRecords (21): forget the oldest records of partitions. Must never know: the log.

Source: KIP-107.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, String, request, response, struct, wire


@struct
class DeleteRecordsPartition:
    """All below `offset` goes; -1 stands for the high watermark."""

    partition_index: Int32 = 0
    offset: Int64 = 0


@struct
class DeleteRecordsTopic:
    """One topic's partitions."""

    name: String = ""
    partitions: list[DeleteRecordsPartition] = wire()


@request(key=21, versions=(0, 2), flexible_since=2)
class DeleteRecordsRequest:
    """What to forget, and how long the replicas may take."""

    topics: list[DeleteRecordsTopic] = wire()
    timeout_ms: Int32 = 0


@struct
class DeleteRecordsPartitionResult:
    """The partition's first offset now; -1 with an error."""

    partition_index: Int32 = 0
    low_watermark: Int64 = 0
    error_code: Int16 = 0


@struct
class DeleteRecordsTopicResult:
    """One topic's partitions."""

    name: String = ""
    partitions: list[DeleteRecordsPartitionResult] = wire()


@response(key=21, versions=(0, 2), flexible_since=2)
class DeleteRecordsResponse:
    """The outcome, partition by partition."""

    throttle_time_ms: Int32 = 0
    topics: list[DeleteRecordsTopicResult] = wire()
