"""DescribeTopicPartitions: topics in name order, in pages of so many partitions.

Must never know: what partitions hold. Source: KIP-966.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.handlers.authorized import TOPIC_OPERATIONS
from broker.handlers.metadata import INTERNAL_TOPICS, why_unknown
from coordinator.cluster import NO_LEADER
from protocol.api.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState, PartitionState, TopicState
    from protocol.api.describe_topic_partitions import DescribeTopicPartitionsRequest

PAGE_PARTITIONS_MAX = 2_000
"""Kafka's max.request.partition.size.limit."""


class DescribeTopicPartitionsHandler:
    """Describes a page of the latest view."""

    def __init__(self, cluster: Callable[[], ClusterState]) -> None:
        self._cluster = cluster

    def __call__(
        self, request: DescribeTopicPartitionsRequest, _context: RequestContext
    ) -> DescribeTopicPartitionsResponse:
        """Describe from the cursor on, as many partitions as a page takes.

        Raises: RequestError where the cursor points beside what is asked for.
        """
        cluster, cursor = self._cluster(), request.cursor
        wants_all = not request.topics
        asked = cluster.topics if wants_all else {topic.name for topic in request.topics}
        first, first_index = (cursor.topic_name, cursor.partition_index) if cursor else ("", 0)
        if cursor is not None and (first_index < 0 or not (wants_all or first in asked)):
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"the cursor {first}-{first_index} is no partition of a topic that is asked for",
            )
        left = min(max(request.response_partition_limit, 1), PAGE_PARTITIONS_MAX)
        response = DescribeTopicPartitionsResponse()
        for name in sorted(name for name in asked if name >= first):
            topic = cluster.topics.get(name)
            if topic is None:
                response.topics.append(_unknown(name))
                continue
            start = first_index if name == first else 0
            if left == 0:
                response.next_cursor = Cursor(name, start)
                break
            described = _describe(topic, cluster, start=start, count=left)
            response.topics.append(described)
            left -= len(described.partitions)
            end = start + len(described.partitions)
            if end < len(topic.partitions):
                response.next_cursor = Cursor(name, end)
                break
        return response


def _describe(
    topic: TopicState, cluster: ClusterState, *, start: int, count: int
) -> DescribeTopicPartitionsResponseTopic:
    page = topic.partitions[start : start + count]
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.name in INTERNAL_TOPICS,
        partitions=[_partition(i, state, cluster) for i, state in enumerate(page, start=start)],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _partition(
    index: int, state: PartitionState, cluster: ClusterState
) -> DescribeTopicPartitionsResponsePartition:
    live = cluster.brokers
    return DescribeTopicPartitionsResponsePartition(
        partition_index=index,
        leader_id=state.leader_id if state.leader_id in live else NO_LEADER,
        leader_epoch=state.leader_epoch,
        replica_nodes=list(state.replicas),
        isr_nodes=list(state.isr),
        eligible_leader_replicas=list(state.elr),
        last_known_elr=[],
        offline_replicas=[replica for replica in state.replicas if replica not in live],
    )


def _unknown(name: str) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        error_code=why_unknown(name), name=name, is_internal=name in INTERNAL_TOPICS
    )


def refuse(
    request: DescribeTopicPartitionsRequest, code: ErrorCode, _message: str
) -> DescribeTopicPartitionsResponse:
    """Answer with an error for each topic that was asked for."""
    return DescribeTopicPartitionsResponse(
        topics=[
            DescribeTopicPartitionsResponseTopic(error_code=code, name=topic.name)
            for topic in request.topics
        ]
    )
