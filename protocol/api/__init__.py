"""The table of APIs: every request and response that is declared, by key.

What a broker advertises is computed from its handlers, not from here.
Must never know: what any of them does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocol.api.alter_configs import AlterConfigsRequest, AlterConfigsResponse
from protocol.api.alter_partition import AlterPartitionRequest, AlterPartitionResponse
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
)
from protocol.api.api_versions import ApiVersionsRequest, ApiVersionsResponse
from protocol.api.controlled_shutdown import ControlledShutdownRequest, ControlledShutdownResponse
from protocol.api.create_partitions import CreatePartitionsRequest, CreatePartitionsResponse
from protocol.api.create_topics import CreateTopicsRequest, CreateTopicsResponse
from protocol.api.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from protocol.api.delete_records import DeleteRecordsRequest, DeleteRecordsResponse
from protocol.api.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from protocol.api.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResponse
from protocol.api.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse
from protocol.api.describe_log_dirs import DescribeLogDirsRequest, DescribeLogDirsResponse
from protocol.api.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
)
from protocol.api.elect_leaders import ElectLeadersRequest, ElectLeadersResponse
from protocol.api.fetch import FetchRequest, FetchResponse
from protocol.api.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from protocol.api.heartbeat import HeartbeatRequest, HeartbeatResponse
from protocol.api.incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from protocol.api.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from protocol.api.join_group import JoinGroupRequest, JoinGroupResponse
from protocol.api.leave_group import LeaveGroupRequest, LeaveGroupResponse
from protocol.api.list_config_resources import (
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from protocol.api.list_groups import ListGroupsRequest, ListGroupsResponse
from protocol.api.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from protocol.api.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)
from protocol.api.metadata import MetadataRequest, MetadataResponse
from protocol.api.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from protocol.api.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from protocol.api.offset_fetch import OffsetFetchRequest, OffsetFetchResponse
from protocol.api.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from protocol.api.produce import ProduceRequest, ProduceResponse
from protocol.api.sync_group import SyncGroupRequest, SyncGroupResponse
from protocol.message import layout_of


class ApiKey(IntEnum):
    """The keys of the declared APIs. Source: Kafka protocol guide, "API keys"."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    CONTROLLED_SHUTDOWN = 7
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    DESCRIBE_LOG_DIRS = 35
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    ALTER_PARTITION = 56
    DESCRIBE_CLUSTER = 60
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75


@dataclass(frozen=True, slots=True)
class Api:
    """One API: `versions` (both ends included) are flexible from `flexible_since` on."""

    key: ApiKey
    name: str
    request: type
    response: type
    versions: tuple[int, int]
    flexible_since: int


def _api(request: type, response: type) -> Api:
    asked, answered = layout_of(request), layout_of(response)
    assert asked.key is not None, request
    assert (asked.key, asked.versions, asked.flexible_since) == (
        answered.key,
        answered.versions,
        answered.flexible_since,
    ), f"{request.__name__} and its response are declared for different versions"
    name = request.__name__.removesuffix("Request")
    return Api(ApiKey(asked.key), name, request, response, asked.versions, asked.flexible_since)


API: Final[Mapping[int, Api]] = {
    api.key: api
    for api in (
        _api(ProduceRequest, ProduceResponse),
        _api(FetchRequest, FetchResponse),
        _api(ListOffsetsRequest, ListOffsetsResponse),
        _api(MetadataRequest, MetadataResponse),
        _api(ControlledShutdownRequest, ControlledShutdownResponse),
        _api(OffsetCommitRequest, OffsetCommitResponse),
        _api(OffsetFetchRequest, OffsetFetchResponse),
        _api(FindCoordinatorRequest, FindCoordinatorResponse),
        _api(JoinGroupRequest, JoinGroupResponse),
        _api(HeartbeatRequest, HeartbeatResponse),
        _api(LeaveGroupRequest, LeaveGroupResponse),
        _api(SyncGroupRequest, SyncGroupResponse),
        _api(DescribeGroupsRequest, DescribeGroupsResponse),
        _api(ListGroupsRequest, ListGroupsResponse),
        _api(ApiVersionsRequest, ApiVersionsResponse),
        _api(CreateTopicsRequest, CreateTopicsResponse),
        _api(DeleteTopicsRequest, DeleteTopicsResponse),
        _api(DeleteRecordsRequest, DeleteRecordsResponse),
        _api(InitProducerIdRequest, InitProducerIdResponse),
        _api(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse),
        _api(DescribeConfigsRequest, DescribeConfigsResponse),
        _api(AlterConfigsRequest, AlterConfigsResponse),
        _api(DescribeLogDirsRequest, DescribeLogDirsResponse),
        _api(CreatePartitionsRequest, CreatePartitionsResponse),
        _api(DeleteGroupsRequest, DeleteGroupsResponse),
        _api(ElectLeadersRequest, ElectLeadersResponse),
        _api(IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse),
        _api(AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse),
        _api(ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse),
        _api(OffsetDeleteRequest, OffsetDeleteResponse),
        _api(AlterPartitionRequest, AlterPartitionResponse),
        _api(DescribeClusterRequest, DescribeClusterResponse),
        _api(ListConfigResourcesRequest, ListConfigResourcesResponse),
        _api(DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse),
    )
}
