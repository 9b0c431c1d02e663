"""The range assignor: of each topic, every member gets a run of neighbours.

Partitions of the same number in topics of the same size go to the same member.
Must never know: what members held before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from client.group.assignor import (
    Assignments,
    Assignor,
    RebalanceProtocol,
    Subscriber,
    in_order,
    no_user_data,
)
from client.records import TopicPartition


def assign_ranges(
    subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int]
) -> Assignments:
    """Cut each topic into one run per subscriber; the first runs are longer by one if need be."""
    ordered = in_order(subscribers)
    assigned: Assignments = {member.member_id: [] for member in ordered}
    for topic, count in sorted(partition_counts.items()):
        members = [member.member_id for member in ordered if topic in member.topics]
        if not members:
            continue
        length, longer = divmod(count, len(members))
        start = 0
        for index, member_id in enumerate(members):
            end = start + length + (index < longer)
            assigned[member_id] += [TopicPartition(topic, p) for p in range(start, end)]
            start = end
    return assigned


RANGE = Assignor("range", frozenset({RebalanceProtocol.EAGER}), assign_ranges, no_user_data)
