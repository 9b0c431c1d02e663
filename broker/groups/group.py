"""One group: its members, generations and deadlines; a state machine without I/O.

Whoever calls it says what time it is, stores what it wants stored (`revision`, `is_settled`), and
wakes it when a deadline has passed. Answers go out through the replies that were handed in. What a
member may ask of it is decided elsewhere: `joining`, `syncing`, `living`.
Must never know: sockets, the store, offsets, how a member's metadata is encoded.
Source: KIP-62, KIP-345, KIP-394, KIP-800 and the group protocol of Kafka's protocol guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from broker.groups.assigning import NOT_YET, Assigning
from broker.groups.errors import (
    FencedInstance,
    IllegalGeneration,
    RebalanceInProgress,
    UnknownMember,
)
from broker.groups.gathering import Gathering
from broker.groups.history import History, Kind
from broker.groups.member import NEVER, Joined, Synced
from broker.groups.members import Members
from broker.groups.pending import PendingIds
from broker.groups.state import NEXT, State, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.groups.history import Owners
    from broker.groups.member import Member
    from protocol.errors import RequestError

NO_GENERATION: Final = 0


class GroupRules(Struct, frozen=True):
    """What the broker's configuration says about groups."""

    initial_rebalance_delay_s: float = 3.0
    session_timeout_min_ms: int = 6_000
    session_timeout_max_ms: int = 1_800_000
    members_max: int = 2**31 - 1
    member_bytes_max: int = 1024 * 1024


