"""Metadata (3): brokers, topics, partitions and their leaders. Must never know: the cluster."""

from __future__ import annotations

from typing import Final

from protocol.message import (
    Bool,
    Int16,
    Int32,
    String,
    Uuid,
    request,
    response,
    struct,
    wire,
)

NO_AUTHORIZED_OPERATIONS: Final = -(2**31)
"""Stands for "not asked for" in a bit field of authorized operations."""


@struct
class MetadataRequestTopic:
    """A topic asked for by name, or (from version 10) by id with a null name."""

    topic_id: Uuid = wire(since=10, ignorable=True)
    name: String | None = wire(nullable_since=10, default="")


@request(key=3, versions=(0, 13), flexible_since=9)
class MetadataRequest:
    """`topics` None asks for all, and so does an empty list in version 0 (later: for none)."""

    topics: list[MetadataRequestTopic] | None = wire(nullable_since=1)
    allow_auto_topic_creation: Bool = wire(since=4, default=True)
    include_cluster_authorized_operations: Bool = wire(since=8, until=10)
    include_topic_authorized_operations: Bool = wire(since=8)


@struct
class MetadataResponseBroker:
    """A live broker and where to reach it."""

    node_id: Int32 = 0
    host: String = ""
    port: Int32 = 0
    rack: String | None = wire(since=1, default=None, ignorable=True)


@struct
class MetadataResponsePartition:
    """One partition's leader and replicas."""

    error_code: Int16 = 0
    partition_index: Int32 = 0
    leader_id: Int32 = 0
    leader_epoch: Int32 = wire(since=7, default=-1, ignorable=True)
    replica_nodes: list[Int32] = wire()
    isr_nodes: list[Int32] = wire()
    offline_replicas: list[Int32] = wire(since=5, ignorable=True)


@struct
class MetadataResponseTopic:
    """One topic; the name is null where an unknown id was asked for."""

    error_code: Int16 = 0
    name: String | None = wire(nullable_since=12, default="")
    topic_id: Uuid = wire(since=10, ignorable=True)
    is_internal: Bool = wire(since=1, ignorable=True)
    partitions: list[MetadataResponsePartition] = wire()
    topic_authorized_operations: Int32 = wire(since=8, default=NO_AUTHORIZED_OPERATIONS)


@response(key=3, versions=(0, 13), flexible_since=9)
class MetadataResponse:
    """What this broker knows of the cluster."""

    throttle_time_ms: Int32 = wire(since=3, ignorable=True)
    brokers: list[MetadataResponseBroker] = wire()
    cluster_id: String | None = wire(since=2, default=None, nullable_since=2, ignorable=True)
    controller_id: Int32 = wire(since=1, default=-1, ignorable=True)
    topics: list[MetadataResponseTopic] = wire()
    cluster_authorized_operations: Int32 = wire(since=8, until=10, default=NO_AUTHORIZED_OPERATIONS)
    error_code: Int16 = wire(since=13, ignorable=True)
