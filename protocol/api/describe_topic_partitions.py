"""DescribeTopicPartitions (75): topics in pages. Must never know: the cluster.

Source: KIP-966.
"""

from __future__ import annotations

from protocol.api.metadata import NO_AUTHORIZED_OPERATIONS
from protocol.message import Bool, Int16, Int32, String, Uuid, request, response, struct, wire


@struct
class TopicRequest:
    """A topic by name."""

    name: String = ""


@struct
class Cursor:
    """The first partition of a page."""

    topic_name: String = ""
    partition_index: Int32 = 0


@request(key=75, versions=(0, 0), flexible_since=0)
class DescribeTopicPartitionsRequest:
    """No topics asks for all; `cursor` is what an earlier answer gave to go on from."""

    topics: list[TopicRequest] = wire()
    response_partition_limit: Int32 = 2_000
    cursor: Cursor | None = wire(default=None)


@struct
class DescribeTopicPartitionsResponsePartition:
    """One partition's leader and replicas, the eligible ones (ELR) included."""

    error_code: Int16 = 0
    partition_index: Int32 = 0
    leader_id: Int32 = 0
    leader_epoch: Int32 = -1
    replica_nodes: list[Int32] = wire()
    isr_nodes: list[Int32] = wire()
    eligible_leader_replicas: list[Int32] | None = wire(default=None)
    last_known_elr: list[Int32] | None = wire(default=None)
    offline_replicas: list[Int32] = wire()


@struct
class DescribeTopicPartitionsResponseTopic:
    """One topic, or the part of it that fits this page."""

    error_code: Int16 = 0
    name: String | None = ""
    topic_id: Uuid = wire()
    is_internal: Bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition] = wire()
    topic_authorized_operations: Int32 = NO_AUTHORIZED_OPERATIONS


@response(key=75, versions=(0, 0), flexible_since=0)
class DescribeTopicPartitionsResponse:
    """A page; `next_cursor` is None at the end."""

    throttle_time_ms: Int32 = 0
    topics: list[DescribeTopicPartitionsResponseTopic] = wire()
    next_cursor: Cursor | None = wire(default=None)
