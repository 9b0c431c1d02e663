"""What a broker of the scripted cluster answers: one method for each API, named after it.

Each takes the id of the broker that is asked, the request, and an error code to answer with (None:
the truth).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import trio

from protocol.api.api_versions import ApiVersion, ApiVersionsResponse
from protocol.api.create_partitions import CreatePartitionsResponse, CreatePartitionsTopicResult
from protocol.api.create_topics import CreatableTopicResult, CreateTopicsResponse
from protocol.api.delete_topics import DeletableTopicResult, DeleteTopicsResponse
from protocol.api.describe_cluster import DescribeClusterBroker, DescribeClusterResponse
from protocol.api.describe_configs import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from protocol.api.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchResponse,
    PartitionData,
)
from protocol.api.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse,
)
from protocol.api.init_producer_id import InitProducerIdResponse
from protocol.api.list_offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.api.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from protocol.api.produce import (
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from protocol.batch import read_header
from protocol.errors import ErrorCode
from tests.support.fake_topics import FakePartition, FakeTopic

if TYPE_CHECKING:
    from tests.support.fake_cluster import FakeCluster

PORT = 9092
NO_RESPONSE = object()


class Answers:
    """The handlers of all brokers of one `FakeCluster`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._producer_ids = itertools.count(1000)

    def _partition(
        self, broker_id: int, topic: FakeTopic | None, index: int, *, epoch: int = -1
    ) -> FakePartition | ErrorCode:
        if topic is None or index >= len(topic.partitions):
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        partition = topic.partitions[index]
        if partition.leader_id != broker_id:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        if 0 <= epoch < partition.leader_epoch:
            return ErrorCode.FENCED_LEADER_EPOCH
        if epoch > partition.leader_epoch:
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        return partition

    def api_versions(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        return ApiVersionsResponse(
            error_code=code or 0,
            api_keys=[
                ApiVersion(int(key), *versions) for key, versions in self._cluster.versions.items()
            ],
        )

    def metadata(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        names = (
            list(self._cluster.topics)
            if request.topics is None
            else [t.name for t in request.topics]
        )
        topics = []
        for name in names:
            if (
                name not in self._cluster.topics
                and self._cluster.auto_create
                and request.allow_auto_topic_creation
            ):
                self._cluster.add_topic(name)
                topics.append(
                    MetadataResponseTopic(name=name, error_code=ErrorCode.LEADER_NOT_AVAILABLE)
                )
            elif name not in self._cluster.topics or code:
                error = code or ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                topics.append(MetadataResponseTopic(name=name, error_code=error))
            else:
                topics.append(self._topic_metadata(name))
        return MetadataResponse(
            brokers=[
                MetadataResponseBroker(b, f"broker-{b}", PORT, self._cluster.racks.get(b))
                for b in self._cluster.live
            ],
            cluster_id="fake",
            controller_id=self._cluster.controller_id,
            topics=topics,
        )

    def _topic_metadata(self, name: str) -> MetadataResponseTopic:
        topic = self._cluster.topics[name]
        return MetadataResponseTopic(
            name=name,
            topic_id=topic.topic_id,
            partitions=[
                MetadataResponsePartition(
                    partition_index=index,
                    leader_id=partition.leader_id,
                    leader_epoch=partition.leader_epoch,
                    replica_nodes=partition.replicas or list(self._cluster.broker_ids),
                    isr_nodes=list(self._cluster.live),
                )
                for index, partition in enumerate(topic.partitions)
            ],
        )

    def produce(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = []
        for topic in request.topic_data:
            answers = []
            for data in topic.partition_data:
                found = self._partition(broker_id, self._cluster.topics.get(topic.name), data.index)
                error: ErrorCode = found if isinstance(found, ErrorCode) else ErrorCode.NONE
                offset = -1
                if len(data.records) > self._cluster.max_batch_bytes:
                    error = ErrorCode.MESSAGE_TOO_LARGE
                if code is not None:
                    error = code
                if error is ErrorCode.NONE and isinstance(found, FakePartition):
                    error, offset = found.append(bytes(data.records))
                answers.append(PartitionProduceResponse(data.index, error, offset))
            topics.append(TopicProduceResponse(topic.name, answers))
        self._cluster.wake_fetches()
        return NO_RESPONSE if request.acks == 0 else ProduceResponse(topics)

    async def fetch(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        by_id = {topic.topic_id: name for name, topic in self._cluster.topics.items()}
        deadline = trio.current_time() + request.max_wait_ms / 1000
        while True:
            topics, found = [], 0
            for topic in request.topics:
                name = topic.topic or by_id.get(topic.topic_id, "")
                known = self._cluster.topics.get(name)
                answers = [
                    self._fetch_partition(broker_id, known, asked, code)
                    for asked in topic.partitions
                ]
                found += sum(len(a.records or b"") + bool(a.error_code) for a in answers)
                topics.append(FetchableTopicResponse(topic.topic, topic.topic_id, answers))
            if found or trio.current_time() >= deadline:
                return FetchResponse(responses=topics)
            with trio.move_on_at(deadline):
                await self._cluster.appended.park()

    def _fetch_partition(
        self, broker_id: int, topic: FakeTopic | None, asked: Any, code: ErrorCode | None
    ) -> PartitionData:
        found = self._partition(broker_id, topic, asked.partition, epoch=asked.current_leader_epoch)
        if isinstance(found, ErrorCode) or code:
            error = code or found
            assert isinstance(error, ErrorCode)
            return PartitionData(asked.partition, error)
        if not found.log_start <= asked.fetch_offset <= found.end_offset:
            return PartitionData(
                asked.partition,
                ErrorCode.OFFSET_OUT_OF_RANGE,
                log_start_offset=found.log_start,
            )
        data = b""
        for batch in found.batches:
            if read_header(batch).last_offset < asked.fetch_offset:
                continue
            if data and len(data) + len(batch) > asked.partition_max_bytes:
                break
            data += batch
        return PartitionData(
            asked.partition,
            high_watermark=found.end_offset,
            last_stable_offset=found.end_offset,
            aborted_transactions=[AbortedTransaction(*entry) for entry in found.aborted],
            records=data,
        )

    def list_offsets(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = []
        for topic in request.topics:
            answers = []
            for asked in topic.partitions:
                found = self._partition(
                    broker_id, self._cluster.topics.get(topic.name), asked.partition_index
                )
                answer = ListOffsetsPartitionResponse(asked.partition_index)
                if code or isinstance(found, ErrorCode):
                    answer.error_code = code or found
                else:
                    answer.leader_epoch = found.leader_epoch
                    self._find_offset(found, asked.timestamp, answer)
                answers.append(answer)
            topics.append(ListOffsetsTopicResponse(topic.name, answers))
        return ListOffsetsResponse(topics=topics)

    def _find_offset(
        self, partition: FakePartition, timestamp: int, answer: ListOffsetsPartitionResponse
    ) -> None:
        if timestamp == -1:
            answer.offset = partition.end_offset
        elif timestamp == -2:
            answer.offset = partition.log_start
        else:
            for record in partition.records:
                if record.timestamp_ms >= timestamp:
                    answer.offset, answer.timestamp = record.offset, record.timestamp_ms
                    return

    def offset_for_leader_epoch(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        topics = []
        for topic in request.topics:
            answers = []
            for asked in topic.partitions:
                found = self._partition(
                    broker_id, self._cluster.topics[topic.topic], asked.partition
                )
                if isinstance(found, ErrorCode):
                    answers.append(EpochEndOffset(error_code=found, partition=asked.partition))
                    continue
                epochs = {**found.epoch_ends, found.leader_epoch: found.end_offset}
                epoch = max((e for e in epochs if e <= asked.leader_epoch), default=-1)
                answers.append(EpochEndOffset(0, asked.partition, epoch, epochs.get(epoch, -1)))
            topics.append(OffsetForLeaderTopicResult(topic.topic, answers))
        return OffsetForLeaderEpochResponse(topics=topics)

    def init_producer_id(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if code:
            return InitProducerIdResponse(error_code=code)
        return InitProducerIdResponse(producer_id=next(self._producer_ids), producer_epoch=0)

    def create_topics(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if broker_id != self._cluster.controller_id:
            code = ErrorCode.NOT_CONTROLLER
        results = []
        for topic in request.topics:
            error = ErrorCode.TOPIC_ALREADY_EXISTS if topic.name in self._cluster.topics else None
            result = CreatableTopicResult(topic.name, error_message=None)
            result.error_code = code or error or 0
            if not result.error_code and not request.validate_only:
                made = self._cluster.add_topic(topic.name, max(topic.num_partitions, 1))
                made.configs = {config.name: config.value for config in topic.configs}
                result.topic_id = made.topic_id
                result.num_partitions = len(made.partitions)
                result.replication_factor = 1
            results.append(result)
        return CreateTopicsResponse(topics=results)

    def delete_topics(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for name in [t.name for t in request.topics] or request.topic_names:
            known = self._cluster.topics.pop(name, None)
            error = code or (0 if known else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            results.append(DeletableTopicResult(name=name, error_code=error))
        return DeleteTopicsResponse(responses=results)

    def create_partitions(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for asked in request.topics:
            topic = self._cluster.topics[asked.name]
            while len(topic.partitions) < asked.count:
                topic.partitions.append(FakePartition(leader_id=self._cluster.broker_ids[0]))
            results.append(CreatePartitionsTopicResult(asked.name, code or 0))
        return CreatePartitionsResponse(results=results)

    def describe_configs(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for asked in request.resources:
            configs = (
                self._cluster.topics[asked.resource_name].configs
                if asked.resource_type == 2
                else {}
            )
            results.append(
                DescribeConfigsResult(
                    code or 0,
                    None,
                    asked.resource_type,
                    asked.resource_name,
                    [
                        DescribeConfigsResourceResult(name, value, config_source=1)
                        for name, value in configs.items()
                    ],
                )
            )
        return DescribeConfigsResponse(results=results)

    def incremental_alter_configs(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        responses = []
        for resource in request.resources:
            for change in resource.configs:
                configs = self._cluster.topics[resource.resource_name].configs
                if change.config_operation == 0:
                    configs[change.name] = change.value
                else:
                    configs.pop(change.name, None)
            responses.append(
                AlterConfigsResourceResponse(
                    code or 0, None, resource.resource_type, resource.resource_name
                )
            )
        return IncrementalAlterConfigsResponse(responses=responses)

    def describe_cluster(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        return DescribeClusterResponse(
            cluster_id="fake",
            controller_id=self._cluster.controller_id,
            brokers=[DescribeClusterBroker(b, f"broker-{b}", PORT) for b in self._cluster.live],
        )
