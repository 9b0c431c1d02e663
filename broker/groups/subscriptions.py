"""What members of protocol type "consumer" say: which topics they want, what they were given.

Other types (Kafka Connect's) are opaque. Must never know: the group's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol.consumer_protocol import (
    PROTOCOL_TYPE,
    TopicPartitions,
    decode_assignment,
    decode_subscribed_topics,
    decode_subscription,
)
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.groups.group import Group
    from broker.groups.member import Member

ASSIGNMENTS_BYTES_MAX: Final = 128 * 1024
"""Of one group; 30,000 partitions fit. Reading more would keep the broker from its other work."""

SUBSCRIPTIONS_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one group. Reading more would keep the broker from its other work, for seconds."""


def owners(group: Group) -> dict[tuple[str, int], str]:
    """Say who reads each partition; nothing of what cannot be understood, or is too much."""
    found: dict[tuple[str, int], str] = {}
    size_bytes = sum(len(member.assignment) for member in group.members)
    if group.protocol_type != PROTOCOL_TYPE or size_bytes > ASSIGNMENTS_BYTES_MAX:
        return found
    for member in group.members:
        try:
            assignment = decode_assignment(member.assignment)
        except ProtocolError:
            continue
        found |= dict.fromkeys(_places(assignment.assigned_partitions), member.member_id)
    return found


def has_to_give_up(group: Group, member: Member) -> bool:
    """Say whether a member held partitions when it joined that it was not assigned again.

    Others get them only once it has joined anew, without them (KIP-429).
    """
    if group.protocol_type != PROTOCOL_TYPE:
        return False
    try:
        held = decode_subscription(member.metadata(group.protocol_name)).owned_partitions
        given = decode_assignment(member.assignment).assigned_partitions
    except ProtocolError:
        return False
    return not {*_places(held)} <= {*_places(given)}


def subscribed_topics(group: Group) -> frozenset[str] | None:
    """Name the topics that some member reads; None where that cannot be known, or is too much."""
    size_bytes = sum(len(member.metadata(group.protocol_name)) for member in group.members)
    if size_bytes > SUBSCRIPTIONS_BYTES_MAX:
        return None
    topics: set[str] = set()
    for member in group.members:
        said = topics_of(group, member)
        if said is None:
            return None
        topics |= said
    return frozenset(topics)


def topics_of(group: Group, member: Member) -> frozenset[str] | None:
    """Name the topics that one member wants to read; None where that cannot be known."""
    if group.protocol_type != PROTOCOL_TYPE:
        return None
    try:
        return frozenset(decode_subscribed_topics(member.metadata(group.protocol_name)))
    except ProtocolError:
        return None


def _places(topics: Iterable[TopicPartitions]) -> Iterator[tuple[str, int]]:
    return ((topic.topic, index) for topic in topics for index in topic.partitions)
