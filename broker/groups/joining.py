"""What becomes of a member that joins: decisions on top of the group's state machine.

Must never know: sockets, the store, how metadata is encoded.
Source: KIP-345 (static members), KIP-394 (member ids), KIP-814 (a static leader skips assigning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from broker.groups.errors import InconsistentProtocol, MemberIdRequired, RebalanceInProgress
from broker.groups.history import Kind
from broker.groups.member import Member, size_bytes
from broker.groups.state import State
from broker.groups.subscriptions import has_to_give_up, topics_of
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from broker.groups.group import Group, GroupRules
    from broker.groups.member import Joining, Reply

CLIENT_ID_CHARACTERS_MAX: Final = 255
"""What of a client id goes into a member id."""

INSTANCE_ID_CHARACTERS_MAX: Final = 1_024
"""As many as of a group id; Kafka's own clients take at most 249."""

GROUP_BYTES_MAX: Final = 32 * 1024 * 1024
"""What all members of a group may say of themselves; its leader is told all of it, and its next
owner has to be able to read it."""


def join(group: Group, joining: Joining, reply: Reply, *, now: float) -> None:
    """Let a member into the group's next generation, or tell it of the present one.

    Raises: RequestError, all of them final for this request.
    """
    check_joining(joining, group.rules)
    known = _known(group, joining)
    try:
        _check_fit(group, joining, known)
    except RequestError:
        # It has come, and in vain: nobody has to wait for it any more.
        group.pending.remove(joining.member_id)
        group.try_to_complete(now=now)
        raise
    if known is not None and not joining.member_id:
        _replace(group, known, joining, reply, now=now)
    elif known is not None:
        _rejoin(group, known, joining, reply, now=now)
    elif joining.member_id or joining.group_instance_id is not None or not joining.needs_member_id:
        _come_in(group, joining, reply, now=now)
    else:
        _send_for_id(group, joining, now=now)


def check_joining(joining: Joining, rules: GroupRules) -> None:
    """Refuse what no group would take. Raises: RequestError."""
    least_ms, most_ms = rules.session_timeout_min_ms, rules.session_timeout_max_ms
    if not least_ms <= joining.session_timeout_ms <= most_ms:
        raise RequestError.of(
            ErrorCode.INVALID_SESSION_TIMEOUT,
            f"session timeout {joining.session_timeout_ms} ms: {least_ms} to {most_ms} ms are"
            " accepted (group.min.session.timeout.ms, group.max.session.timeout.ms)",
        )
    if not joining.protocol_type or not joining.protocols:
        raise InconsistentProtocol("a protocol type and at least one protocol are needed")
    if len(joining.group_instance_id or "") > INSTANCE_ID_CHARACTERS_MAX:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"a group instance id has at most {INSTANCE_ID_CHARACTERS_MAX} characters",
        )
    asked_bytes = size_bytes(joining)
    if asked_bytes > rules.member_bytes_max:
        raise RequestError.of(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"{asked_bytes} bytes in {len(joining.protocols)} protocols: of a member"
            f" {rules.member_bytes_max} are kept (ottla.group.member.max.bytes): subscribe to fewer"
            " topics",
        )


def can_join(joining: Joining, rules: GroupRules) -> bool:
    """Say whether some group could take it."""
    try:
        check_joining(joining, rules)
    except RequestError:
        return False
    return True


def _known(group: Group, joining: Joining) -> Member | None:
    """Find the member that joins again, or that is replaced. Raises: UnknownMember, ..."""
    if joining.member_id in group.pending and joining.group_instance_id is None:
        return None
    if joining.member_id:
        return group.members.get(joining.member_id, joining.group_instance_id)
    return group.members.of_instance(joining.group_instance_id)


