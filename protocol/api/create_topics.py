"""CreateTopics (19). Must never know: how replicas are placed."""

from __future__ import annotations

from protocol.message import (
    Bool,
    Int8,
    Int16,
    Int32,
    String,
    Uuid,
    request,
    response,
    struct,
    wire,
)


@struct
class CreatableReplicaAssignment:
    """One partition's replicas, chosen by the caller."""

    partition_index: Int32 = 0
    broker_ids: list[Int32] = wire()


@struct
class CreatableTopicConfig:
    """One setting of the new topic."""

    name: String = ""
    value: String | None = ""


@struct
class CreatableTopic:
    """Partitions and replication factor are -1 for the broker's default or given assignments."""

    name: String = ""
    num_partitions: Int32 = 0
    replication_factor: Int16 = 0
    assignments: list[CreatableReplicaAssignment] = wire()
    configs: list[CreatableTopicConfig] = wire()


@request(key=19, versions=(2, 7), flexible_since=5)
class CreateTopicsRequest:
    """`validate_only` checks and creates nothing."""

    topics: list[CreatableTopic] = wire()
    timeout_ms: Int32 = 60_000
    validate_only: Bool = False


@struct
class CreatableTopicConfigs:
    """One setting that the topic ended up with."""

    name: String = ""
    value: String | None = ""
    read_only: Bool = False
    config_source: Int8 = -1
    is_sensitive: Bool = False


@struct
class CreatableTopicResult:
    """The outcome for one topic."""

    name: String = ""
    topic_id: Uuid = wire(since=7, ignorable=True)
    error_code: Int16 = 0
    error_message: String | None = ""
    topic_config_error_code: Int16 = wire(since=5, tag=0, ignorable=True)
    num_partitions: Int32 = wire(since=5, default=-1, ignorable=True)
    replication_factor: Int16 = wire(since=5, default=-1, ignorable=True)
    configs: list[CreatableTopicConfigs] | None = wire(since=5, ignorable=True)


@response(key=19, versions=(2, 7), flexible_since=5)
class CreateTopicsResponse:
    """The outcome, topic by topic."""

    throttle_time_ms: Int32 = 0
    topics: list[CreatableTopicResult] = wire()
