"""How groups are shown: tables for people, plain values for JSON.

Must never know: how the facts are found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from commands.columns import columns, count_of
from commands.group_lag import PartitionLag, total

if TYPE_CHECKING:
    from client.group_descriptions import GroupHistory, GroupMember, ListedGroup
    from commands.group_plan import Move
    from commands.group_view import GroupView


def listing(groups: tuple[ListedGroup, ...], members: dict[str, int]) -> str:
    """Write groups in columns, with the number of their members."""
    rows = [
        [
            group.group_id,
            group.state or "-",
            group.kind or "-",
            group.protocol_type or "-",
            str(members.get(group.group_id, "-")),
            str(group.coordinator_id),
        ]
        for group in groups
    ]
    return columns(("GROUP", "STATE", "TYPE", "PROTOCOL", "MEMBERS", "BROKER"), rows)


def show(view: GroupView) -> str:
    """Write a group: a headline, its partitions, its members, what it all adds up to."""
    group = view.description
    protocol = " ".join(filter(None, (group.protocol_type, group.protocol_name)))
    parts = [
        f"{group.group_id}: {group.state}, {protocol or 'no protocol'},"
        f" {count_of(len(group.members), 'member')}, kept by broker {group.coordinator_id}"
    ]
    if view.partitions:
        parts += [_partition_table(view.partitions), _totals(view.partitions)]
    else:
        parts.append("nothing committed, nothing assigned")
    if group.members:
        parts.append(_member_table(group.members))
    return "\n".join(parts)


def _partition_table(lags: tuple[PartitionLag, ...]) -> str:
    header = ("TOPIC", "PARTITION", "COMMITTED", "LOG-START", "STABLE", "HIGH-WATERMARK")
    rows = [
        [
            lag.place.topic,
            str(lag.place.partition),
            _number(lag.committed.offset if lag.committed else None),
            _number(lag.ends.start),
            _number(lag.ends.last_stable),
            _number(lag.ends.high_watermark),
            _number(lag.stable_lag),
            _number(lag.high_watermark_lag),
            *_reader(lag.member),
        ]
        for lag in lags
    ]
    return columns((*header, "LAG", "LAG-TO-HIGH", "CLIENT", "HOST", "MEMBER"), rows)


def _reader(member: GroupMember | None) -> tuple[str, str, str]:
    if member is None:
        return "-", "-", "-"
    return member.client_id, member.client_host, member.member_id


def _totals(lags: tuple[PartitionLag, ...]) -> str:
    stable = _number(total(lag.stable_lag for lag in lags))
    high = _number(total(lag.high_watermark_lag for lag in lags))
    line = f"{count_of(len(lags), 'partition')}, lag {stable}, to the high watermark {high}"
    uncommitted = sum(lag.committed is None for lag in lags)
    return f"{line}, nothing committed in {uncommitted}" if uncommitted else line


def _member_table(members: tuple[GroupMember, ...]) -> str:
    rows = [
        [
            member.client_id,
            member.client_host,
            member.group_instance_id or "-",
            member.member_id,
            str(len(member.assignment)),
            assigned(member) or "-",
        ]
        for member in sorted(members, key=lambda member: member.member_id)
    ]
    return columns(("CLIENT", "HOST", "INSTANCE", "MEMBER", "COUNT", "ASSIGNED"), rows)


def assigned(member: GroupMember) -> str:
    """Write a member's partitions, topic by topic: `orders:0,1 audit:3`."""
    topics: dict[str, list[str]] = {}
    for place in member.assignment:
        topics.setdefault(place.topic, []).append(str(place.partition))
    return " ".join(f"{topic}:{','.join(numbers)}" for topic, numbers in topics.items())


def moves_table(moves: tuple[Move, ...]) -> str:
    """Write what a reset does, and where the log does not reach to what was wanted."""
    rows = [
        [
            move.place.topic,
            str(move.place.partition),
            _number(move.before),
            str(move.after),
            f"{move.after - move.before:+}" if move.before is not None else "-",
            f"{move.wanted} is outside the log" if move.is_clamped else move.beyond or "",
        ]
        for move in moves
    ]
    return columns(("TOPIC", "PARTITION", "BEFORE", "AFTER", "CHANGE", "NOTE"), rows)


def describe_listed(group: ListedGroup) -> dict[str, Any]:
    """Give a listed group as plain values."""
    return {
        "group": group.group_id,
        "state": group.state or None,
        "type": group.kind or None,
        "protocol_type": group.protocol_type,
        "coordinator": group.coordinator_id,
    }


def describe_view(view: GroupView) -> dict[str, Any]:
    """Give a group as plain values."""
    group = view.description
    return {
        "group": group.group_id,
        "state": group.state,
        "protocol_type": group.protocol_type,
        "protocol": group.protocol_name or None,
        "coordinator": group.coordinator_id,
        "lag": total(lag.stable_lag for lag in view.partitions),
        "high_watermark_lag": total(lag.high_watermark_lag for lag in view.partitions),
        "partitions": [_describe_lag(lag) for lag in view.partitions],
        "members": [describe_member(member) for member in group.members],
    }


def describe_member(member: GroupMember) -> dict[str, Any]:
    """Give a member as plain values."""
    return {
        "member": member.member_id,
        "instance": member.group_instance_id,
        "client": member.client_id,
        "host": member.client_host,
        "assigned": [
            {"topic": place.topic, "partition": place.partition} for place in member.assignment
        ],
    }


def describe_move(move: Move) -> dict[str, Any]:
    """Give one partition's part of a reset as plain values."""
    return {
        "topic": move.place.topic,
        "partition": move.place.partition,
        "before": move.before,
        "wanted": move.wanted,
        "after": move.after,
        "clamped": move.is_clamped,
        "beyond": move.beyond,
    }


def describe_history(history: GroupHistory) -> dict[str, Any]:
    """Give a history as plain values, with the names that the fields have."""
    plain = msgspec.to_builtins(history)
    assert isinstance(plain, dict), "a struct"
    return plain


def _describe_lag(lag: PartitionLag) -> dict[str, Any]:
    committed, member = lag.committed, lag.member
    return {
        "topic": lag.place.topic,
        "partition": lag.place.partition,
        "committed": committed.offset if committed else None,
        "leader_epoch": committed.leader_epoch if committed else None,
        "metadata": committed.metadata if committed else None,
        "log_start": lag.ends.start,
        "last_stable": lag.ends.last_stable,
        "high_watermark": lag.ends.high_watermark,
        "lag": lag.stable_lag,
        "high_watermark_lag": lag.high_watermark_lag,
        "member": member.member_id if member else None,
        "client": member.client_id if member else None,
        "host": member.client_host if member else None,
    }


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)
