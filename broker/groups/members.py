"""The members of one group: by id, by group instance id, and what they have in common.

Must never know: the group's state, time, who waits.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from broker.groups.errors import FencedInstance, UnknownMember

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from broker.groups.member import Member


class Members:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}
        self._by_instance: dict[str, str] = {}

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
        return self._by_id.get(self._by_instance.get(group_instance_id or "", ""))

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
        self._by_id[member.member_id] = member
        if member.group_instance_id is not None:
            self._by_instance[member.group_instance_id] = member.member_id

    def remove(self, member: Member) -> None:
        """Let a member go."""
        del self._by_id[member.member_id]
        if member.group_instance_id is not None:
            self._by_instance.pop(member.group_instance_id, None)

    def rename(self, member: Member, member_id: str) -> None:
        """Give a static member's place to the one that has come back under another id."""
        self.remove(member)
        member.member_id = member_id
        self.add(member)

    def awaiting_join(self) -> list[Member]:
        """List those that wait for the next generation."""
        return [member for member in self if member.join_reply is not None]

    def rebalance_timeout_s(self) -> float:
        """Give the longest time that a member may take to join again."""
        return max((m.rebalance_timeout_ms for m in self), default=0) / 1000

    def common_protocols(self, *, but: Member | None = None) -> set[str]:
        """Name the protocols that every member knows, one of them left out."""
        known = [{name for name, _ in m.protocols} for m in self._by_id.values() if m is not but]
        return set.intersection(*known) if known else set()

    def accept(self, protocols: Iterable[tuple[str, bytes]], *, of: Member | None) -> bool:
        """Say whether somebody with these protocols, perhaps a member already, fits the others."""
        offered = {name for name, _ in protocols}
        is_alone = len(self) == (0 if of is None else 1)
        return bool(offered) if is_alone else bool(offered & self.common_protocols(but=of))

    def choose_protocol(self) -> str:
        """Choose the protocol that most members prefer, of those that all know."""
        common = self.common_protocols()
        assert common, "nobody joins who has no protocol in common with the others"
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self
        )
        return max(votes, key=lambda name: (votes[name], name))
