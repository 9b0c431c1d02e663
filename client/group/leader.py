"""What the leader of a group does: read all subscriptions, divide the partitions, write it down.

Must never know: connections, how an assignor divides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from client.group.assignor import (
    Assignor,
    Partitions,
    Subscriber,
    by_topic,
    places_assigned,
    places_of,
)
from client.records import TopicPartition
from protocol.api.sync_group import SyncGroupRequestAssignment
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    decode_subscription,
    encode_assignment,
)
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from client.metadata import Metadata
    from protocol.api.describe_groups import DescribedGroup
    from protocol.api.join_group import JoinGroupResponseMember

STABLE: Final = "Stable"


def read_subscribers(
    members: Iterable[JoinGroupResponseMember],
) -> tuple[list[Subscriber], dict[str, ProtocolError]]:
    """Read what the members want.

    One whose subscription cannot be read gets nothing, and the others their partitions: it must not
    stop the whole group.
    Returns: all members, and what is wrong with the subscriptions that cannot be read, by member.
    """
    subscribers = []
    unreadable = {}
    for member in members:
        try:
            told = decode_subscription(member.metadata)
        except ProtocolError as error:
            unreadable[member.member_id] = error
            told = ConsumerProtocolSubscription()
        subscribers.append(
            Subscriber(
                member.member_id,
                frozenset(told.topics),
                member.group_instance_id,
                places_of(told.owned_partitions),
                told.generation_id,
                told.user_data,
                told.rack_id,
            )
        )
    return subscribers, unreadable


def topics_of(subscribers: Iterable[Subscriber]) -> frozenset[str]:
    """Return all topics that any member wants."""
    return frozenset[str]().union(*(member.topics for member in subscribers))


def partitions_to_divide(counts: Mapping[str, int], metadata: Metadata) -> Partitions:
    """Find out where the partitions are, of which there are so many of each topic."""
    racks = {
        place: metadata.racks_of(*place)
        for topic, count in counts.items()
        for place in (TopicPartition(topic, partition) for partition in range(count))
    }
    return Partitions(counts, racks)


def count_assigned(group: DescribedGroup) -> dict[str, int]:
    """Count the partitions of each topic that members have; none unless the group is stable.

    Whose assignment cannot be read has nothing.
    """
    places: set[TopicPartition] = set()
    if group.group_state == STABLE:
        for member in group.members:
            with suppress(ProtocolError):
                places.update(places_assigned(member.member_assignment))
    return dict(Counter(place.topic for place in places))


def divide(
    assignor: Assignor, subscribers: Sequence[Subscriber], partitions: Partitions
) -> list[SyncGroupRequestAssignment]:
    """Divide the partitions, as they go into a SyncGroup."""
    assigned = assignor.assign(subscribers, partitions)
    return [
        SyncGroupRequestAssignment(
            member_id, encode_assignment(ConsumerProtocolAssignment(by_topic(places)))
        )
        for member_id, places in assigned.items()
    ]
