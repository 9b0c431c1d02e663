"""In whose name offsets are committed: a member's, or that of somebody outside the group.

Must never know: offsets, requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from client.group.assignor import NO_GENERATION
from client.group.membership import Membership, Phase
from client.group.verdicts import Verdict, verdict_on
from client.records import GroupMetadata
from protocol.api import ApiKey
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from client.group.signal import Signal


class Committer(Protocol):
    """What committing has to know of who commits."""

    @property
    def identity(self) -> GroupMetadata:
        """Return what a commit names the committer by."""

    @property
    def may_commit(self) -> bool:
        """Say whether there is anything that it may commit."""

    @property
    def losses(self) -> int:
        """Count how often the committer lost what it held."""

    @property
    def loss(self) -> str:
        """Say how it lost it the last time."""

    def answered(self, api: ApiKey, code: ErrorCode, *, asked_as: GroupMetadata) -> Verdict:
        """Take in the code of an answer."""

    async def wait_settled(self) -> None:
        """Wait until no rebalance is under way."""


class Insider:
    """A member of the group."""

    def __init__(self, membership: Membership, signal: Signal) -> None:
        self._membership = membership
        self._signal = signal

    @property
    def identity(self) -> GroupMetadata:
        """Return who the member is now."""
        return self._membership.identity

    @property
    def may_commit(self) -> bool:
        """Say whether it is in a generation."""
        return self._membership.identity.generation_id != NO_GENERATION

    @property
    def losses(self) -> int:
        """Count the generations that ended without it."""
        return self._membership.losses

    @property
    def loss(self) -> str:
        """Say how the last of them did."""
        return self._membership.loss

    def answered(self, api: ApiKey, code: ErrorCode, *, asked_as: GroupMetadata) -> Verdict:
        """Take in the code of an answer; whoever has to act on a loss hears of it."""
        verdict = self._membership.answered(api, code, asked_as=asked_as)
        if verdict is not Verdict.DONE:  # it is told of each partition
            self._signal.notify()
        return verdict

    async def wait_settled(self) -> None:
        """Wait until no join is under way."""
        settled = {Phase.STABLE, Phase.OUT}
        await self._signal.until(lambda: self._membership.phase in settled)


class Outsider:
    """Somebody who is no member, and assigns partitions to himself."""

    may_commit = True
    losses = 0
    loss = "it is no member"

    def __init__(self, group_id: str) -> None:
        self.identity = GroupMetadata(group_id)

    def answered(self, api: ApiKey, code: ErrorCode, *, asked_as: GroupMetadata) -> Verdict:  # noqa: ARG002
        """Take in the code of an answer; what only a member can mend is final."""
        verdict = verdict_on(api, code)
        retried = {Verdict.DONE, Verdict.AGAIN, Verdict.ELSEWHERE}
        return verdict if verdict in retried else Verdict.REFUSED

    async def wait_settled(self) -> None:
        """Do not wait: nothing that an outsider is told makes it wait for a rebalance."""
