"""Fetch (1): read record batches, for consumers and followers. Must never know: what a batch holds.

Source: KIP-227 (sessions), KIP-320 (leader epochs), KIP-392 (racks), KIP-516 (topic ids, from
version 13), KIP-595 (diverging epochs), KIP-903 (replica state, from version 15), KIP-951.
"""

from __future__ import annotations

from typing import Final

from protocol.message import (
    Int8,
    Int16,
    Int32,
    Int64,
    Records,
    String,
    Uuid,
    request,
    response,
    struct,
    wire,
)

REPLICATED_TAG: Final = 10_000
"""Far from Kafka's own, which are numbered from 0."""


@struct
class ReplicaState:
    """Which follower fetches, and in which of its registrations."""

    replica_id: Int32 = -1
    replica_epoch: Int64 = -1


@struct
class FetchPartition:
    """What is wanted of one partition."""

    partition: Int32 = 0
    current_leader_epoch: Int32 = wire(since=9, default=-1, ignorable=True)
    fetch_offset: Int64 = 0
    last_fetched_epoch: Int32 = wire(since=12, default=-1)
    log_start_offset: Int64 = wire(since=5, default=-1, ignorable=True)
    partition_max_bytes: Int32 = 0
    replica_directory_id: Uuid = wire(since=17, tag=0, ignorable=True)


@struct
class FetchTopic:
    """One topic, by name until version 12 and by id after."""

    topic: String = wire(until=12, ignorable=True)
    topic_id: Uuid = wire(since=13, ignorable=True)
    partitions: list[FetchPartition] = wire()


@struct
class ForgottenTopic:
    """Partitions to drop from a fetch session."""

    topic: String = wire(since=7, until=12, ignorable=True)
    topic_id: Uuid = wire(since=13, ignorable=True)
    partitions: list[Int32] = wire(since=7)


@request(key=1, versions=(4, 17), flexible_since=12)
class FetchRequest:
    """`replica_id` says who fetches until version 14, `replica_state` (None: a consumer) after."""

    cluster_id: String | None = wire(since=12, tag=0, default=None, ignorable=True)
    replica_id: Int32 = wire(until=14, default=-1)
    replica_state: ReplicaState | None = wire(since=15, tag=1)
    max_wait_ms: Int32 = 0
    min_bytes: Int32 = 0
    max_bytes: Int32 = 0x7FFFFFFF
    isolation_level: Int8 = 0
    session_id: Int32 = wire(since=7, ignorable=True)
    session_epoch: Int32 = wire(since=7, default=-1, ignorable=True)
    topics: list[FetchTopic] = wire()
    forgotten_topics_data: list[ForgottenTopic] = wire(since=7)
    rack_id: String = wire(since=11, ignorable=True)


@struct
class EpochEndOffset:
    """The largest epoch known to the leader at or below the follower's, and where it ends."""

    epoch: Int32 = -1
    end_offset: Int64 = -1


@struct
class LeaderIdAndEpoch:
    """Who leads the partition now."""

    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


@struct
class SnapshotId:
    """A snapshot of the log to fetch instead (KRaft's metadata log alone)."""

    end_offset: Int64 = -1
    epoch: Int32 = -1


@struct
class AbortedTransaction:
    """A transaction whose records, from `first_offset` on, read_committed must skip."""

    producer_id: Int64 = 0
    first_offset: Int64 = 0


@struct
class PartitionData:
    """One partition's batches, and how far it goes.

    `replicated_end_offset` is ours, for followers alone: the offset below which every replica has
    everything, in sync or not; -1 where the leader does not know.
    """

    partition_index: Int32 = 0
    error_code: Int16 = 0
    high_watermark: Int64 = 0
    last_stable_offset: Int64 = -1
    log_start_offset: Int64 = wire(since=5, default=-1, ignorable=True)
    diverging_epoch: EpochEndOffset | None = wire(since=12, tag=0)
    current_leader: LeaderIdAndEpoch | None = wire(since=12, tag=1, ignorable=True)
    snapshot_id: SnapshotId | None = wire(since=12, tag=2)
    aborted_transactions: list[AbortedTransaction] | None = wire()
    preferred_read_replica: Int32 = wire(since=11, default=-1)
    records: Records | None = None
    replicated_end_offset: Int64 = wire(since=12, tag=REPLICATED_TAG, default=-1, ignorable=True)


@struct
class FetchableTopicResponse:
    """One topic, by name until version 12 and by id after."""

    topic: String = wire(until=12, ignorable=True)
    topic_id: Uuid = wire(since=13, ignorable=True)
    partitions: list[PartitionData] = wire()


@struct
class NodeEndpoint:
    """Where a leader named in the response can be reached."""

    node_id: Int32 = 0
    host: String = ""
    port: Int32 = 0
    rack: String | None = None


@response(key=1, versions=(4, 17), flexible_since=12)
class FetchResponse:
    """What there was; `session_id` 0 declines a session."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = wire(since=7, ignorable=True)
    session_id: Int32 = wire(since=7)
    responses: list[FetchableTopicResponse] = wire()
    node_endpoints: list[NodeEndpoint] = wire(since=16, tag=0, ignorable=True)
