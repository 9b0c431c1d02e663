"""The balance that both sticky assignors strike: even loads, and no partition moves without need.

Loads are even when no partition can go to another subscriber of its topic that has at least two
partitions fewer.
Must never know: how members tell what they held, rebalance protocols.
Source: KIP-54, KIP-341 (of two claims to a partition the one of the later generation counts).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from client.group.assignor import Assignments, Held, Subscriber, in_order
from client.records import TopicPartition


class Claims(Struct, frozen=True):
    """Who says to hold a partition: `owners` by the latest generation, `former` by earlier ones."""

    owners: dict[TopicPartition, list[str]] = field(default_factory=dict)
    former: dict[TopicPartition, str] = field(default_factory=dict)


def weigh_claims(held: Mapping[str, Held]) -> Claims:
    """Sort out who holds what. Several owners mean that nobody can tell which of them is right."""
    claims = Claims()
    latest: dict[TopicPartition, int] = {}
    for member_id, claim in sorted(held.items(), key=lambda it: (-it[1].generation_id, it[0])):
        for place in claim.partitions:
            if latest.setdefault(place, claim.generation_id) == claim.generation_id:
                claims.owners.setdefault(place, []).append(member_id)
            else:
                claims.former.setdefault(place, member_id)
    return claims


def balance(
    subscribers: Sequence[Subscriber], partition_counts: Mapping[str, int], claims: Claims
) -> Assignments:
    """Assign every partition of a subscribed topic, as it was where that is even."""
    table = _Table(in_order(subscribers), partition_counts)
    table.keep(claims)
    table.deal_out_rest()
    table.even_out(claims.former)
    return table.assignments()


class _Party:
    """Members that subscribe to the same topics: they can stand in for one another."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.members: list[_Load] = []
        self._lightest: list[tuple[int, int]] = []

    def add(self, load: _Load) -> None:
        self.members.append(load)
        self.note(load)

    def note(self, load: _Load) -> None:
        """Take in that the member has another number of partitions now."""
        heapq.heappush(self._lightest, (load.count, load.index))

    def lightest(self, loads: Sequence[_Load]) -> _Load:
        """Return the member with the fewest partitions, the first of several."""
        while True:
            count, index = self._lightest[0]
            if loads[index].count == count:
                return loads[index]
            heapq.heappop(self._lightest)


class _Load:
    """What one member holds; `index` is its place in the order of members."""

    def __init__(self, index: int, member_id: str, party: _Party) -> None:
        self.index = index
        self.member_id = member_id
        self.party = party
        self.count = 0
        self.partitions: dict[str, set[int]] = {}
        party.add(self)

    def add(self, place: TopicPartition) -> None:
        self.partitions.setdefault(place.topic, set()).add(place.partition)
        self.count += 1
        self.party.note(self)

    def remove(self, place: TopicPartition) -> None:
        self.partitions[place.topic].remove(place.partition)
        if not self.partitions[place.topic]:
            del self.partitions[place.topic]
        self.count -= 1
        self.party.note(self)


class _Table:
    """Members around a table with partitions on it."""

    def __init__(self, ordered: Sequence[Subscriber], partition_counts: Mapping[str, int]) -> None:
        self._loads: list[_Load] = []
        self._by_id: dict[str, _Load] = {}
        parties: dict[frozenset[str], _Party] = {}
        for index, member in enumerate(ordered):
            topics = member.topics.intersection(partition_counts)
            party = parties.get(topics) or parties.setdefault(topics, _Party(topics))
            load = self._by_id[member.member_id] = _Load(index, member.member_id, party)
            self._loads.append(load)
        self._parties = list(parties.values())
        self._parties_of = {
            topic: [party for party in self._parties if topic in party.topics]
            for topic in partition_counts
        }
        self._unassigned = {
            topic: set(range(count))
            for topic, count in partition_counts.items()
            if self._parties_of[topic]
        }

    def keep(self, claims: Claims) -> None:
        """Leave to each member what it alone holds, still exists and is still subscribed."""
        for place, owners in claims.owners.items():
            load = self._by_id.get(owners[0])
            left = self._unassigned.get(place.topic, ())
            if (
                len(owners) == 1
                and load is not None
                and place.topic in load.party.topics
                and place.partition in left
            ):
                self._unassigned[place.topic].remove(place.partition)
                load.add(place)

    def deal_out_rest(self) -> None:
        """Give what nobody holds to those who have least; topics that few can take come first."""
        for topic in sorted(self._unassigned, key=lambda name: (self._takers(name), name)):
            for partition in sorted(self._unassigned[topic]):
                self._lightest(self._parties_of[topic]).add(TopicPartition(topic, partition))

    def even_out(self, former: Mapping[TopicPartition, str]) -> None:
        """Move partitions from heavy to light members for as long as that makes loads more even."""
        while self._even_out_once(former):
            pass

    def _even_out_once(self, former: Mapping[TopicPartition, str]) -> bool:
        """Let the heaviest member give one partition away, until nobody can; was there any move?"""
        moved = False
        heaviest = [(-load.count, load.index) for load in self._loads]
        heapq.heapify(heaviest)
        while heaviest:
            giver = self._loads[heaviest[0][1]]
            if -heaviest[0][0] != giver.count:
                heapq.heapreplace(heaviest, (-giver.count, giver.index))
                continue
            taker = self._taker_from(giver)
            if taker is None:
                heapq.heappop(heaviest)  # stuck, until somebody lighter gives something away
                continue
            place = _choose(giver, taker, former)
            giver.remove(place)
            taker.add(place)
            moved = True
        return moved

    def assignments(self) -> Assignments:
        """Return what everybody holds, sorted."""
        return {
            load.member_id: [
                TopicPartition(topic, partition)
                for topic in sorted(load.partitions)
                for partition in sorted(load.partitions[topic])
            ]
            for load in self._loads
        }

    def _takers(self, topic: str) -> int:
        return sum(len(party.members) for party in self._parties_of[topic])

    def _lightest(self, parties: Iterable[_Party]) -> _Load:
        loads = (party.lightest(self._loads) for party in parties)
        return min(loads, key=lambda load: (load.count, load.index))

    def _taker_from(self, giver: _Load) -> _Load | None:
        parties = [
            party for party in self._parties if not giver.partitions.keys().isdisjoint(party.topics)
        ]
        if not parties:
            return None
        taker = self._lightest(parties)
        return taker if taker.count <= giver.count - 2 else None


def _choose(giver: _Load, taker: _Load, former: Mapping[TopicPartition, str]) -> TopicPartition:
    """Choose what to move: what the taker once had, else from where the giver has most."""
    topics = giver.partitions.keys() & taker.party.topics
    for place in _once_held_by(taker, former):
        if place.topic in topics and place.partition in giver.partitions[place.topic]:
            return place
    topic = max(sorted(topics), key=lambda name: len(giver.partitions[name]))
    return TopicPartition(topic, max(giver.partitions[topic]))


def _once_held_by(load: _Load, former: Mapping[TopicPartition, str]) -> Iterator[TopicPartition]:
    return (place for place, member_id in former.items() if member_id == load.member_id)
