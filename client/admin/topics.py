"""Topics: creating, widening, describing and deleting them, the ends of their logs.

Must never know: how brokers decide, records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.admin.base import AdminBase, raise_refused, refused
from client.admin.rounds import LeaderRouter, Rounds
from client.descriptions import CreatedTopic, NewTopic
from client.errors import UnknownTopic, refusal
from client.metadata import TopicInfo, topic_info
from client.offsets import BEGINNING, END, READ_COMMITTED, READ_UNCOMMITTED, find_offsets
from client.records import OffsetAndTimestamp, TopicPartition
from protocol.api.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from protocol.api.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.api.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from protocol.api.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.api.delete_records import DeleteRecordsResponse


class TopicAdmin(AdminBase):
    """The admin's part for topics."""

    async def create_topic(self, topic: NewTopic, *, validate_only: bool = False) -> CreatedTopic:
        """Create one topic, or only check that it could be.

        Raises: RequestError, ConnectionBroken (the outcome is unknown), WaitTimedOut.
        """
        result = (await self.create_topics([topic], validate_only=validate_only))[topic.name]
        if isinstance(result, RequestError):
            raise result
        return result

    async def create_topics(
        self, topics: Iterable[NewTopic], *, validate_only: bool = False
    ) -> dict[str, CreatedTopic | RequestError]:
        """Create topics; what became of each, by name. Raises: ConnectionBroken, WaitTimedOut."""
        request = CreateTopicsRequest(
            topics=[_creatable(topic) for topic in topics],
            timeout_ms=self._timeout_ms,
            validate_only=validate_only,
        )
        response = await self._ask_controller(
            request, lambda answer: [topic.error_code for topic in answer.topics]
        )
        return {
            topic.name: refused(topic, f"creating topic {topic.name!r}")
            or CreatedTopic(
                topic.name, topic.topic_id, topic.num_partitions, topic.replication_factor
            )
            for topic in response.topics
        }

    async def delete_topic(self, name: str) -> None:
        """Delete one topic. Raises: RequestError, ConnectionBroken, WaitTimedOut."""
        error = (await self.delete_topics([name]))[name]
        if error is not None:
            raise error

    async def delete_topics(self, names: Iterable[str]) -> dict[str, RequestError | None]:
        """Delete topics; why not, by name. Raises: ConnectionBroken, WaitTimedOut."""
        listed = list(names)
        request = DeleteTopicsRequest(
            topics=[DeleteTopicState(name=name) for name in listed],
            topic_names=listed,
            timeout_ms=self._timeout_ms,
        )
        response = await self._ask_controller(
            request, lambda answer: [topic.error_code for topic in answer.responses]
        )
        return {
            topic.name: refused(topic, f"deleting topic {topic.name!r}")
            for topic in response.responses
        }

    async def create_partitions(self, topic: str, total: int) -> None:
        """Widen a topic to `total` partitions.

        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        request = CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(topic, total, None)], timeout_ms=self._timeout_ms
        )
        response = await self._ask_controller(
            request, lambda answer: [result.error_code for result in answer.results]
        )
        raise_refused(response.results[0], f"widening topic {topic!r} to {total} partitions")

    async def list_topics(self, *, internal: bool = False) -> tuple[str, ...]:
        """List the names of all topics, sorted. Raises: NoBrokerReachable."""
        described = await self.describe_topics()
        return tuple(
            sorted(name for name, info in described.items() if internal or not info.is_internal)
        )

    async def describe_topics(self, names: Iterable[str] | None = None) -> dict[str, TopicInfo]:
        """Describe topics, or all of them, with their partitions' leaders and replicas.

        Raises: UnknownTopic, RequestError, NoBrokerReachable.
        """
        response = await self._cluster.newest_metadata(names)
        for topic in response.topics:
            if topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                raise UnknownTopic(topic.name or "")
            if topic.error_code:
                raise refusal(topic.error_code, f"describing topic {topic.name!r}")
        return {topic.name or "": topic_info(topic) for topic in response.topics}

    async def delete_records(
        self, before: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int | RequestError]:
        """Forget all records below the given offsets; END stands for the high watermark.

        Returns: the first offset of each partition now, or why not. Raises: WaitTimedOut.
        """
        cluster = self._cluster

        async def question(
            leader_id: int, places: list[TopicPartition]
        ) -> dict[TopicPartition, int | RequestError]:
            asked: dict[str, list[DeleteRecordsPartition]] = {}
            for place in places:
                partition = DeleteRecordsPartition(place.partition, before[place])
                asked.setdefault(place.topic, []).append(partition)
            request = DeleteRecordsRequest(
                topics=[DeleteRecordsTopic(*entry) for entry in asked.items()],
                timeout_ms=self._timeout_ms,
            )
            response: DeleteRecordsResponse = await cluster.call(leader_id, request)
            return {
                TopicPartition(topic.name, result.partition_index): refused(
                    result, f"deleting records of {topic.name}-{result.partition_index}"
                )
                or result.low_watermark
                for topic in response.topics
                for result in topic.partitions
            }

        rounds = Rounds(cluster, LeaderRouter(cluster), timeout_s=self.config.timeout_s)
        return await rounds.ask(before, question)

    async def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Look up the first offset of every partition of a topic.

        Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        return await self._ends(topic, BEGINNING)

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Look up the offset after the last record of every partition of a topic.

        Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        return await self._ends(topic, END)

    async def list_offsets(
        self, timestamps: Mapping[TopicPartition, int], *, stable_only: bool = False
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Look up an offset for each partition: at a time in ms since 1970, or BEGINNING, or END.

        None stands for "no record that late". With `stable_only` the end is the last stable offset,
        else the high watermark. Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        return await find_offsets(
            self._cluster,
            timestamps,
            isolation_level=READ_COMMITTED if stable_only else READ_UNCOMMITTED,
            timeout_s=self.config.timeout_s,
        )

    async def _ends(self, topic: str, end: int) -> dict[int, int]:
        info = await self._cluster.topic(topic, timeout_s=self.config.timeout_s)
        found = await self.list_offsets(
            {TopicPartition(topic, partition): end for partition in info.partitions}
        )
        return {place.partition: at.offset for place, at in found.items() if at is not None}


def _creatable(topic: NewTopic) -> CreatableTopic:
    return CreatableTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        assignments=[
            CreatableReplicaAssignment(partition, list(replicas))
            for partition, replicas in topic.assignments.items()
        ],
        configs=[CreatableTopicConfig(*entry) for entry in topic.configs.items()],
    )
