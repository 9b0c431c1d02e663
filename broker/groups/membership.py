"""A group's membership as bytes, so that its next owner can go on without a rebalance.

Must never know: where the bytes are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack

from broker.groups.member import Member
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from broker.groups.group import Group

FORMAT: Final = 1

_ROW: Final = (str, str | None, str, str, int, int, list, bytes)


class MembershipUnreadable(CoordinationError):
    """The membership of a group is not what this release wrote or can read."""


def encode_membership(group: Group) -> bytes:
    """Encode generation, protocol and members of a settled group."""
    assert group.is_settled, "what is half agreed on is nobody else's to go on with"
    packed = msgpack.packb(
        {
            "format": FORMAT,
            "generation_id": group.generation_id,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol_name,
            "leader_id": group.leader_id,
            "empty_since_ms": group.empty_since_ms,
            "members": [
                (
                    member.member_id,
                    member.group_instance_id,
                    member.client_id,
                    member.client_host,
                    member.session_timeout_ms,
                    member.rebalance_timeout_ms,
                    member.protocols,
                    member.assignment,
                )
                for member in group.members
            ],
        }
    )
    assert isinstance(packed, bytes)
    return packed


def restore_membership(group: Group, packed: bytes, *, now: float) -> None:
    """Give a new group the membership that was stored; every member's session begins anew.

    Raises: MembershipUnreadable.
    """
    if not packed:
        return
    try:
        fields = msgpack.unpackb(packed)
        if fields["format"] != FORMAT:
            raise MembershipUnreadable(
                f"group {group.group_id!r}: membership format {fields['format']}, this release"
                f" reads {FORMAT}: run the newer release"
            )
        members = [_member(row, now=now) for row in fields["members"]]
        group.restore(
            members,
            generation_id=int(fields["generation_id"]),
            protocol=(str(fields["protocol_type"]), str(fields["protocol_name"])),
            leader_id=str(fields["leader_id"]),
            empty_since_ms=int(fields["empty_since_ms"]),
        )
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise MembershipUnreadable(
            f"group {group.group_id!r}: its membership cannot be read: {error!r}"
        ) from error


def _member(row: list[Any], *, now: float) -> Member:
    member_id, instance_id, client_id, host, session_ms, rebalance_ms, protocols, assignment = row
    for value, kind in zip(row, _ROW, strict=True):
        if not isinstance(value, kind):
            raise TypeError(f"{value!r:.80} is no {kind}")
    return Member(
        member_id=member_id,
        group_instance_id=instance_id,
        client_id=client_id,
        client_host=host,
        session_timeout_ms=session_ms,
        rebalance_timeout_ms=rebalance_ms,
        protocols=tuple((str(name), bytes(data)) for name, data in protocols),
        heard_at=now,
        assignment=assignment,
    )
