"""The range assignor: of each topic, every member gets a run of neighbours.

Partitions of the same number in topics of the same size go to the same member. As far as that and
equal shares allow, a member gets partitions with a replica in its rack; then runs have gaps.
Must never know: what members held before.
Source: KIP-881 (racks). The result is Java's RangeAssignor's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

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


class _Topic:
    """One topic while it is divided; `members` holds the racks of those who read it, in order."""

    def __init__(self, members: Mapping[str, str | None], racks: Sequence[frozenset[str]]) -> None:
        self.members = members
        self.racks = racks
        self.given: dict[str, list[int]] = {member_id: [] for member_id in members}
        self._left = dict.fromkeys(range(len(racks)))
        self._length, self._longer = divmod(len(racks), len(members))

    @property
    def needs_racks(self) -> bool:
        """Say whether it matters to any member which partition it gets."""
        of_replicas = frozenset[str]().union(*self.racks)
        return not of_replicas.isdisjoint(filter(None, self.members.values())) and any(
            racks != of_replicas for racks in self.racks
        )

    def room_of(self, member_id: str) -> int:
        """Return how many more partitions a member may get."""
        return max(0, self._length + (self._longer > 0) - len(self.given[member_id]))

    def suits(self, member_id: str, partition: int) -> bool:
        """Say whether a partition has a replica in a member's rack, if that has one."""
        rack = self.members[member_id]
        return rack is None or rack in self.racks[partition]

    def give(self, member_id: str, partitions: Iterable[int]) -> None:
        """Give partitions to a member that has room for them."""
        given = self.given[member_id]
        had = len(given)
        given += partitions
        for partition in given[had:]:
            del self._left[partition]
        self._longer -= had <= self._length < len(given)

    def give_runs(self, suits: Callable[[str, int], bool]) -> None:
        """Give each member in turn what is left and suits it, as far as it has room."""
        for member_id in self.members:
            suitable = (partition for partition in self._left if suits(member_id, partition))
            self.give(member_id, list(islice(suitable, self.room_of(member_id))))


def assign_ranges(subscribers: Sequence[Subscriber], partitions: Partitions) -> Assignments:
    """Cut each topic into one run per subscriber; the first runs are longer by one if need be."""
    ordered = in_order(subscribers)
    topics: dict[str, _Topic] = {}
    for name, count in sorted(partitions.counts.items()):
        members = {m.member_id: m.rack_id or None for m in ordered if name in m.topics}
        if members:
            racks = [partitions.racks_of(TopicPartition(name, p)) for p in range(count)]
            topics[name] = _Topic(members, racks)
    if any(topic.needs_racks for topic in topics.values()):
        _give_by_rack(topics.values())
    assigned: Assignments = {member.member_id: [] for member in ordered}
    for name, topic in topics.items():
        topic.give_runs(lambda _member_id, _partition: True)
        for member_id, given in topic.given.items():
            assigned[member_id] += [TopicPartition(name, p) for p in sorted(given)]
    return assigned


def _give_by_rack(topics: Iterable[_Topic]) -> None:
    """Give what has a replica in its reader's rack."""
    alike: dict[tuple[tuple[str, ...], int], list[_Topic]] = {}
    for topic in topics:
        if any(topic.members.values()):
            alike.setdefault((tuple(topic.members), len(topic.racks)), []).append(topic)
    for group in alike.values():
        if len(group) > 1:
            _give_together(group)
        elif group[0].needs_racks:
            group[0].give_runs(group[0].suits)


def _give_together(topics: Sequence[_Topic]) -> None:
    """Give partitions of one number, of topics of the same size and readers, to one member."""
    members = topics[0].members
    for partition in range(len(topics[0].racks)):
        for member_id in members:
            if all(t.room_of(member_id) and t.suits(member_id, partition) for t in topics):
                for topic in topics:
                    topic.give(member_id, [partition])
                break


RANGE = Assignor("range", frozenset({RebalanceProtocol.EAGER}), assign_ranges, no_user_data)
