"""The members of one group: by id, by group instance id, and what they have in common.

Must never know: the group's state, clocks, what is answered.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from broker.groups.errors import FencedInstance, UnknownMember
from broker.groups.member import NEVER, size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.groups.member import Joining, Member

REBALANCE_TIMEOUT_LEAST_S: Final = 1.0
"""Taken for less than that: within no time at all no generation could be made."""


class Members:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}
        self._by_instance: dict[str, str] = {}
        self._knowing: Counter[str] = Counter()
        self.size_bytes = 0
        """What keeping them takes, about; their assignments left out."""
        self.due_at = NEVER
        """Nobody is out of time before; whoever was heard of since has more."""

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, member_id: object) -> bool:
        return member_id in self._by_id

    def find(self, member_id: str) -> Member | None:
        """Look a member up by its id."""
        return self._by_id.get(member_id)

    def of_instance(self, group_instance_id: str | None) -> Member | None:
        """Look a static member up by its group instance id."""
        if group_instance_id is None:  # one that is empty is one
            return None
        return self._by_id.get(self._by_instance.get(group_instance_id, ""))

    def get(self, member_id: str, group_instance_id: str | None) -> Member:
        """Give the member that says so of itself. Raises: UnknownMember, FencedInstance."""
        member = self._by_id.get(member_id)
        if group_instance_id is not None:
            known = self.of_instance(group_instance_id)
            if known is not None and known is not member:
                raise FencedInstance(group_instance_id)
            member = known
        if member is None:
            raise UnknownMember(member_id)
        return member

    def add(self, member: Member) -> None:
        """Take a member in."""
        assert member.member_id not in self._by_id, "ids are given out once"
        assert self.of_instance(member.group_instance_id) is None, "its place is taken"
        self._by_id[member.member_id] = member
        if member.group_instance_id is not None:
            self._by_instance[member.group_instance_id] = member.member_id
        self._count(member)
        self.due_at = min(self.due_at, member.deadline)

    def remove(self, member: Member) -> None:
        """Let a member go."""
        del self._by_id[member.member_id]
        if member.group_instance_id is not None:
            del self._by_instance[member.group_instance_id]
        self._discount(member)

    def rename(self, member: Member, member_id: str) -> None:
        """Give a static member's place to the one that has come back under another id."""
        self.remove(member)
        member.member_id = member_id
        self.add(member)

    def adopt(self, member: Member, joining: Joining) -> None:
        """Take over what a member says of itself now."""
        self._discount(member)
        member.adopt(joining)
        self._count(member)

    def hear(self, member: Member, *, now: float) -> None:
        """Begin a member's session anew."""
        member.heard_at = now
        self.due_at = min(self.due_at, member.deadline)

    def overdue(self, *, now: float) -> list[Member]:
        """List who is out of time."""
        if now < self.due_at:
            return []
        found = [member for member in self if member.deadline <= now]
        self.due_at = min((m.deadline for m in self if m.deadline > now), default=NEVER)
        return found

    def have_joined(self) -> bool:
        """Say whether all of them wait for the next generation."""
        return all(member.join_reply is not None for member in self._by_id.values())

    def awaiting_join(self) -> list[Member]:
        """List those that wait for the next generation."""
        return [member for member in self if member.join_reply is not None]

    def rebalance_timeout_s(self) -> float:
        """Give the longest time that a member may take to join again."""
        longest_ms = max((m.rebalance_timeout_ms for m in self._by_id.values()), default=0)
        return max(longest_ms / 1000, REBALANCE_TIMEOUT_LEAST_S)

    def accept(self, protocols: Iterable[tuple[str, bytes]], *, of: Member | None) -> bool:
        """Say whether somebody with these protocols, perhaps a member already, fits the others."""
        offered = _names(protocols)
        own = set() if of is None else _names(of.protocols)
        others = len(self) - (of is not None)
        return any(self._knowing[name] - (name in own) == others for name in offered)

    def choose_protocol(self) -> str:
        """Choose the protocol that most members prefer, of those that all know."""
        common = {name for name, count in self._knowing.items() if count == len(self)}
        assert common, "nobody joins who has no protocol in common with the others"
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self
        )
        return max(votes, key=lambda name: (votes[name], name))

    def _count(self, member: Member) -> None:
        self._knowing.update(_names(member.protocols))
        self.size_bytes += size_bytes(member)

    def _discount(self, member: Member) -> None:
        self._knowing -= Counter(_names(member.protocols))
        self.size_bytes -= size_bytes(member)


def _names(protocols: Iterable[tuple[str, bytes]]) -> set[str]:
    return {name for name, _ in protocols}
