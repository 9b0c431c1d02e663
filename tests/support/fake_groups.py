"""Consumer groups as Kafka keeps them, in memory: who is in, which generation, what was committed.

The rules are those of Kafka's classic groups. `move` makes another broker keep a group, which then
knows what had been written down: the last stable generation and all committed offsets.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import trio

from protocol.api.join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from protocol.api.sync_group import SyncGroupRequest, SyncGroupResponse
from protocol.errors import ErrorCode

INITIAL_DELAY_S = 0.5


class State(Enum):
    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


class Reply:
    """An answer that comes later."""

    def __init__(self) -> None:
        self._given = trio.Event()
        self.value: Any = None

    def give(self, value: object) -> None:
        self.value = value
        self._given.set()

    async def wait(self) -> Any:
        await self._given.wait()
        return self.value


@dataclass
class Member:
    member_id: str
    instance_id: str | None
    session_s: float
    rebalance_s: float
    protocols: list[tuple[str, bytes]]
    heard_at: float = 0.0
    assignment: bytes = b""
    joining: Reply | None = None
    syncing: Reply | None = None


@dataclass(frozen=True)
class Commit:
    """One offset that was accepted."""

    at_s: float
    member_id: str
    generation: int
    place: tuple[str, int]
    offset: int
    leader_epoch: int
    metadata: str


@dataclass
class Written:
    """What another broker knows of a group."""

    generation: int = 0
    protocol: str | None = None
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)


class FakeGroup:
    def __init__(self, group_id: str, nursery: trio.Nursery) -> None:
        self.group_id = group_id
        self.broker_id = 0
        self.loading = False
        self.max_size = 1000
        self.state = State.EMPTY
        self.generation = 0
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.offsets: dict[tuple[str, int], Commit] = {}
        self.commits: list[Commit] = []
        self.left: list[tuple[str, str | None]] = []
        self.expired: list[str] = []
        self.unstable: set[tuple[str, int]] = set()
        self.join_reasons: list[str | None] = []
        self.rebalances = 0
        self._pending_ids: set[str] = set()
        self._written = Written()
        self._nursery = nursery
        self._ids = itertools.count(1)
        self._rebalance_no = 0
        self._initial = False

    # Joining

    def join(self, request: JoinGroupRequest, *, ids_required: bool) -> JoinGroupResponse | Reply:
        self.join_reasons.append(request.reason)
        member_id, instance_id = request.member_id, request.group_instance_id
        if not 1000 <= request.session_timeout_ms <= 1_800_000:
            return self._join_error(ErrorCode.INVALID_SESSION_TIMEOUT)
        names = [protocol.name for protocol in request.protocols]
        others = [m for m in self.members.values() if m.member_id != member_id]
        if not names or (others and not self._common(others) & set(names)):
            return self._join_error(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        if not member_id:
            if len(self.members) >= self.max_size:
                return self._join_error(ErrorCode.GROUP_MAX_SIZE_REACHED)
            if instance_id is not None:
                return self._join_static(request)
            new_id = f"member-{next(self._ids)}"
            if ids_required:
                self._pending_ids.add(new_id)
                self._nursery.start_soon(self._forget_id, new_id, request.session_timeout_ms / 1000)
                return self._join_error(ErrorCode.MEMBER_ID_REQUIRED, new_id)
            return self._add(new_id, request)
        if member_id in self._pending_ids:
            self._pending_ids.discard(member_id)
            return self._add(member_id, request)
        code = self._check(member_id, instance_id)
        if code:
            return self._join_error(code)
        return self._join_again(self.members[member_id], request)

    async def _forget_id(self, member_id: str, after_s: float) -> None:
        await trio.sleep(after_s)
        if member_id in self._pending_ids:
            self._pending_ids.discard(member_id)
            self._complete_if_all_are_there()

    def _join_static(self, request: JoinGroupRequest) -> JoinGroupResponse | Reply:
        new_id = f"{request.group_instance_id}-{next(self._ids)}"
        old = next(
            (m for m in self.members.values() if m.instance_id == request.group_instance_id), None
        )
        if old is None:
            return self._add(new_id, request)
        del self.members[old.member_id]
        for reply, response in (
            (old.joining, self._join_error(ErrorCode.FENCED_INSTANCE_ID)),
            (old.syncing, SyncGroupResponse(error_code=ErrorCode.FENCED_INSTANCE_ID)),
        ):
            if reply is not None:
                reply.give(response)
        was_leader = self.leader == old.member_id
        member = self._member(new_id, request)
        member.assignment = old.assignment
        self.members[new_id] = member
        if was_leader:
            self.leader = new_id
        if self.state is State.STABLE and member.protocols == old.protocols:
            answer = self._generation_for(member)
            answer.skip_assignment = was_leader
            return answer
        member.joining = reply = Reply()
        self._rebalance()
        self._complete_if_all_are_there()
        return reply

    def _join_again(self, member: Member, request: JoinGroupRequest) -> JoinGroupResponse | Reply:
        protocols = [(p.name, bytes(p.metadata)) for p in request.protocols]
        same = protocols == member.protocols
        if same and self.state is State.COMPLETING:
            self._hear(member)
            return self._generation_for(member)
        if same and self.state is State.STABLE and member.member_id != self.leader:
            self._hear(member)
            return self._generation_for(member)
        member.protocols = protocols
        member.joining = reply = Reply()
        self._rebalance()
        self._complete_if_all_are_there()
        return reply

    def _add(self, member_id: str, request: JoinGroupRequest) -> Reply:
        member = self.members[member_id] = self._member(member_id, request)
        member.joining = reply = Reply()
        self._rebalance()
        self._complete_if_all_are_there()
        return reply

    def _member(self, member_id: str, request: JoinGroupRequest) -> Member:
        member = Member(
            member_id,
            request.group_instance_id,
            request.session_timeout_ms / 1000,
            request.rebalance_timeout_ms / 1000,
            [(p.name, bytes(p.metadata)) for p in request.protocols],
        )
        self._hear(member)
        self._nursery.start_soon(self._watch, member)
        return member

    def _rebalance(self) -> None:
        """Begin to wait for everybody, if that has not begun."""
        if self.state is State.PREPARING:
            return
        for member in self.members.values():
            if member.syncing is not None:
                member.syncing.give(SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
                member.syncing = None
        initial = self.state is State.EMPTY
        self.state = State.PREPARING
        self._rebalance_no += 1
        patience = max((m.rebalance_s for m in self.members.values()), default=0.0)
        self._later(INITIAL_DELAY_S if initial else patience, self._complete_join)
        self._initial = initial

    def _complete_if_all_are_there(self) -> None:
        if self.state is not State.PREPARING or self._initial or self._pending_ids:
            return
        if all(member.joining is not None for member in self.members.values()):
            self._complete_join()

    def _complete_join(self) -> None:
        for member in list(self.members.values()):
            if member.joining is None and member.instance_id is None:
                del self.members[member.member_id]
                self.expired.append(member.member_id)
        if self.members and not any(m.joining for m in self.members.values()):
            self._later(0.1, self._complete_join)  # only static members, all of them away
            return
        self._rebalance_no += 1
        self.generation += 1
        self.rebalances += 1
        if not self.members:
            self.state, self.protocol, self.leader = State.EMPTY, None, None
            self._write_down()
            return
        self.state = State.COMPLETING
        self.protocol = self._vote()
        if self.leader not in self.members or self.members[self.leader].joining is None:
            self.leader = next(m.member_id for m in self.members.values() if m.joining)
        for member in self.members.values():
            member.assignment = b""
        for member in self.members.values():
            if member.joining is not None:
                member.joining.give(self._generation_for(member))
                member.joining = None
            self._hear(member)
        patience = max(m.rebalance_s for m in self.members.values())
        self._later(patience, self._expire_unsynced)

    def _generation_for(self, member: Member) -> JoinGroupResponse:
        leads = member.member_id == self.leader
        protocol = self.protocol or ""
        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type="consumer",
            protocol_name=protocol,
            leader=self.leader or "",
            member_id=member.member_id,
            members=[
                JoinGroupResponseMember(m.member_id, m.instance_id, dict(m.protocols)[protocol])
                for m in self.members.values()
                if leads
            ],
        )

    def _vote(self) -> str:
        common = self._common(self.members.values())
        votes = Counter(
            next(name for name, _ in member.protocols if name in common)
            for member in self.members.values()
        )
        return max(votes.items(), key=lambda vote: vote[1])[0]

    @staticmethod
    def _common(members: Iterable[Member]) -> set[str]:
        return set.intersection(*({name for name, _ in m.protocols} for m in members))

    @staticmethod
    def _join_error(code: ErrorCode, member_id: str = "") -> JoinGroupResponse:
        return JoinGroupResponse(error_code=code, protocol_name="", member_id=member_id)

    # Syncing and staying

    def sync(self, request: SyncGroupRequest) -> SyncGroupResponse | Reply:
        code = self._check(request.member_id, request.group_instance_id, request.generation_id)
        if not code and self.state is State.PREPARING:
            code = ErrorCode.REBALANCE_IN_PROGRESS
        if code:
            return SyncGroupResponse(error_code=code)
        member = self.members[request.member_id]
        self._hear(member)
        if self.state is State.STABLE:
            return self._assignment_for(member)
        member.syncing = reply = Reply()
        if member.member_id == self.leader:
            given = {entry.member_id: bytes(entry.assignment) for entry in request.assignments}
            self.state = State.STABLE
            self._rebalance_no += 1
            for other in self.members.values():
                other.assignment = given.get(other.member_id, b"")
                if other.syncing is not None:
                    other.syncing.give(self._assignment_for(other))
                    other.syncing = None
            self._write_down()
        return reply

    def _assignment_for(self, member: Member) -> SyncGroupResponse:
        return SyncGroupResponse(
            protocol_type="consumer", protocol_name=self.protocol, assignment=member.assignment
        )

    def _expire_unsynced(self) -> None:
        late = [m for m in self.members.values() if m.syncing is None]
        for member in late:
            self._remove(member)
            self.expired.append(member.member_id)

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        code = self._check(member_id, instance_id, generation)
        if code:
            return code
        self._hear(self.members[member_id])
        if self.state is State.PREPARING:
            return ErrorCode.REBALANCE_IN_PROGRESS
        return ErrorCode.NONE

    def leave(self, member_id: str, instance_id: str | None, reason: str | None) -> ErrorCode:
        if member_id in self._pending_ids:
            self._pending_ids.discard(member_id)
            self._complete_if_all_are_there()
            return ErrorCode.NONE
        code = self._check(member_id, instance_id)
        if not code:
            self.left.append((member_id, reason))
            self._remove(self.members[member_id])
        return code

    def _remove(self, member: Member) -> None:
        if self.members.pop(member.member_id, None) is None:
            return
        gone = self._join_error(ErrorCode.UNKNOWN_MEMBER_ID)
        if member.joining is not None:
            member.joining.give(gone)
        if member.syncing is not None:
            member.syncing.give(SyncGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID))
        if self.state in {State.STABLE, State.COMPLETING}:
            self._rebalance()
            if not self.members:
                self._complete_join()
        self._complete_if_all_are_there()

    # Offsets

    def commit(
        self, member_id: str, instance_id: str | None, generation: int, **offset: Any
    ) -> ErrorCode:
        if generation < 0 and not member_id:
            if self.state is not State.EMPTY:
                return ErrorCode.UNKNOWN_MEMBER_ID
        else:
            code = self._check(member_id, instance_id)
            if not code and self.state is State.COMPLETING:
                code = ErrorCode.REBALANCE_IN_PROGRESS
            if not code and generation != self.generation:
                code = ErrorCode.ILLEGAL_GENERATION
            if code:
                return code
            self._hear(self.members[member_id])
        commit = Commit(trio.current_time(), member_id, generation, **offset)
        self.offsets[commit.place] = commit
        self.commits.append(commit)
        return ErrorCode.NONE

    # Time and moves

    def move(self, broker_id: int) -> None:
        """Have another broker keep the group, with what was written down."""
        self.broker_id = broker_id
        self._rebalance_no += 1
        for member in self.members.values():
            if member.joining is not None:
                member.joining.give(self._join_error(ErrorCode.NOT_COORDINATOR))
            if member.syncing is not None:
                member.syncing.give(SyncGroupResponse(error_code=ErrorCode.NOT_COORDINATOR))
        written = copy.copy(self._written)
        self._pending_ids.clear()
        self.generation, self.protocol = written.generation, written.protocol
        self.leader = written.leader
        self.members = {member_id: copy.copy(m) for member_id, m in written.members.items()}
        self.state = State.STABLE if self.members else State.EMPTY
        for member in self.members.values():
            self._hear(member)
            self._nursery.start_soon(self._watch, member)

    def expire(self, member_id: str) -> None:
        """End a member's session now."""
        self.expired.append(member_id)
        self._remove(self.members[member_id])

    def _write_down(self) -> None:
        members = {
            member_id: Member(
                m.member_id, m.instance_id, m.session_s, m.rebalance_s, m.protocols, 0, m.assignment
            )
            for member_id, m in self.members.items()
        }
        self._written = Written(self.generation, self.protocol, self.leader, members)

    def _check(
        self, member_id: str, instance_id: str | None, generation: int | None = None
    ) -> ErrorCode:
        holder = next(
            (m for m in self.members.values() if instance_id and m.instance_id == instance_id), None
        )
        if holder is not None and holder.member_id != member_id:
            return ErrorCode.FENCED_INSTANCE_ID
        if member_id not in self.members:
            return ErrorCode.UNKNOWN_MEMBER_ID
        if generation is not None and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return ErrorCode.NONE

    def _hear(self, member: Member) -> None:
        member.heard_at = trio.current_time()

    async def _watch(self, member: Member) -> None:
        """End the session of a member that is silent for too long, unless it waits for us."""
        while self.members.get(member.member_id) is member:
            if member.joining is not None or member.syncing is not None:
                self._hear(member)
            silent_s = trio.current_time() - member.heard_at
            if silent_s >= member.session_s:
                self.expire(member.member_id)
                return
            await trio.sleep(member.session_s - silent_s)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Act after a while, unless the rebalance has gone on by then."""
        planned_for = self._rebalance_no

        async def wait() -> None:
            await trio.sleep(delay_s)
            if self._rebalance_no == planned_for:
                act()

        self._nursery.start_soon(wait)


class FakeGroups:
    """All groups of a cluster, by id."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._groups: dict[str, FakeGroup] = {}

    def __getitem__(self, group_id: str) -> FakeGroup:
        if group_id not in self._groups:
            self._groups[group_id] = FakeGroup(group_id, self._nursery)
        return self._groups[group_id]