def _check_fit(group: Group, joining: Joining, known: Member | None) -> None:
    """Refuse who has nothing in common with the others, and whoever is one too many."""
    if len(group.members) and joining.protocol_type != group.protocol_type:
        raise InconsistentProtocol(
            f"group {group.group_id!r} is of protocol type {group.protocol_type!r},"
            f" not {joining.protocol_type!r}"
        )
    if not group.members.accept(joining.protocols, of=known):
        raise InconsistentProtocol(
            f"no assignment strategy of {[name for name, _ in joining.protocols]} is known to all"
            " members: configure one that all share"
        )
    if known is None and len(group.members) >= group.rules.members_max:
        raise RequestError.of(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"group {group.group_id!r} has {len(group.members)} members, the most that"
            " group.max.size allows",
        )
    others_bytes = group.members.size_bytes - (0 if known is None else size_bytes(known))
    if others_bytes + size_bytes(joining) > GROUP_BYTES_MAX:
        raise RequestError.of(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"what the members of group {group.group_id!r} say of themselves would be more than"
            f" {GROUP_BYTES_MAX} bytes: let each subscribe to fewer topics",
        )


def _send_for_id(group: Group, joining: Joining, *, now: float) -> None:
    member_id = _new_member_id(group, joining)
    group.pending.add(member_id, until=now + joining.session_timeout_ms / 1000)
    raise MemberIdRequired(member_id)


def _come_in(group: Group, joining: Joining, reply: Reply, *, now: float) -> None:
    member_id = joining.member_id or _new_member_id(group, joining)
    member = Member.of(joining, member_id, now=now)
    member.join_reply = reply
    group.protocol_type = joining.protocol_type
    group.admit(member)
    group.history.note(Kind.JOINED, member, reason=joining.reason)
    group.rebalance(now=now)


def _rejoin(group: Group, member: Member, joining: Joining, reply: Reply, *, now: float) -> None:
    changed = member.protocols != joining.protocols
    group.members.adopt(member, joining)
    group.members.hear(member, now=now)
    is_needed = (
        group.state is State.PREPARING
        or changed
        # Only so can a leader make what it alone knows count, such as new partitions of a topic.
        or (group.state is State.STABLE and member.member_id == group.leader_id)
    )
    if not is_needed:
        reply.answer(group.joined(member))
        return
    member.answer_join(RebalanceInProgress())  # an earlier request that it has given up
    member.join_reply = reply
    if group.state is not State.PREPARING:
        kind = Kind.CHANGED if changed else Kind.REJOINED
        group.history.note(kind, member, reason=joining.reason)
    group.rebalance(now=now)


def _replace(group: Group, member: Member, joining: Joining, reply: Reply, *, now: float) -> None:
    """Let a restarted static member have its old place, without a rebalance if that will do."""
    old_leader_id, old_topics = group.leader_id, topics_of(group, member)
    # Of what it was to give up nobody else knows that it is free now.
    must_join = group.state is State.STABLE and has_to_give_up(group, member)
    group.members.adopt(member, joining)
    group.members.hear(member, now=now)
    group.replace(member, _new_member_id(group, joining))
    member.join_reply = reply
    is_as_before = (
        group.state is State.STABLE
        and not must_join
        and group.members.choose_protocol() == group.protocol_name
        and topics_of(group, member) == old_topics
    )
    if is_as_before:
        group.revision += 1
        outcome = group.joined(member)
        if joining.may_skip_assignment:
            outcome = replace(outcome, skip_assignment=member.member_id == group.leader_id)
        else:
            # Its assignment would not be taken now: told of the old leader it makes none.
            outcome = replace(outcome, leader_id=old_leader_id, members=())
        member.joined_when_stored = (group.revision, outcome)
        return
    group.history.note(Kind.REPLACED, member, reason=joining.reason)
    group.rebalance(now=now)


def _new_member_id(group: Group, joining: Joining) -> str:
    stem = joining.group_instance_id or joining.client_id[:CLIENT_ID_CHARACTERS_MAX]
    return f"{stem}-{group.new_id()}"
