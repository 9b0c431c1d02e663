"""One group: its members, generations and deadlines; a state machine without I/O.

Whoever calls it says what time it is, stores what it wants stored (`revision`), and wakes it when a
deadline has passed. Answers go out through the replies that were handed in.
Must never know: sockets, the store, offsets, how a member's metadata is encoded.
Source: KIP-62, KIP-345, KIP-394, KIP-800 and the group protocol of Kafka's protocol guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker.groups.errors import (
    FencedInstance,
    IllegalGeneration,
    InconsistentProtocol,
    RebalanceInProgress,
    UnknownMember,
)
from broker.groups.history import History, Kind
from broker.groups.member import NEVER, Joined, Synced
from broker.groups.members import Members
from broker.groups.state import NEXT, State, Trigger
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.groups.history import Owners
    from broker.groups.member import Member, Reply

NO_GENERATION: Final = 0
SIMPLE: Final = -1
"""The generation of a commit by somebody who is no member."""

ASSIGNMENTS_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GroupRules:
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
        self.pending: dict[str, float] = {}
        """Ids given to members that have not come back with them yet, and until when they may."""
        self.history = History(wall_ms)
        self.empty_since_ms = wall_ms()
        self.revision = 0
        """Grows with every change that has to be stored."""
        self._wall_ms = wall_ms
        self._owners = owners
        self._join_deadline = NEVER
        self._is_initial = False
        self._initial_left_s = 0.0
        self._newcomers = False
        self._sync_deadline = NEVER
        self._unsynced: set[str] = set()
        self._assigned_in = -1
        self._replies_when_stored: list[tuple[int, Reply, Joined]] = []

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

    # Rebalancing.

    def admit(self, member: Member) -> None:
        """Take a new member in; a generation has to be made with it."""
        self.pending.pop(member.member_id, None)
        self.members.add(member)
        self._newcomers = True

    def rebalance(self, *, now: float) -> None:
        """Have all members join again, or go on with that; what for stands in the history."""
        if self.state is State.PREPARING:
            self.try_to_complete(now=now)
            return
        if self.state is State.COMPLETING:
            self._assigned_in = -1
            for member in self.members:
                member.assignment = b""
                member.answer_sync(RebalanceInProgress())
        delay_s = self.rules.initial_rebalance_delay_s if self.state is State.EMPTY else 0.0
        timeout_s = self.members.rebalance_timeout_s()
        self._is_initial = delay_s > 0
        self._join_deadline = now + (delay_s if self._is_initial else timeout_s)
        self._initial_left_s = max(timeout_s - delay_s, 0.0)
        self._newcomers = False
        self._sync_deadline = NEVER
        self._unsynced.clear()
        self._move(Trigger.MEMBERS_CHANGED)
        self.try_to_complete(now=now)

    def try_to_complete(self, *, now: float) -> None:
        """Make the next generation, if everybody who is expected has joined."""
        if self.state is not State.PREPARING or self._is_initial or self.pending:
            return
        if all(member.join_reply is not None for member in self.members):
            self._complete_joins(now=now)

    def _complete_joins(self, *, now: float) -> None:
        for member in self.members:
            if member.join_reply is None and not member.is_static:
                self.history.note(Kind.LATE, member, now=now)
                self._forget(member)
        waiting = self.members.awaiting_join()
        if len(self.members) and not waiting:
            # Static members keep their place until their sessions end, even if nobody is back.
            self._join_deadline = now + self.members.rebalance_timeout_s()
            return
        self._join_deadline = NEVER
        self._is_initial = False
        self.generation_id += 1
        if not waiting:
            self._become_empty()
            return
        if all(member.member_id != self.leader_id for member in waiting):
            self.leader_id = waiting[0].member_id
        self.protocol_name = self.members.choose_protocol()
        self._move(Trigger.ALL_JOINED)
        self._sync_deadline = now + self.members.rebalance_timeout_s()
        self._unsynced = {member.member_id for member in self.members}
        self.history.complete(
            generation_id=self.generation_id,
            member_count=len(self.members),
            leader_id=self.leader_id,
            protocol_name=self.protocol_name,
        )
        for member in self.members:
            if member.join_reply is not None:
                member.is_new, member.heard_at = False, now
                member.answer_join(self.joined(member))

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

    # Assigning.

    def sync(
        self,
        member_id: str,
        group_instance_id: str | None,
        generation_id: int,
        assignments: Mapping[str, bytes],
        reply: Reply,
        *,
        now: float,
    ) -> None:
        """Give a member its assignment, once the leader's is stored; the leader brings it.

        Raises: UnknownMember, FencedInstance, IllegalGeneration, RebalanceInProgress.
        """
        member = self._current(member_id, group_instance_id, generation_id)
        if self.state is State.PREPARING:
            raise RebalanceInProgress
        self._unsynced.discard(member.member_id)
        member.heard_at = now
        if self.state is State.STABLE:
            reply.answer(self._synced(member))
            return
        if member.member_id == self.leader_id and self._assigned_in < 0:
            self._assign(assignments)
        member.answer_sync(RebalanceInProgress())  # an earlier request that it has given up
        member.sync_reply = reply

    def require_protocol(self, protocol_type: str | None, protocol_name: str | None) -> None:
        """Refuse who takes another protocol for the chosen one. Raises: InconsistentProtocol."""
        if protocol_type not in (None, self.protocol_type):
            raise InconsistentProtocol(f"the group's protocol type is {self.protocol_type!r}")
        if protocol_name not in (None, self.protocol_name):
            raise InconsistentProtocol(f"the group has chosen protocol {self.protocol_name!r}")

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        if sum(map(len, assignments.values())) > ASSIGNMENTS_BYTES_MAX:
            raise RequestError.of(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"assignments of more than {ASSIGNMENTS_BYTES_MAX} bytes: make smaller groups",
            )
        for member in self.members:
            member.assignment = assignments.get(member.member_id, b"")
        self.revision += 1
        self._assigned_in = self.revision

    def _synced(self, member: Member) -> Synced:
        return Synced(self.protocol_type, self.protocol_name, member.assignment)

    def stored(self, revision: int, *, now: float) -> None:
        """Take note that everything up to a revision is durable."""
        if self.state is State.COMPLETING and 0 <= self._assigned_in <= revision:
            self._assigned_in = -1
            self._move(Trigger.ASSIGNED)
            self.history.assigned(self._owners(self))
            for member in self.members:
                if member.sync_reply is not None:
                    member.heard_at = now
                    member.answer_sync(self._synced(member))
        due = [each for each in self._replies_when_stored if each[0] <= revision]
        self._replies_when_stored = [e for e in self._replies_when_stored if e[0] > revision]
        for _, reply, outcome in due:
            reply.answer(outcome)

    def not_stored(self, error: RequestError, *, now: float) -> None:
        """Take note that the store refused the last revision: its size, so members must go."""
        replies, self._replies_when_stored = self._replies_when_stored, []
        for _, reply, _ in replies:
            reply.answer(error)
        if self.state is State.COMPLETING and self._assigned_in >= 0:
            for member in self.members:
                member.answer_sync(error)
                self.history.note(Kind.NOT_STORED, member)
            self.rebalance(now=now)

    def answer_when_stored(self, reply: Reply, outcome: Joined) -> None:
        """Answer once the present revision is durable."""
        self._replies_when_stored.append((self.revision, reply, outcome))

    # Living on, and leaving.

    def heartbeat(
        self, member_id: str, group_instance_id: str | None, generation_id: int, *, now: float
    ) -> None:
        """Hear of a member.

        Raises: UnknownMember, FencedInstance, IllegalGeneration, RebalanceInProgress.
        """
        member = self._current(member_id, group_instance_id, generation_id)
        member.heard_at = now
        if self.state is State.PREPARING:
            raise RebalanceInProgress

    def check_commit(
        self, member_id: str, group_instance_id: str | None, generation_id: int, *, now: float
    ) -> None:
        """Let a member commit, or anybody while there is no member.

        Raises: UnknownMember, FencedInstance, IllegalGeneration, RebalanceInProgress.
        """
        if generation_id < 0 and self.state is State.EMPTY and group_instance_id is None:
            return
        if generation_id < 0 and not member_id and group_instance_id is None:
            raise UnknownMember(member_id)
        member = self._current(member_id, group_instance_id, generation_id)
        if self.state is State.COMPLETING:
            raise RebalanceInProgress
        member.heard_at = now

    def leave(
        self,
        member_id: str,
        group_instance_id: str | None,
        *,
        now: float,
        reason: str | None = None,
    ) -> str:
        """Let a member go; a static one may be named by its instance id alone (KIP-345).

        Returns: its member id. Raises: UnknownMember, FencedInstance.
        """
        if member_id in self.pending:
            del self.pending[member_id]
            self.try_to_complete(now=now)
            return member_id
        known = self.members.of_instance(group_instance_id)
        if known is not None and not member_id:
            member_id = known.member_id
        member = self.members.get(member_id, group_instance_id)
        self._let_go(member, Kind.LEFT, now=now, reason=reason)
        return member_id

    def _let_go(self, member: Member, kind: Kind, *, now: float, reason: str | None = None) -> None:
        self.history.note(kind, member, now=now, reason=reason)
        self._forget(member)
        self.rebalance(now=now)

    def _forget(self, member: Member) -> None:
        self.members.remove(member)
        self._unsynced.discard(member.member_id)
        member.answer_join(UnknownMember(member.member_id))
        member.answer_sync(UnknownMember(member.member_id))

    def replace(self, member: Member, member_id: str) -> None:
        """Give a static member's place to a new process; the old one is fenced (KIP-345)."""
        assert member.group_instance_id is not None, "only static members can be replaced"
        fenced = FencedInstance(member.group_instance_id)
        member.answer_join(fenced)
        member.answer_sync(fenced)
        was_leader = member.member_id == self.leader_id
        if member.member_id in self._unsynced:
            self._unsynced.discard(member.member_id)
            self._unsynced.add(member_id)
        self.members.rename(member, member_id)
        if was_leader:
            self.leader_id = member_id

    def _current(self, member_id: str, group_instance_id: str | None, generation_id: int) -> Member:
        member = self.members.get(member_id, group_instance_id)
        if generation_id != self.generation_id:
            raise IllegalGeneration(told=generation_id, current=self.generation_id)
        return member

    # Deadlines.

    @property
    def deadline(self) -> float:
        """When `expire` is due; it may be later by then, if members were heard of."""
        sessions = min((member.deadline for member in self.members), default=NEVER)
        pending = min(self.pending.values(), default=NEVER)
        return min(sessions, pending, self._join_deadline, self._sync_deadline)

    def expire(self, *, now: float) -> None:
        """Do what is due: let go who was silent for too long, end waiting for who is late."""
        overdue = [member_id for member_id, until in self.pending.items() if until <= now]
        for member_id in overdue:
            del self.pending[member_id]
        for member in self.members:
            if member.member_id in self.members and member.deadline <= now:
                self._let_go(member, Kind.EXPIRED, now=now)
        if overdue:
            self.try_to_complete(now=now)
        if self._join_deadline <= now:
            self._end_joining(now=now)
        if self._sync_deadline <= now:
            self._end_syncing(now=now)

    def _end_joining(self, *, now: float) -> None:
        if self._is_initial and self._newcomers and self._initial_left_s > 0:
            delay_s = min(self.rules.initial_rebalance_delay_s, self._initial_left_s)
            self._initial_left_s -= delay_s
            self._newcomers = False
            self._join_deadline = now + delay_s
            return
        self._complete_joins(now=now)

    def _end_syncing(self, *, now: float) -> None:
        self._sync_deadline = NEVER
        late = [m for m in self.members if m.member_id in self._unsynced]
        for member in late:
            self.history.note(Kind.UNSYNCED, member, now=now)
            self._forget(member)
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
        replies, self._replies_when_stored = self._replies_when_stored, []
        for _, reply, _ in replies:
            reply.answer(error)

    def _move(self, trigger: Trigger) -> None:
        self.state = NEXT[self.state, trigger]
