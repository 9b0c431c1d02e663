"""One consumer's membership of a group: who it is there, in which generation, and what comes next.

Must never know: requests, connections, time, which partitions there are.
Source: Kafka's AbstractCoordinator, KIP-394 (member ids are given first), KIP-800 (reasons).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from client.group.assignor import NO_GENERATION
from client.group.verdicts import Verdict, verdict_on
from client.records import GroupMetadata
from protocol.api import ApiKey
from protocol.errors import ErrorCode

NO_MEMBER_ID: Final = ""
_COMMIT: Final = ApiKey.OFFSET_COMMIT
REASON_CHARS_MAX: Final = 255
"""Longer reasons are cut, as Java cuts them (KIP-800)."""


class Phase(Enum):
    """How far a member is on its way into a generation."""

    OUT = "in no generation"
    JOINING = "asked to be in the next generation"
    SYNCING = "in a generation, its assignment is not there yet"
    STABLE = "in a generation, and no join is under way"


NEXT: Final = {
    Phase.OUT: {Phase.JOINING},
    Phase.JOINING: {Phase.SYNCING, Phase.STABLE, Phase.OUT},
    Phase.SYNCING: {Phase.STABLE, Phase.OUT},
    Phase.STABLE: {Phase.JOINING, Phase.OUT},
}
"""What is absent cannot happen."""


class Membership:
    """The state of a membership.

    `rejoin_reason` is why another generation is to be joined, None where there is no need to.
    `is_fenced` says that another member has the group_instance_id: to join would take it back.
    `losses` counts how often a generation ended without the member, and `loss` says why it last
    did: whatever was held then belongs to others.
    """

    def __init__(self, group_id: str, group_instance_id: str | None = None) -> None:
        self.phase = Phase.OUT
        self.assignor_name: str | None = None
        self.is_leader = False
        self.is_fenced = False
        self.rejoin_reason: str | None = None
        self.losses = 0
        self.loss = "it has not joined yet"
        self._group_id = group_id
        self._group_instance_id = group_instance_id
        self._member_id = NO_MEMBER_ID
        self._generation_id = NO_GENERATION

    @property
    def identity(self) -> GroupMetadata:
        """Return what requests name the member by."""
        return GroupMetadata(
            self._group_id, self._generation_id, self._member_id, self._group_instance_id
        )

    @property
    def beats(self) -> bool:
        """Say whether the group expects heartbeats; while a JoinGroup waits it does not."""
        return self.phase in {Phase.SYNCING, Phase.STABLE}

    def ask_to_join(self, reason: str) -> None:
        """Have another generation joined; the first reason stays until that begins."""
        if self.rejoin_reason is None:
            self.rejoin_reason = reason[:REASON_CHARS_MAX]

    def begin_join(self) -> str:
        """Note that a JoinGroup is sent; return its reason."""
        assert self.rejoin_reason is not None, "nobody asked to join"
        reason, self.rejoin_reason = self.rejoin_reason, None
        self._enter(Phase.JOINING)
        return reason

    def joined(
        self, member_id: str, generation_id: int, *, assignor_name: str, is_leader: bool
    ) -> None:
        """Note that a generation began with the member in it."""
        self._enter(Phase.SYNCING)
        self._member_id = member_id
        self._generation_id = generation_id
        self.assignor_name = assignor_name
        self.is_leader = is_leader

    def synced(self) -> None:
        """Note that the assignment is there."""
        self._enter(Phase.STABLE)

    def join_failed(self, why: str) -> None:
        """Note that a join came to nothing; the member is where it was, and joins again."""
        if self.phase in {Phase.JOINING, Phase.SYNCING}:
            self._enter(Phase.OUT if self._generation_id == NO_GENERATION else Phase.STABLE)
        self.ask_to_join(why)

    def answered(
        self, api: ApiKey, code: ErrorCode, *, asked_as: GroupMetadata, member_id: str = ""
    ) -> Verdict:
        """Take in the code of an answer to a request that was sent `asked_as`.

        `member_id` is the one that came with MEMBER_ID_REQUIRED. An answer to whom the member no
        longer is says nothing about who it is now.
        """
        verdict = verdict_on(api, code)
        if asked_as != self.identity:
            return Verdict.DONE if api is ApiKey.HEARTBEAT else verdict
        match verdict:
            case Verdict.NAMED:
                self._member_id = member_id
            case Verdict.REJOIN if self.phase is not Phase.JOINING and api is not _COMMIT:
                # A commit that comes too early is told the same; then there is nothing to join.
                self.ask_to_join("the group is rebalancing")
            case Verdict.STALE if self.phase is not Phase.JOINING:
                self._lose(f"{code.name} in answer to {api.name}", forget=False)
                self.ask_to_join(f"lost its place: {self.loss}")
            case Verdict.FORGOTTEN | Verdict.FENCED:
                self.is_fenced = verdict is Verdict.FENCED
                self._lose(f"{code.name} in answer to {api.name}", forget=True)
                self.ask_to_join(f"lost its place: {self.loss}")
        return verdict

    def left(self, why: str) -> None:
        """Note that the member leaves; it is nobody from now on."""
        self.is_fenced = False
        self._lose(why, forget=True)

    def _lose(self, why: str, *, forget: bool) -> None:
        if forget:
            self._member_id = NO_MEMBER_ID
        self._generation_id = NO_GENERATION
        self.assignor_name = None
        self.is_leader = False
        self.losses += 1
        self.loss = why
        if self.phase is not Phase.OUT:
            self._enter(Phase.OUT)

    def _enter(self, phase: Phase) -> None:
        assert phase in NEXT[self.phase], f"{self.phase.name} to {phase.name}"
        self.phase = phase
