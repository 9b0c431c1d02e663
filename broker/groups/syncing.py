"""What becomes of a member that asks for its assignment: the leader brings those of all.

Must never know: sockets, the store, what an assignment says.
Source: KIP-62, KIP-559 (members name the protocol that they take for the chosen one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.groups.errors import InconsistentProtocol, RebalanceInProgress
from broker.groups.state import State

if TYPE_CHECKING:
    from broker.groups.group import Group
    from broker.groups.member import Reply, Syncing


def sync(group: Group, syncing: Syncing, reply: Reply, *, now: float) -> None:
    """Give a member its assignment, once the leader's is stored.

    Raises: UnknownMember, FencedInstance, IllegalGeneration, InconsistentProtocol,
    RebalanceInProgress.
    """
    member = group.current(syncing.member_id, syncing.group_instance_id, syncing.generation_id)
    _check_protocol(group, syncing)
    if group.state is State.PREPARING:
        raise RebalanceInProgress
    group.assigning.unsynced.discard(member.member_id)
    member.answer_sync(RebalanceInProgress())  # an earlier request that it has given up
    if group.state is State.STABLE:
        reply.answer(group.synced(member))
    else:
        member.sync_reply = reply
        if member.member_id == group.leader_id and not group.assigning.is_on_its_way:
            group.assign(syncing.assignments)
    group.members.hear(member, now=now)


def _check_protocol(group: Group, syncing: Syncing) -> None:
    """Refuse who takes another protocol for the chosen one. Raises: InconsistentProtocol."""
    if syncing.protocol_type not in (None, group.protocol_type):
        raise InconsistentProtocol(f"the group's protocol type is {group.protocol_type!r}")
    if syncing.protocol_name not in (None, group.protocol_name):
        raise InconsistentProtocol(f"the group has chosen protocol {group.protocol_name!r}")
