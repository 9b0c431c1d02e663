"""A member of a group, and what it asks when it joins.

Must never know: the group's state, other members, who waits for an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEW_MEMBER_JOIN_TIMEOUT_S: Final = 300.0
"""How long a new member is kept that has not heard of its first generation (as in Kafka)."""

NEVER: Final = float("inf")

MEMBER_BYTES: Final = 256
"""What keeping a member takes besides what it says of itself."""

PROTOCOL_BYTES: Final = 64
"""What keeping a protocol takes besides its name and metadata."""


class Joined(Struct, frozen=True):
    """A member's answer to JoinGroup: its generation and, for the leader, all members.

    `members` are (member id, group instance id, metadata for the chosen protocol).
    """

    generation_id: int
    protocol_type: str
    protocol_name: str
    leader_id: str
    member_id: str
    members: tuple[tuple[str, str | None, bytes], ...] = ()
    skip_assignment: bool = False


class Synced(Struct, frozen=True):
    """A member's answer to SyncGroup: what it is to read."""

    protocol_type: str
    protocol_name: str
    assignment: bytes


class Reply(Protocol):
    """Where an answer goes, now or later, once."""

    def answer(self, outcome: Joined | Synced | RequestError, /) -> None:
        """Take the answer."""


class Joining(Struct, frozen=True):
    """What a member says when it joins.

    `needs_member_id`: it can be sent away to come back with an id (KIP-394, version 4).
    `may_skip_assignment`: as a static leader it can be told not to assign (version 9).
    """

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    reason: str | None = None
    needs_member_id: bool = False
    may_skip_assignment: bool = False


class Syncing(Struct, frozen=True):
    """What a member says when it asks for its assignment; the leader brings all `assignments`.

    The protocol is what it takes for the chosen one; None where it does not say (version 4).
    """

    member_id: str
    group_instance_id: str | None
    generation_id: int
    assignments: Mapping[str, bytes]
    protocol_type: str | None = None
    protocol_name: str | None = None


class Member(Struct, eq=False):
    """One member; times are in seconds of the monotonic clock.

    `joined_when_stored` is the answer for `join_reply` once a revision of the group is durable;
    where there is none, it waits for the next generation.
    """

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    heard_at: float
    is_new: bool = False
    assignment: bytes = b""
    join_reply: Reply | None = None
    joined_when_stored: tuple[int, Joined] | None = None
    sync_reply: Reply | None = None

    @classmethod
    def of(cls, joining: Joining, member_id: str, *, now: float) -> Member:
        """Make a new member of one that joins."""
        return cls(
            member_id=member_id,
            group_instance_id=joining.group_instance_id,
            client_id=joining.client_id,
            client_host=joining.client_host,
            session_timeout_ms=joining.session_timeout_ms,
            rebalance_timeout_ms=joining.rebalance_timeout_ms,
            protocols=joining.protocols,
            heard_at=now,
            is_new=True,
        )

    def adopt(self, joining: Joining) -> None:
        """Take over what the member says of itself now."""
        self.client_id, self.client_host = joining.client_id, joining.client_host
        self.session_timeout_ms = joining.session_timeout_ms
        self.rebalance_timeout_ms = joining.rebalance_timeout_ms
        self.protocols = joining.protocols

    @property
    def is_static(self) -> bool:
        """Whether it keeps its place by a name of its own (KIP-345)."""
        return self.group_instance_id is not None

    @property
    def deadline(self) -> float:
        """When it is out of time unless it is heard of; one that waits for us is not."""
        if self.is_new:
            return self.heard_at + NEW_MEMBER_JOIN_TIMEOUT_S
        if self.join_reply is not None or self.sync_reply is not None:
            return NEVER
        return self.heard_at + self.session_timeout_ms / 1000

    def metadata(self, protocol_name: str) -> bytes:
        """Give what it says to the leader under a protocol; b"" under one it does not know."""
        return next((data for name, data in self.protocols if name == protocol_name), b"")

    def answer_join(self, outcome: Joined | RequestError) -> None:
        """Answer its JoinGroup, if it waits for that."""
        reply, self.join_reply = self.join_reply, None
        self.joined_when_stored = None
        if reply is not None:
            reply.answer(outcome)

    def answer_sync(self, outcome: Synced | RequestError) -> None:
        """Answer its SyncGroup, if it waits for that."""
        reply, self.sync_reply = self.sync_reply, None
        if reply is not None:
            reply.answer(outcome)


def size_bytes(said: Joining | Member) -> int:
    """Say what keeping a member that says this takes, about; its assignment left out."""
    protocols = sum(PROTOCOL_BYTES + len(name) + len(data) for name, data in said.protocols)
    return MEMBER_BYTES + len(said.client_id) + 2 * len(said.group_instance_id or "") + protocols
