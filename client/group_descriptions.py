"""What an admin tells of groups: states, members, why they rebalanced.

Must never know: requests, connections, where offsets are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from client.records import TopicPartition


class ListedGroup(Struct, frozen=True):
    """A group and the broker that keeps it; `state` and `kind` are empty where it is too old."""

    group_id: str
    protocol_type: str
    state: str
    kind: str
    coordinator_id: int


class GroupMember(Struct, frozen=True):
    """A member and what it was assigned (nothing where the group shares out something else)."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    assignment: tuple[TopicPartition, ...]


class RebalanceCause(Struct, frozen=True):
    """Something that made a rebalance necessary.

    `kind` is a word (joined, left, expired, ...); the heartbeat's age and the session timeout, in
    ms, are -1 where they played no part.
    """

    kind: str
    timestamp_ms: int
    member_id: str = ""
    group_instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    heartbeat_age_ms: int = -1
    session_timeout_ms: int = -1
    reason: str | None = None


class PartitionMoves(Struct, frozen=True):
    """What one member gained and lost of one topic."""

    member_id: str
    topic: str
    gained: tuple[int, ...]
    lost: tuple[int, ...]


class Rebalance(Struct, frozen=True):
    """One rebalance, into `generation_id`; `completed_ms` is -1 while it is under way."""

    generation_id: int
    started_ms: int
    completed_ms: int
    member_count: int
    leader_id: str
    protocol_name: str
    causes: tuple[RebalanceCause, ...]
    moves: tuple[PartitionMoves, ...]


class GroupHistory(Struct, frozen=True):
    """The last rebalances of a group, oldest first; none is known from before `since_ms`."""

    since_ms: int
    rebalances: tuple[Rebalance, ...]


class GroupDescription(Struct, frozen=True):
    """A group; `protocol_name` is the assignor that its members agreed on.

    `history` is None where it was not asked for, or the broker keeps none (it is not Ottla's).
    """

    group_id: str
    state: str
    protocol_type: str
    protocol_name: str
    coordinator_id: int
    members: tuple[GroupMember, ...]
    history: GroupHistory | None = None
