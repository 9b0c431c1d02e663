"""What a broker of the scripted cluster answers about groups: one method for each API.

As in `fake_answers`, each takes the broker's id, the request, and a code to answer with instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.api import ApiKey
from protocol.api.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsResponse,
)
from protocol.api.find_coordinator import Coordinator, FindCoordinatorResponse
from protocol.api.heartbeat import HeartbeatResponse
from protocol.api.join_group import JoinGroupResponse
from protocol.api.leave_group import LeaveGroupResponse, MemberResponse
from protocol.api.offset_commit import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.api.offset_fetch import (
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from protocol.api.sync_group import SyncGroupResponse
from protocol.errors import ErrorCode
from tests.support.fake_groups import FakeGroup, Reply

if TYPE_CHECKING:
    from tests.support.fake_cluster import FakeCluster

PORT = 9092


class GroupAnswers:
    """The handlers of all brokers of one `FakeCluster`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def find_coordinator(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        keys = request.coordinator_keys or [request.key]
        found = []
        for key in keys:
            keeper = self._cluster.groups[key].broker_id
            error = code
            if error is None and keeper not in self._cluster.live:
                error = ErrorCode.COORDINATOR_NOT_AVAILABLE
            if error:
                found.append(Coordinator(key, -1, "", -1, error))
            else:
                found.append(Coordinator(key, keeper, f"broker-{keeper}", PORT))
        if request.coordinator_keys:
            return FindCoordinatorResponse(coordinators=found)
        (one,) = found
        return FindCoordinatorResponse(
            error_code=one.error_code, node_id=one.node_id, host=one.host, port=one.port
        )

    async def join_group(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group, error = self._group(broker_id, request.group_id, code)
        if error:
            return JoinGroupResponse(error_code=error, protocol_name="")
        _, newest = self._cluster.versions[ApiKey.JOIN_GROUP]
        answer = group.join(request, ids_required=newest >= 4)
        return await answer.wait() if isinstance(answer, Reply) else answer

    async def sync_group(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group, error = self._group(broker_id, request.group_id, code)
        if error:
            return SyncGroupResponse(error_code=error)
        answer = group.sync(request)
        return await answer.wait() if isinstance(answer, Reply) else answer

    def heartbeat(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group, error = self._group(broker_id, request.group_id, code)
        if not error:
            error = group.heartbeat(
                request.member_id, request.group_instance_id, request.generation_id
            )
        return HeartbeatResponse(error_code=error)

    def leave_group(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group, error = self._group(broker_id, request.group_id, code)
        if error:
            return LeaveGroupResponse(error_code=error)
        if not request.members:
            return LeaveGroupResponse(error_code=group.leave(request.member_id, None, None))
        return LeaveGroupResponse(
            members=[
                MemberResponse(
                    member.member_id,
                    member.group_instance_id,
                    group.leave(member.member_id, member.group_instance_id, member.reason),
                )
                for member in request.members
            ]
        )

    def describe_groups(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        answers = []
        for group_id in request.groups:
            group, error = self._group(broker_id, group_id, code)
            answer = DescribedGroup(error_code=error, group_id=group_id)
            if not error:
                answer.group_state = group.state.value
                answer.members = [
                    DescribedGroupMember(m.member_id, m.instance_id, member_assignment=m.assignment)
                    for m in group.members.values()
                ]
            answers.append(answer)
        return DescribeGroupsResponse(groups=answers)

    def offset_commit(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group, error = self._group(broker_id, request.group_id, code)
        topics = []
        for topic in request.topics:
            answers = []
            for asked in topic.partitions:
                refused = error
                if not refused and not self._exists(topic.name, asked.partition_index):
                    refused = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                if not refused:
                    refused = group.commit(
                        request.member_id,
                        request.group_instance_id,
                        request.generation_id_or_member_epoch,
                        place=(topic.name, asked.partition_index),
                        offset=asked.committed_offset,
                        leader_epoch=asked.committed_leader_epoch,
                        metadata=asked.committed_metadata,
                    )
                answers.append(OffsetCommitResponsePartition(asked.partition_index, refused))
            topics.append(OffsetCommitResponseTopic(topic.name, answers))
        return OffsetCommitResponse(topics=topics)

    def offset_fetch(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if request.groups:
            groups = []
            for asked in request.groups:
                group, error = self._group(broker_id, asked.group_id, code)
                topics = [
                    OffsetFetchResponseTopics(
                        topic.name,
                        [
                            OffsetFetchResponsePartitions(*self._committed(group, topic.name, p))
                            for p in topic.partition_indexes
                        ],
                    )
                    for topic in asked.topics or ()
                    if not error
                ]
                groups.append(OffsetFetchResponseGroup(asked.group_id, topics, error))
            return OffsetFetchResponse(groups=groups)
        group, error = self._group(broker_id, request.group_id, code)
        old_topics = [
            OffsetFetchResponseTopic(
                topic.name,
                [
                    OffsetFetchResponsePartition(*self._committed(group, topic.name, p))
                    for p in topic.partition_indexes
                ],
            )
            for topic in request.topics or ()
            if not error
        ]
        return OffsetFetchResponse(topics=old_topics, error_code=error)

    def _group(
        self, broker_id: int, group_id: str, code: ErrorCode | None
    ) -> tuple[FakeGroup, ErrorCode]:
        group = self._cluster.groups[group_id]
        if code:
            return group, code
        if group.broker_id != broker_id:
            return group, ErrorCode.NOT_COORDINATOR
        if group.loading:
            return group, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        return group, ErrorCode.NONE

    def _exists(self, topic: str, partition: int) -> bool:
        known = self._cluster.topics.get(topic)
        return known is not None and partition < len(known.partitions)

    @staticmethod
    def _committed(
        group: FakeGroup, topic: str, partition: int
    ) -> tuple[int, int, int, str, ErrorCode]:
        if (topic, partition) in group.unstable:
            return partition, -1, -1, "", ErrorCode.UNSTABLE_OFFSET_COMMIT
        at = group.offsets.get((topic, partition))
        if at is None:
            return partition, -1, -1, "", ErrorCode.NONE
        return partition, at.offset, at.leader_epoch, at.metadata, ErrorCode.NONE