class Group:
    """A group in memory. Times are seconds of the monotonic clock."""

    def __init__(
        self,
        group_id: str,
        *,
        rules: GroupRules,
        new_id: Callable[[], str],
        wall_ms: Callable[[], int],
        owners: Callable[[Group], Owners],
    ) -> None:
        self.group_id = group_id
        self.rules = rules
        self.new_id = new_id
        self.state = State.EMPTY
        self.generation_id = NO_GENERATION
        self.protocol_type = ""
        self.protocol_name = ""
        self.leader_id = ""
        self.members = Members()
        self.pending = PendingIds()
        self.gathering = Gathering()
        self.assigning = Assigning()
        self.history = History(wall_ms)
        self.empty_since_ms = wall_ms()
        self.revision = 0
        """Grows with every change that has to be stored."""
        self._wall_ms = wall_ms
        self._owners = owners

    def __repr__(self) -> str:
        return f"<Group {self.group_id!r} {self.state.value} generation {self.generation_id}>"

    def restore(
        self,
        members: Iterable[Member],
        *,
        generation_id: int,
        protocol: tuple[str, str],
        leader_id: str,
        empty_since_ms: int,
    ) -> None:
        """Go on where the owner before has stored this group: stable, or without members."""
        assert self.revision == 0, "only a new group can be given a past"
        for member in members:
            self.members.add(member)
        self.state = State.STABLE if len(self.members) else State.EMPTY
        self.generation_id, self.leader_id = generation_id, leader_id
        self.protocol_type, self.protocol_name = protocol
        self.empty_since_ms = empty_since_ms
        self.history.begin_with(self._owners(self))

    @property
    def is_settled(self) -> bool:
        """Whether another owner could go on from here: no rebalance is half done.

        What is half done is not stored, since a next owner would take it for agreed on.
        """
        return self.state in (State.EMPTY, State.STABLE) or self.assigning.is_on_its_way

    # Rebalancing.

    def admit(self, member: Member) -> None:
        """Take a new member in; a generation has to be made with it."""
        self.pending.remove(member.member_id)
        self.members.add(member)
        self.gathering.note_newcomer()

    def rebalance(self, *, now: float) -> None:
        """Have all members join again, or go on with that; what for stands in the history."""
        if self.state is not State.PREPARING:
            self._begin_gathering(now=now)
        self.try_to_complete(now=now)

    def _begin_gathering(self, *, now: float) -> None:
        for member in self.members:
            if self.state is State.COMPLETING:
                member.assignment = b""
                self._answer_sync(member, RebalanceInProgress(), now=now)
            # Who waits for the store with a generation that is over waits for the next one now.
            member.joined_when_stored = None
        self.assigning.end()
        timeout_s = self.members.rebalance_timeout_s()
        if self.state is State.EMPTY:
            delay_s = self.rules.initial_rebalance_delay_s
            self.gathering.begin_initially(delay_s=delay_s, timeout_s=timeout_s, now=now)
        else:
            self.gathering.begin(timeout_s=timeout_s, now=now)
        self._move(Trigger.MEMBERS_CHANGED)

    def try_to_complete(self, *, now: float) -> None:
        """Make the next generation, if everybody who is expected has joined."""
        if self.state is not State.PREPARING or self.gathering.is_initial or self.pending:
            return
        if self.members.have_joined():
            self._complete_joins(now=now)

    def _complete_joins(self, *, now: float) -> None:
        for member in self.members:
            if member.join_reply is None and not member.is_static:
                self.history.note(Kind.LATE, member, now=now)
                self.forget(member)
        waiting = self.members.awaiting_join()
        timeout_s = self.members.rebalance_timeout_s()
        if len(self.members) and not waiting:
            # Static members keep their place until their sessions end, even if nobody is back.
            self.gathering.begin(timeout_s=timeout_s, now=now)
            return
        self.gathering.end()
        self.generation_id += 1
        if not waiting:
            self._become_empty()
            return
        if all(member.member_id != self.leader_id for member in waiting):
            self.leader_id = waiting[0].member_id
        self.protocol_name = self.members.choose_protocol()
        self._move(Trigger.ALL_JOINED)
        self.assigning.begin((m.member_id for m in self.members), timeout_s=timeout_s, now=now)
        self.history.complete(
            generation_id=self.generation_id,
            member_count=len(self.members),
            leader_id=self.leader_id,
            protocol_name=self.protocol_name,
        )
        for member in waiting:
            member.is_new = False
            self._answer_join(member, self.joined(member), now=now)

    def _become_empty(self) -> None:
        self._move(Trigger.ALL_GONE)
        self.protocol_name = self.leader_id = ""
        self.empty_since_ms = self._wall_ms()
        self.revision += 1
        self.history.complete(
            generation_id=self.generation_id, member_count=0, leader_id="", protocol_name=""
        )
        self.history.assigned({})

    def joined(self, member: Member) -> Joined:
        """Give what a member of this generation is told; the leader hears of everybody."""
        everybody = (
            tuple(
                (m.member_id, m.group_instance_id, m.metadata(self.protocol_name))
                for m in self.members
            )
            if member.member_id == self.leader_id
            else ()
        )
        return Joined(
            generation_id=self.generation_id,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader_id=self.leader_id,
            member_id=member.member_id,
            members=everybody,
        )

    # Storing.

    def assign(self, assignments: Mapping[str, bytes]) -> None:
        """Take the leader's assignment; it counts once it is stored."""
        assert self.state is State.COMPLETING, "a generation is assigned once"
        for member in self.members:
            member.assignment = assignments.get(member.member_id, b"")
        self.revision += 1
        self.assigning.revision = self.revision

    def synced(self, member: Member) -> Synced:
        """Give what a member is told that asks for its assignment."""
        return Synced(self.protocol_type, self.protocol_name, member.assignment)

    def stored(self, revision: int, *, now: float) -> None:
        """Take note that everything up to a revision is durable."""
        if self.assigning.is_on_its_way and self.assigning.revision <= revision:
            self.assigning.revision = NOT_YET
            self._move(Trigger.ASSIGNED)
            self.history.assigned(self._owners(self))
            for member in self.members:
                self._answer_sync(member, self.synced(member), now=now)
        for member in self.members:
            joined = member.joined_when_stored
            if joined is not None and joined[0] <= revision:
                self._answer_join(member, joined[1], now=now)

    def not_stored(self, error: RequestError, *, now: float) -> None:
        """Take note that the store refused the last revision: its size, so members must go."""
        for member in self.members:
            if member.joined_when_stored is not None:
                self._answer_join(member, error, now=now)
        if self.assigning.is_on_its_way:
            for member in self.members:
                self._answer_sync(member, error, now=now)
                self.history.note(Kind.NOT_STORED, member)
            self.rebalance(now=now)

    # Living on, and leaving.

    def current(self, member_id: str, group_instance_id: str | None, generation_id: int) -> Member:
        """Give the member that says so of itself, if it is of this generation.

        Raises: UnknownMember, FencedInstance, IllegalGeneration.
        """
        try:
            member = self.members.get(member_id, group_instance_id)
        except FencedInstance:
            if generation_id > self.generation_id:
                # An owner told it so, and died before that was stored: nobody has its place.
                raise UnknownMember(member_id) from None
            raise
        if generation_id != self.generation_id:
            raise IllegalGeneration(told=generation_id, current=self.generation_id)
        return member

    def let_go(self, member: Member, kind: Kind, *, now: float, reason: str | None = None) -> None:
        """Go on without a member, and note why."""
        self.history.note(kind, member, now=now, reason=reason)
        self.forget(member)
        self.rebalance(now=now)

    def forget(self, member: Member) -> None:
        """Take a member out, whatever follows."""
        self.members.remove(member)
        member.answer_join(UnknownMember(member.member_id))
        member.answer_sync(UnknownMember(member.member_id))

    def replace(self, member: Member, member_id: str) -> None:
        """Give a static member's place to a new process; the old one is fenced (KIP-345)."""
        assert member.group_instance_id is not None, "only static members can be replaced"
        fenced = FencedInstance(member.group_instance_id)
        member.answer_join(fenced)
        member.answer_sync(fenced)
        was_leader = member.member_id == self.leader_id
        self.assigning.rename(member.member_id, member_id)
        self.members.rename(member, member_id)
        if was_leader:
            self.leader_id = member_id

    def _answer_join(self, member: Member, outcome: Joined | RequestError, *, now: float) -> None:
        """Answer a member's JoinGroup, if it waits for that; its session begins anew."""
        if member.join_reply is not None:
            member.answer_join(outcome)
            self.members.hear(member, now=now)

    def _answer_sync(self, member: Member, outcome: Synced | RequestError, *, now: float) -> None:
        """Answer a member's SyncGroup, if it waits for that; its session begins anew."""
        if member.sync_reply is not None:
            member.answer_sync(outcome)
            self.members.hear(member, now=now)

    # Deadlines.

    @property
    def deadline(self) -> float:
        """When `expire` is due; it may be later by then, if members were heard of."""
        return min(
            self.members.due_at,
            self.pending.due_at,
            self.gathering.deadline,
            self.assigning.deadline,
        )

    def expire(self, *, now: float) -> None:
        """Do what is due: let go who was silent for too long, end waiting for who is late."""
        if self.pending.expire(now=now):
            self.try_to_complete(now=now)
        for member in self.members.overdue(now=now):
            # The generation without one of them may have been made with another.
            if member.member_id in self.members and member.deadline <= now:
                self.let_go(member, Kind.EXPIRED, now=now)
        if self.gathering.deadline <= now and not self.gathering.extend(now=now):
            self._complete_joins(now=now)
        if self.assigning.deadline <= now:
            self._end_syncing(now=now)

    def _end_syncing(self, *, now: float) -> None:
        late = [member for member in self.members if member.member_id in self.assigning.unsynced]
        self.assigning.deadline = NEVER
        for member in late:
            self.history.note(Kind.UNSYNCED, member, now=now)
            self.forget(member)
        if late:
            self.rebalance(now=now)

    # The end.

    def delete(self) -> None:
        """End an empty group's life."""
        self._move(Trigger.DELETED)

    def abandon(self, error: RequestError) -> None:
        """Answer everybody who waits: another broker has the group now."""
        for member in self.members:
            member.answer_join(error)
            member.answer_sync(error)

    def _move(self, trigger: Trigger) -> None:
        self.state = NEXT[self.state, trigger]
