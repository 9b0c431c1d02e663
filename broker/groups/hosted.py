"""A group on its owner: the state machine, and what is asked of the store for it.

Must never know: who owns what, requests, deadlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.groups.errors import GroupNotEmpty
from broker.groups.joining import join
from broker.groups.living import leave
from broker.groups.membership import encode_membership
from broker.groups.state import State
from broker.groups.syncing import sync
from broker.groups.waiting import WaitingReply
from coordinator.groups.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.groups.group import Group
    from broker.groups.member import Joining, Syncing
    from coordinator.groups.change import TopicChange
    from coordinator.groups.image import TopicOffsets
    from coordinator.groups.queue import GroupQueue, Write


class HostedGroup:
    """What handlers work on. `moved` is called after every act that may have moved the group."""

    def __init__(
        self,
        group: Group,
        queue: GroupQueue,
        *,
        moved: Callable[[HostedGroup], None],
    ) -> None:
        self.group = group
        self.queue = queue
        self.stored_revision = group.revision
        self.is_storing = False
        self.burial: Write | None = None
        """What takes the group out of the store, once that is asked for."""
        self._moved = moved

    @property
    def deadline(self) -> float:
        """When the group has to be woken."""
        return self.group.deadline

    @property
    def offsets(self) -> Mapping[str, TopicOffsets]:
        """The committed offsets that are durable."""
        return self.queue.owned.offsets

    @property
    def is_of_no_use(self) -> bool:
        """Whether nothing would be lost with it, as far as durable: what is asked may be more."""
        return self.group.state is State.EMPTY and not (self.group.pending or self.offsets)

    # Members.

    def join(self, joining: Joining, *, now: float) -> WaitingReply:
        """Let a member join; the reply comes with the generation. Raises: RequestError."""
        reply = WaitingReply()
        try:
            join(self.group, joining, reply, now=now)
        finally:  # a refusal may have given a member id out, which has a deadline
            self._moved(self)
        return reply

    def sync(self, syncing: Syncing, *, now: float) -> WaitingReply:
        """Give a member its assignment, once it is stored. Raises: RequestError."""
        reply = WaitingReply()
        sync(self.group, syncing, reply, now=now)
        self._moved(self)
        return reply

    def leave(
        self, member_id: str, group_instance_id: str | None, *, reason: str | None, now: float
    ) -> None:
        """Let a member go. Raises: RequestError."""
        leave(self.group, member_id, group_instance_id, reason=reason, now=now)
        self._moved(self)

    def expire(self, *, now: float) -> None:
        """Do what is due."""
        self.group.expire(now=now)
        self._moved(self)

    # The store.

    def write_offsets(self, topics: Mapping[str, TopicChange]) -> Write:
        """Have offsets stored, or forgotten."""
        return self.queue.submit(Change(topics))

    def settle_offsets(self) -> Write:
        """Have all that was asked so far stored, and make sure that the group is still ours.

        After that `offsets` are what any other owner would find.
        """
        return self.queue.submit(Change())

    def store_membership(self) -> Write:
        """Have the members stored as they are now."""
        return self.queue.submit(Change(membership=encode_membership(self.group)))

    def delete(self) -> Write:
        """Have the group forgotten. Raises: GroupNotEmpty."""
        if self.group.state is not State.EMPTY:
            raise GroupNotEmpty(
                f"group {self.group.group_id!r} has {len(self.group.members)} members: stop them"
            )
        self.group.delete()
        self.burial = self.queue.submit(Change(deleted=True))
        self._moved(self)
        return self.burial
