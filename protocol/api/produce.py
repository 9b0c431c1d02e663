"""Produce (0): append record batches to partitions. Must never know: what a batch holds."""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, Records, String, request, response, struct, wire


@struct
class PartitionProduceData:
    """One partition's batches; `records` is a view into the frame."""

    index: Int32 = 0
    records: Records | None = None


@struct
class TopicProduceData:
    """One topic's partitions."""

    name: String = ""
    partition_data: list[PartitionProduceData] = wire()


@request(key=0, versions=(3, 12), flexible_since=9)
class ProduceRequest:
    """`acks` is 0 (no response), 1 (the leader) or -1 (every in-sync replica)."""

    transactional_id: String | None = None
    acks: Int16 = 0
    timeout_ms: Int32 = 0
    topic_data: list[TopicProduceData] = wire()


@struct
class BatchIndexAndErrorMessage:
    """Why one record of a refused batch was refused."""

    batch_index: Int32 = 0
    batch_index_error_message: String | None = None


@struct
class LeaderIdAndEpoch:
    """Who leads the partition now (KIP-951)."""

    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


@struct
class NodeEndpoint:
    """Where a leader named in the response can be reached (KIP-951)."""

    node_id: Int32 = 0
    host: String = ""
    port: Int32 = 0
    rack: String | None = None


@struct
class PartitionProduceResponse:
    """What became of one partition's batches."""

    index: Int32 = 0
    error_code: Int16 = 0
    base_offset: Int64 = 0
    log_append_time_ms: Int64 = -1
    log_start_offset: Int64 = wire(since=5, default=-1, ignorable=True)
    record_errors: list[BatchIndexAndErrorMessage] = wire(since=8, ignorable=True)
    error_message: String | None = wire(since=8, default=None, ignorable=True)
    current_leader: LeaderIdAndEpoch | None = wire(since=10, tag=0, ignorable=True)


@struct
class TopicProduceResponse:
    """One topic's partitions."""

    name: String = ""
    partition_responses: list[PartitionProduceResponse] = wire()


@response(key=0, versions=(3, 12), flexible_since=9)
class ProduceResponse:
    """The outcome, partition by partition."""

    responses: list[TopicProduceResponse] = wire()
    throttle_time_ms: Int32 = 0
    node_endpoints: list[NodeEndpoint] = wire(since=10, tag=0, ignorable=True)
