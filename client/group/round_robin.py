"""The round-robin assignor: all partitions of all topics are dealt out like cards.

Must never know: what members held before.
"""

from __future__ import annotations

from collections.abc import Sequence

from client.group.assignor import (
    Assignments,
    Assignor,
    Partitions,
    RebalanceProtocol,
    Subscriber,
    in_order,
    no_user_data,
)
from client.records import TopicPartition


def assign_round_robin(subscribers: Sequence[Subscriber], partitions: Partitions) -> Assignments:
    """Deal partitions out in turn, passing over members that do not subscribe to the topic."""
    ordered = in_order(subscribers)
    assigned: Assignments = {member.member_id: [] for member in ordered}
    wanted = {topic for member in ordered for topic in member.topics}
    turn = 0
    for topic in sorted(wanted & partitions.counts.keys()):
        for partition in range(partitions.counts[topic]):
            while topic not in ordered[turn % len(ordered)].topics:
                turn += 1
            assigned[ordered[turn % len(ordered)].member_id].append(
                TopicPartition(topic, partition)
            )
            turn += 1
    return assigned


ROUND_ROBIN = Assignor(
    "roundrobin", frozenset({RebalanceProtocol.EAGER}), assign_round_robin, no_user_data
)
