"""DescribeLogDirs (35): how much of a broker's disk each replica takes. Must never know: files.

Source: KIP-113, KIP-827 (total and usable bytes).
"""

from __future__ import annotations

from protocol.message import Bool, Int16, Int32, Int64, String, request, response, struct, wire


@struct
class DescribableLogDirTopic:
    """One topic's partitions."""

    topic: String = ""
    partitions: list[Int32] = wire()


@request(key=35, versions=(1, 4), flexible_since=2)
class DescribeLogDirsRequest:
    """Which replicas; None asks for all."""

    topics: list[DescribableLogDirTopic] | None = wire()


@struct
class DescribeLogDirsPartition:
    """One replica; `offset_lag` is how far it is behind the high watermark."""

    partition_index: Int32 = 0
    partition_size: Int64 = 0
    offset_lag: Int64 = 0
    is_future_key: Bool = False


@struct
class DescribeLogDirsTopic:
    """One topic's replicas."""

    name: String = ""
    partitions: list[DescribeLogDirsPartition] = wire()


@struct
class DescribeLogDirsResult:
    """One data directory; bytes are of its volume, -1 where unknown."""

    error_code: Int16 = 0
    log_dir: String = ""
    topics: list[DescribeLogDirsTopic] = wire()
    total_bytes: Int64 = wire(since=4, default=-1, ignorable=True)
    usable_bytes: Int64 = wire(since=4, default=-1, ignorable=True)


@response(key=35, versions=(1, 4), flexible_since=2)
class DescribeLogDirsResponse:
    """The data directories of the broker that was asked."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = wire(since=3, ignorable=True)
    results: list[DescribeLogDirsResult] = wire()
