"""The requests about a group whose shape depends on the version, and reading their answers.

Must never know: who asks, what follows from an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from client.errors import error_code
from client.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.api.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from protocol.api.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from client.connection import Connection

_MEMBERS_SINCE: Final = 3
_GROUPS_SINCE: Final = 8
_STABLE_SINCE: Final = 7


def leave_request(connection: Connection, member: GroupMetadata, reason: str) -> LeaveGroupRequest:
    """Ask that a member is taken off the list; versions before 5 do not carry the reason."""
    if connection.version_of(ApiKey.LEAVE_GROUP) < _MEMBERS_SINCE:
        return LeaveGroupRequest(member.group_id, member.member_id)
    identity = MemberIdentity(member.member_id, member.group_instance_id, reason)
    return LeaveGroupRequest(member.group_id, members=[identity])


def leave_code(response: LeaveGroupResponse) -> ErrorCode:
    """Read what became of the one member that leaves."""
    codes = [response.error_code, *(member.error_code for member in response.members)]
    return error_code(next((code for code in codes if code), ErrorCode.NONE))


def commit_request(
    member: GroupMetadata, offsets: Mapping[TopicPartition, OffsetAndMetadata]
) -> OffsetCommitRequest:
    """Ask that offsets are kept."""
    topics: dict[str, OffsetCommitRequestTopic] = {}
    for (topic, partition), at in sorted(offsets.items()):
        entry = topics.setdefault(topic, OffsetCommitRequestTopic(topic))
        entry.partitions.append(
            OffsetCommitRequestPartition(partition, at.offset, at.leader_epoch, at.metadata)
        )
    return OffsetCommitRequest(
        member.group_id,
        member.generation_id,
        member.member_id,
        member.group_instance_id,
        topics=list(topics.values()),
    )


def commit_codes(response: OffsetCommitResponse) -> dict[TopicPartition, ErrorCode]:
    """Read what became of each offset."""
    return {
        TopicPartition(topic.name, answer.partition_index): error_code(answer.error_code)
        for topic in response.topics
        for answer in topic.partitions
    }


def fetch_request(
    connection: Connection, group_id: str, places: Iterable[TopicPartition]
) -> OffsetFetchRequest:
    """Ask for committed offsets, and where brokers can, for none that a transaction may undo."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        by_topic.setdefault(topic, []).append(partition)
    version = connection.version_of(ApiKey.OFFSET_FETCH)
    stable = version >= _STABLE_SINCE
    if version >= _GROUPS_SINCE:
        topics = [OffsetFetchRequestTopics(*entry) for entry in by_topic.items()]
        group = OffsetFetchRequestGroup(group_id, topics=topics)
        return OffsetFetchRequest(groups=[group], require_stable=stable)
    old_topics = [OffsetFetchRequestTopic(*entry) for entry in by_topic.items()]
    return OffsetFetchRequest(group_id, old_topics, require_stable=stable)


def fetched_offsets(
    response: OffsetFetchResponse,
) -> tuple[ErrorCode, dict[TopicPartition, ErrorCode | OffsetAndMetadata | None]]:
    """Read the group's code, and each partition's: its offset, None, or why it is refused."""
    group = response.groups[0] if response.groups else response
    found: dict[TopicPartition, ErrorCode | OffsetAndMetadata | None] = {}
    for topic in group.topics:
        for answer in topic.partitions:
            place = TopicPartition(topic.name, answer.partition_index)
            if answer.error_code:
                found[place] = error_code(answer.error_code)
            elif answer.committed_offset < 0:
                found[place] = None
            else:
                found[place] = OffsetAndMetadata(
                    answer.committed_offset, answer.committed_leader_epoch, answer.metadata or ""
                )
    return error_code(group.error_code), found
