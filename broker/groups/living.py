"""How a member lives on in its group, and leaves it.

Must never know: sockets, the store, what is committed.
Source: KIP-62, KIP-345 (static members may be named by their instance id), KIP-800 (reasons).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.groups.errors import RebalanceInProgress, UnknownMember
from broker.groups.history import Kind
from broker.groups.state import State

if TYPE_CHECKING:
    from broker.groups.group import Group


def heartbeat(
    group: Group, member_id: str, group_instance_id: str | None, generation_id: int, *, now: float
) -> None:
    """Hear of a member.

    Raises: UnknownMember, FencedInstance, IllegalGeneration, RebalanceInProgress.
    """
    member = group.current(member_id, group_instance_id, generation_id)
    group.members.hear(member, now=now)
    if group.state is State.PREPARING:
        raise RebalanceInProgress


def check_commit(
    group: Group, member_id: str, group_instance_id: str | None, generation_id: int, *, now: float
) -> None:
    """Let a member commit, or anybody while there is no member.

    Raises: UnknownMember, FencedInstance, IllegalGeneration, RebalanceInProgress.
    """
    if generation_id < 0:
        if group.state is State.EMPTY:
            return
        if not member_id and group_instance_id is None:
            raise UnknownMember(member_id)
    member = group.current(member_id, group_instance_id, generation_id)
    if group.state is State.COMPLETING:
        raise RebalanceInProgress
    group.members.hear(member, now=now)


def leave(
    group: Group,
    member_id: str,
    group_instance_id: str | None,
    *,
    now: float,
    reason: str | None = None,
) -> None:
    """Let a member go; a static one may be named by its instance id alone (KIP-345).

    Raises: UnknownMember, FencedInstance.
    """
    if member_id in group.pending:
        group.pending.remove(member_id)
        group.try_to_complete(now=now)
        return
    known = group.members.of_instance(group_instance_id)
    if known is None or member_id:
        known = group.members.get(member_id, group_instance_id)
    group.let_go(known, Kind.LEFT, now=now, reason=reason)
