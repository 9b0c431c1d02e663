"""DescribeGroups (15): a group's state and members, and (ours) why it rebalanced.

The two tagged fields are Ottla's own: other clients never send the one and skip the other, other
brokers skip the one and never send the other (KIP-482).
Must never know: groups, what an assignment says. Source: KIP-345, KIP-430, KIP-1043 (version 6).
"""

from __future__ import annotations

from typing import Final

from protocol.api.metadata import NO_AUTHORIZED_OPERATIONS
from protocol.message import (
    Bool,
    Bytes,
    Int16,
    Int32,
    Int64,
    String,
    request,
    response,
    struct,
    wire,
)

HISTORY_TAG: Final = 10_000
"""Far above the tags that Kafka gives out one by one."""


@request(key=15, versions=(0, 6), flexible_since=5)
class DescribeGroupsRequest:
    """Which groups; `include_history` asks an Ottla broker for their last rebalances."""

    groups: list[String] = wire()
    include_authorized_operations: Bool = wire(since=3)
    include_history: Bool = wire(since=5, tag=HISTORY_TAG, ignorable=True)


@struct
class DescribedGroupMember:
    """A member; metadata and assignment are the protocol type's own."""

    member_id: String = ""
    group_instance_id: String | None = wire(since=4, default=None, ignorable=True)
    client_id: String = ""
    client_host: String = ""
    member_metadata: Bytes = b""
    member_assignment: Bytes = b""


@struct
class RebalanceCause:
    """Something that made a rebalance necessary.

    `kind` is a word (joined, left, expired, ...). `heartbeat_age_ms` is how long the member had
    been silent then, against its `session_timeout_ms`; -1 where that played no part.
    """

    kind: String = ""
    timestamp_ms: Int64 = 0
    member_id: String = ""
    group_instance_id: String | None = None
    client_id: String = ""
    client_host: String = ""
    heartbeat_age_ms: Int64 = -1
    session_timeout_ms: Int32 = -1
    reason: String | None = None


@struct
class PartitionMoves:
    """What one member gained and lost of one topic."""

    member_id: String = ""
    topic: String = ""
    gained: list[Int32] = wire()
    lost: list[Int32] = wire()


@struct
class Rebalance:
    """One rebalance: begun, and `completed_ms` -1 while it is under way."""

    generation_id: Int32 = 0
    started_ms: Int64 = 0
    completed_ms: Int64 = -1
    member_count: Int32 = 0
    leader_id: String = ""
    protocol_name: String = ""
    causes: list[RebalanceCause] = wire()
    moves: list[PartitionMoves] = wire()


@struct
class DescribedGroup:
    """One group; `history` is oldest first, kept since `history_since_ms` (0: none is kept)."""

    error_code: Int16 = 0
    error_message: String | None = wire(since=6, default=None, ignorable=True)
    group_id: String = ""
    group_state: String = ""
    protocol_type: String = ""
    protocol_data: String = ""
    members: list[DescribedGroupMember] = wire()
    authorized_operations: Int32 = wire(since=3, default=NO_AUTHORIZED_OPERATIONS, ignorable=True)
    history: list[Rebalance] = wire(since=5, tag=HISTORY_TAG, ignorable=True)
    history_since_ms: Int64 = wire(since=5, tag=HISTORY_TAG + 1, ignorable=True)


@response(key=15, versions=(0, 6), flexible_since=5)
class DescribeGroupsResponse:
    """What the groups' broker knows, group by group."""

    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    groups: list[DescribedGroup] = wire()
