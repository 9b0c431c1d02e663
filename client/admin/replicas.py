"""Where replicas live and who leads: reassignments and elections.

Must never know: how the controller decides.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from client.admin.base import AdminBase, raise_refused, refused
from client.descriptions import Reassignment
from client.records import TopicPartition
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.api.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from protocol.api.alter_partition_reassignments import AlterPartitionReassignmentsResponse
    from protocol.api.elect_leaders import ElectLeadersResponse
    from protocol.api.list_partition_reassignments import ListPartitionReassignmentsResponse
    from protocol.errors import RequestError


class ElectionType(IntEnum):
    """How a leader is elected; UNCLEAN takes replicas that may lack acknowledged records."""

    PREFERRED = 0
    UNCLEAN = 1


class ReplicaAdmin(AdminBase):
    """The admin's part for replicas."""

    async def elect_leaders(
        self, kind: ElectionType, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, RequestError | None]:
        """Have leaders elected; what became of each partition (None: it has a new leader).

        Without `partitions` all are meant, and those that need no election are left out.
        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        request = ElectLeadersRequest(
            election_type=kind,
            topic_partitions=None
            if partitions is None
            else [TopicPartitions(*entry) for entry in _by_topic(partitions).items()],
            timeout_ms=self._timeout_ms,
        )
        response: ElectLeadersResponse = await self._ask_controller(
            request,
            lambda answer: [
                answer.error_code,
                *(
                    result.error_code
                    for topic in answer.replica_election_results
                    for result in topic.partition_result
                ),
            ],
        )
        raise_refused(response, "electing leaders")
        return {
            TopicPartition(topic.topic, result.partition_id): refused(
                result, f"electing a leader of {topic.topic}-{result.partition_id}"
            )
            for topic in response.replica_election_results
            for result in topic.partition_result
        }

    async def alter_partition_reassignments(
        self, wanted: Mapping[TopicPartition, Sequence[int] | None]
    ) -> dict[TopicPartition, RequestError | None]:
        """Begin to move partitions to other replicas, the preferred leader first; or why not.

        None ends a partition's reassignment and gives it back the replicas it had.
        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        topics: dict[str, list[ReassignablePartition]] = {}
        for place, replicas in wanted.items():
            listed = None if replicas is None else list(replicas)
            topics.setdefault(place.topic, []).append(
                ReassignablePartition(place.partition, listed)
            )
        response: AlterPartitionReassignmentsResponse = await self._ask_controller(
            AlterPartitionReassignmentsRequest(
                timeout_ms=self._timeout_ms,
                topics=[ReassignableTopic(*entry) for entry in topics.items()],
            ),
            lambda answer: [answer.error_code],
        )
        raise_refused(response, "reassigning partitions")
        return {
            TopicPartition(topic.name, result.partition_index): refused(
                result, f"reassigning {topic.name}-{result.partition_index}"
            )
            for topic in response.responses
            for result in topic.partitions
        }

    async def list_partition_reassignments(
        self, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        """List the reassignments under way, of all partitions or of some.

        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        response: ListPartitionReassignmentsResponse = await self._ask_controller(
            ListPartitionReassignmentsRequest(
                timeout_ms=self._timeout_ms,
                topics=None
                if partitions is None
                else [
                    ListPartitionReassignmentsTopics(*entry)
                    for entry in _by_topic(partitions).items()
                ],
            ),
            lambda answer: [answer.error_code],
        )
        raise_refused(response, "listing reassignments")
        return {
            TopicPartition(topic.name, partition.partition_index): Reassignment(
                tuple(partition.replicas),
                tuple(partition.adding_replicas),
                tuple(partition.removing_replicas),
            )
            for topic in response.topics
            for partition in topic.partitions
        }


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for place in partitions:
        topics.setdefault(place.topic, []).append(place.partition)
    return topics
