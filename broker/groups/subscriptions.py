"""What members of protocol type "consumer" say: which topics they want, what they were given.

Other types (Kafka Connect's) are opaque. Must never know: the group's state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.consumer_protocol import PROTOCOL_TYPE, decode_assignment, decode_subscription
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from broker.groups.group import Group


def owners(group: Group) -> dict[tuple[str, int], str]:
    """Say who reads each partition; nothing of what cannot be understood."""
    found: dict[tuple[str, int], str] = {}
    if group.protocol_type != PROTOCOL_TYPE:
        return found
    for member in group.members:
        try:
            assignment = decode_assignment(member.assignment)
        except ProtocolError:
            continue
        for topic in assignment.assigned_partitions:
            found.update(((topic.topic, index), member.member_id) for index in topic.partitions)
    return found


def subscribed_topics(group: Group) -> frozenset[str] | None:
    """Name the topics that some member reads; None where that cannot be known."""
    if group.protocol_type != PROTOCOL_TYPE:
        return None
    topics: set[str] = set()
    for member in group.members:
        try:
            topics.update(decode_subscription(member.metadata(group.protocol_name)).topics)
        except ProtocolError:
            return None
    return frozenset(topics)
