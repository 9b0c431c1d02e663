"""What an admin asks of brokers, answered by the scripted cluster: groups, disks, replicas.

Groups are set up by the test and do not live: who is a member is what the test says.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import trio

from client.descriptions import ResourceType
from protocol.api import describe_groups as described
from protocol.api import offset_fetch as fetched
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from protocol.api.delete_groups import DeletableGroupResult, DeleteGroupsResponse
from protocol.api.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from protocol.api.describe_configs import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from protocol.api.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from protocol.api.elect_leaders import (
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from protocol.api.find_coordinator import Coordinator, FindCoordinatorResponse
from protocol.api.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse,
)
from protocol.api.list_groups import ListedGroup, ListGroupsResponse
from protocol.api.list_partition_reassignments import (
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)
from protocol.api.offset_commit import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.api.offset_delete import (
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    TopicPartitions,
    encode_assignment,
)
from protocol.errors import ErrorCode
from tests.support.fake_answers import PORT, Answers
from tests.support.fake_cluster import FakeCluster


@dataclass
class FakeGroup:
    """A group as its broker knows it; `committed` is by topic and partition."""

    coordinator_id: int
    state: str = "Empty"
    protocol_type: str = "consumer"
    members: list[described.DescribedGroupMember] = field(default_factory=list)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    history: list[described.Rebalance] = field(default_factory=list)

    def add_member(self, member_id: str, assignment: dict[str, list[int]], **fields: Any) -> None:
        data = encode_assignment(
            ConsumerProtocolAssignment([TopicPartitions(*entry) for entry in assignment.items()])
        )
        self.members.append(
            described.DescribedGroupMember(
                member_id=member_id,
                client_id=fields.pop("client_id", "app"),
                client_host="/127.0.0.1",
                member_assignment=fields.pop("data", data),
                **fields,
            )
        )
        self.state = "Stable"


class FakeAdminCluster(FakeCluster):
    """A scripted cluster with groups, with replicas that move and with a disk at each broker."""

    def __init__(self, nursery: trio.Nursery, *, brokers: int) -> None:
        super().__init__(nursery, brokers=brokers)
        self._answers = (AdminAnswers(self), *self._answers)
        self.kept_groups: dict[str, FakeGroup] = {}
        self.moving: dict[tuple[str, int], list[int]] = {}
        self.keeps_history = True
        self.broker_configs: dict[str, dict[str, str]] = {}


class AdminAnswers(Answers):
    """Adds to what every client asks."""

    _cluster: FakeAdminCluster

    def _group(self, broker_id: int, group_id: str) -> FakeGroup | ErrorCode:
        group = self._cluster.kept_groups.get(group_id)
        if group is None:
            return ErrorCode.GROUP_ID_NOT_FOUND
        return group if group.coordinator_id == broker_id else ErrorCode.NOT_COORDINATOR

    def find_coordinator(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        found = []
        for key in request.coordinator_keys or [request.key]:
            group = self._cluster.kept_groups.get(key)
            node_id = group.coordinator_id if group else self._cluster.broker_ids[0]
            one = Coordinator(key, node_id, f"broker-{node_id}", PORT, code or 0, None)
            if not key:
                one.error_code = ErrorCode.INVALID_GROUP_ID
            found.append(one)
        if request.coordinator_keys:
            return FindCoordinatorResponse(coordinators=found)
        (one,) = found
        return FindCoordinatorResponse(
            error_code=one.error_code, node_id=one.node_id, host=one.host, port=one.port
        )

    def list_groups(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        return ListGroupsResponse(
            error_code=code or 0,
            groups=[
                ListedGroup(group_id, group.protocol_type, group.state, "classic")
                for group_id, group in self._cluster.kept_groups.items()
                if group.coordinator_id == broker_id
                and (not request.states_filter or group.state in request.states_filter)
            ],
        )

    def describe_groups(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        answers = []
        for group_id in request.groups:
            group = self._group(broker_id, group_id)
            answer = described.DescribedGroup(group_id=group_id)
            if code or isinstance(group, ErrorCode):
                answer.error_code = code or group
            else:
                answer.group_state = group.state
                answer.protocol_type = group.protocol_type
                answer.protocol_data = "range" if group.members else ""
                answer.members = group.members
                if request.include_history and self._cluster.keeps_history:
                    answer.history = group.history
                    answer.history_since_ms = 1
            answers.append(answer)
        return described.DescribeGroupsResponse(groups=answers)

    def delete_groups(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for group_id in request.groups_names:
            group = self._group(broker_id, group_id)
            if code or isinstance(group, ErrorCode):
                results.append(DeletableGroupResult(group_id, code or group))
            elif group.members:
                results.append(DeletableGroupResult(group_id, ErrorCode.NON_EMPTY_GROUP))
            else:
                del self._cluster.kept_groups[group_id]
                results.append(DeletableGroupResult(group_id, ErrorCode.NONE))
        return DeleteGroupsResponse(results=results)

    def offset_fetch(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if request.groups:
            return fetched.OffsetFetchResponse(
                groups=[
                    fetched.OffsetFetchResponseGroup(
                        asked.group_id,
                        *self._committed(
                            broker_id,
                            asked.group_id,
                            code,
                            fetched.OffsetFetchResponseTopics,
                            fetched.OffsetFetchResponsePartitions,
                        ),
                    )
                    for asked in request.groups
                ]
            )
        topics, error = self._committed(
            broker_id,
            request.group_id,
            code,
            fetched.OffsetFetchResponseTopic,
            fetched.OffsetFetchResponsePartition,
        )
        return fetched.OffsetFetchResponse(topics=topics, error_code=error)

    def _committed(
        self, broker_id: int, group_id: str, code: ErrorCode | None, topic: Any, partition: Any
    ) -> tuple[list[Any], ErrorCode]:
        group = self._group(broker_id, group_id)
        if group is ErrorCode.GROUP_ID_NOT_FOUND and not code:
            return [], ErrorCode.NONE
        if code or isinstance(group, ErrorCode):
            return [], code or group
        topics = defaultdict(list)
        for (name, index), offset in group.committed.items():
            topics[name].append(partition(index, offset, 5, "a note"))
        return [topic(*entry) for entry in topics.items()], ErrorCode.NONE

    def offset_commit(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group = self._cluster.kept_groups.setdefault(request.group_id, FakeGroup(broker_id))
        found = self._group(broker_id, request.group_id)
        error = code or (found if isinstance(found, ErrorCode) else ErrorCode.NONE)
        if group.members and request.generation_id_or_member_epoch < 0:
            error = error or ErrorCode.UNKNOWN_MEMBER_ID
        for topic in request.topics:
            for asked in topic.partitions:
                if not error:
                    group.committed[topic.name, asked.partition_index] = asked.committed_offset
        return OffsetCommitResponse(
            topics=[
                OffsetCommitResponseTopic(
                    topic.name,
                    [
                        OffsetCommitResponsePartition(asked.partition_index, error)
                        for asked in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )

    def offset_delete(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        group = self._group(broker_id, request.group_id)
        if code or isinstance(group, ErrorCode):
            return OffsetDeleteResponse(error_code=code or group)
        topics = []
        for topic in request.topics:
            results = []
            for asked in topic.partitions:
                group.committed.pop((topic.name, asked.partition_index), None)
                results.append(OffsetDeleteResponsePartition(asked.partition_index))
            topics.append(OffsetDeleteResponseTopic(topic.name, results))
        return OffsetDeleteResponse(topics=topics)

    def delete_records(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = []
        for topic in request.topics:
            results = []
            for asked in topic.partitions:
                found = self._partition(
                    broker_id, self._cluster.topics.get(topic.name), asked.partition_index
                )
                result = DeleteRecordsPartitionResult(asked.partition_index, -1)
                if code or isinstance(found, ErrorCode):
                    result.error_code = code or found
                elif asked.offset > found.end_offset:
                    result.error_code = ErrorCode.OFFSET_OUT_OF_RANGE
                else:
                    found.log_start = asked.offset if asked.offset >= 0 else found.end_offset
                    result.low_watermark = found.log_start
                results.append(result)
            topics.append(DeleteRecordsTopicResult(topic.name, results))
        return DeleteRecordsResponse(topics=topics)

    def describe_log_dirs(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = [
            DescribeLogDirsTopic(
                name,
                [
                    DescribeLogDirsPartition(index, sum(map(len, partition.batches)))
                    for index, partition in enumerate(topic.partitions)
                ],
            )
            for name, topic in self._cluster.topics.items()
        ]
        result = DescribeLogDirsResult(0, f"/data-{broker_id}", topics, 1000, 400)
        return DescribeLogDirsResponse(error_code=code or 0, results=[] if code else [result])

    def elect_leaders(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if broker_id != self._cluster.controller_id:
            return ElectLeadersResponse(error_code=ErrorCode.NOT_CONTROLLER)
        asked = request.topic_partitions
        results = []
        for name, topic in self._cluster.topics.items():
            chosen = next((t.partitions for t in asked or () if t.topic == name), None)
            outcomes = []
            for index, partition in enumerate(topic.partitions):
                preferred = self._cluster.broker_ids[0]
                if asked is not None and (chosen is None or index not in chosen):
                    continue
                if partition.leader_id != preferred:
                    partition.elect(preferred)
                    outcomes.append(PartitionResult(index, code or 0, None))
                elif asked is not None:
                    outcomes.append(PartitionResult(index, ErrorCode.ELECTION_NOT_NEEDED, "no"))
            if outcomes:
                results.append(ReplicaElectionResult(name, outcomes))
        return ElectLeadersResponse(replica_election_results=results)

    def alter_partition_reassignments(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        if broker_id != self._cluster.controller_id:
            return AlterPartitionReassignmentsResponse(error_code=ErrorCode.NOT_CONTROLLER)
        responses = []
        for topic in request.topics:
            results = []
            for asked in topic.partitions:
                place = topic.name, asked.partition_index
                error = code or ErrorCode.NONE
                if asked.replicas is not None:
                    self._cluster.moving[place] = asked.replicas
                elif self._cluster.moving.pop(place, None) is None:
                    error = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
                results.append(ReassignablePartitionResponse(asked.partition_index, error, None))
            responses.append(ReassignableTopicResponse(topic.name, results))
        return AlterPartitionReassignmentsResponse(responses=responses)

    def list_partition_reassignments(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        before = self._cluster.broker_ids
        topics = defaultdict(list)
        for (name, index), after in self._cluster.moving.items():
            wanted = request.topics is None or any(
                topic.name == name and index in topic.partition_indexes for topic in request.topics
            )
            if wanted:
                coming = [b for b in after if b not in before]
                going = [b for b in before if b not in after]
                topics[name].append(
                    OngoingPartitionReassignment(index, [*before, *coming], coming, going)
                )
        return ListPartitionReassignmentsResponse(
            error_code=code or 0,
            topics=[OngoingTopicReassignment(*entry) for entry in topics.items()],
        )

    def describe_configs(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        (asked,) = request.resources
        if asked.resource_type != ResourceType.BROKER:
            return super().describe_configs(broker_id, request, code)
        entries = self._cluster.broker_configs.get(asked.resource_name, {})
        configs = [
            DescribeConfigsResourceResult(*entry, config_source=2) for entry in entries.items()
        ]
        result = DescribeConfigsResult(
            code or 0, None, asked.resource_type, asked.resource_name, configs
        )
        return DescribeConfigsResponse(results=[result])

    def incremental_alter_configs(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        (asked,) = request.resources
        if asked.resource_type != ResourceType.BROKER:
            return super().incremental_alter_configs(broker_id, request, code)
        configs = self._cluster.broker_configs.setdefault(asked.resource_name, {})
        for change in asked.configs:
            if change.config_operation == 0:
                configs[change.name] = change.value
            else:
                configs.pop(change.name, None)
        outcome = AlterConfigsResourceResponse(
            code or 0, None, asked.resource_type, asked.resource_name
        )
        return IncrementalAlterConfigsResponse(responses=[outcome])
