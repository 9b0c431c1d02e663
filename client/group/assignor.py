"""What an assignor is: how the leader of a group divides partitions among its members.

Must never know: requests, any particular assignor.
Source: KIP-429 (eager and cooperative rebalancing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from msgspec import Struct, field

from client.records import TopicPartition
from protocol.consumer_protocol import TopicPartitions, decode_assignment

NO_GENERATION = -1

Assignments = dict[str, list[TopicPartition]]
"""Partitions by member id; every member is in it, some with none."""


class RebalanceProtocol(IntEnum):
    """What a member gives up before it joins a generation: all (eager) or nothing (cooperative)."""

    EAGER = 0
    COOPERATIVE = 1


class Held(Struct, frozen=True):
    """The partitions that a member was last given, and in which generation."""

    partitions: tuple[TopicPartition, ...] = ()
    generation_id: int = NO_GENERATION


class Subscriber(Struct, frozen=True):
    """A member as the leader sees it.

    `owned` is what it still reads, as of `generation_id` (NO_GENERATION: it does not say);
    `rack_id` where it would read best (KIP-881).
    """

    member_id: str
    topics: frozenset[str]
    group_instance_id: str | None = None
    owned: tuple[TopicPartition, ...] = ()
    generation_id: int = NO_GENERATION
    user_data: bytes | None = None
    rack_id: str | None = None


class Partitions(Struct, frozen=True):
    """What is to be divided: how many partitions each existing topic has, and where these are.

    `racks` holds the racks of the replicas, by topic and partition; what is missing is in none.
    """

    counts: Mapping[str, int]
    racks: Mapping[TopicPartition, frozenset[str]] = field(default_factory=dict)

    def racks_of(self, place: TopicPartition) -> frozenset[str]:
        """Return the racks in which a partition has replicas."""
        return self.racks.get(place, frozenset())


class Assignor(Struct, frozen=True):
    """A way to divide partitions.

    `assign` gives each partition to at most one member that subscribes to its topic. `user_data`
    makes what a member tells the leader about what it held; None where it tells nothing.
    """

    name: str
    protocols: frozenset[RebalanceProtocol]
    assign: Callable[[Sequence[Subscriber], Partitions], Assignments]
    user_data: Callable[[Held], bytes | None]


def no_user_data(_held: Held) -> None:
    """Tell the leader nothing."""


def in_order(subscribers: Sequence[Subscriber]) -> list[Subscriber]:
    """Sort members so that a static one keeps its place when it returns under another member id.

    Source: KIP-345, KAFKA-8321.
    """
    return sorted(
        subscribers,
        key=lambda member: (
            member.group_instance_id is None,
            member.group_instance_id or "",
            member.member_id,
        ),
    )


def by_topic(places: Sequence[TopicPartition]) -> list[TopicPartitions]:
    """Group partitions by topic, as they go over the wire; both sorted."""
    grouped: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        grouped.setdefault(topic, []).append(partition)
    return [TopicPartitions(*entry) for entry in grouped.items()]


def places_assigned(assignment: bytes) -> tuple[TopicPartition, ...]:
    """Read what a member was assigned; each once, in order. Raises: ProtocolError."""
    return places_of(decode_assignment(assignment).assigned_partitions)


def places_of(topics: Sequence[TopicPartitions]) -> tuple[TopicPartition, ...]:
    """List partitions that came over the wire grouped by topic; each once, in order."""
    return tuple(
        dict.fromkeys(
            TopicPartition(entry.topic, partition)
            for entry in topics
            for partition in entry.partitions
        )
    )
