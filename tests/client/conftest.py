"""A scripted cluster that speaks just enough of the protocol to test clients against."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from client.environment import Environment
from protocol.api import API, ApiKey
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
from protocol.batch import BatchHeader, assign, read_header, split_batches
from protocol.codec import decode
from protocol.errors import ErrorCode
from protocol.framing import FrameReader, decode_request_header, encode_response
from protocol.records import Record, decode_batch, encode_batch
from simulation.network import MemoryNetwork

PORT = 9092
WALL_MS = 1_700_000_000_000
NO_RESPONSE = object()


@dataclass
class FakePartition:
    leader_id: int
    leader_epoch: int = 0
    log_start: int = 0
    batches: list[bytes] = field(default_factory=list)
    producers: dict[int, deque[BatchHeader]] = field(default_factory=dict)
    epoch_ends: dict[int, int] = field(default_factory=dict)
    aborted: list[tuple[int, int]] = field(default_factory=list)

    @property
    def end_offset(self) -> int:
        return read_header(self.batches[-1]).next_offset if self.batches else self.log_start

    @property
    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in decode_batch(batch)]

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    def append(self, data: bytes) -> tuple[ErrorCode, int]:
        base_offset = -1
        for header, batch in split_batches(data, check_crc=True):
            code, offset = self._check_sequence(header)
            if code is not ErrorCode.NONE or offset >= 0:
                return code, offset
            stored = bytearray(batch)
            base_offset = self.end_offset
            assign(stored, base_offset=base_offset, leader_epoch=self.leader_epoch)
            self.batches.append(bytes(stored))
            if header.producer_id >= 0:
                recent = self.producers.setdefault(header.producer_id, deque(maxlen=5))
                recent.append(header._replace(base_offset=base_offset))
        return ErrorCode.NONE, base_offset

    def add(self, *values: bytes, timestamp_ms: int = WALL_MS, **batch: Any) -> None:
        start = self.end_offset
        records = [Record(start + i, timestamp_ms, None, v) for i, v in enumerate(values)]
        self.batches.append(
            encode_batch(records, base_offset=start, leader_epoch=self.leader_epoch, **batch)
        )

    def elect(self, leader_id: int) -> None:
        self.epoch_ends[self.leader_epoch] = self.end_offset
        self.leader_id = leader_id
        self.leader_epoch += 1

    def _check_sequence(self, header: BatchHeader) -> tuple[ErrorCode, int]:
        if header.producer_id < 0:
            return ErrorCode.NONE, -1
        recent = self.producers.get(header.producer_id, ())
        for known in recent:
            if known.base_sequence == header.base_sequence:
                return ErrorCode.NONE, known.base_offset
        expected = (recent[-1].last_sequence + 1) & 0x7FFFFFFF if recent else header.base_sequence
        if header.base_sequence != expected:
            return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
        return ErrorCode.NONE, -1


@dataclass
class FakeTopic:
    topic_id: bytes
    partitions: list[FakePartition]
    configs: dict[str, str] = field(default_factory=dict)


class Fault:
    """What a broker does with one request instead of answering it as usual."""

    def __init__(
        self,
        *,
        drop_before: bool = False,
        drop_after: bool = False,
        hang: bool = False,
        code: ErrorCode | None = None,
        run: Callable[[], None] | None = None,
    ) -> None:
        self.drop_before = drop_before
        self.drop_after = drop_after
        self.hang = hang
        self.code = code
        self.run = run


class Dropped(Exception):
    pass


class FakeCluster:
    """Brokers `broker-0`, `broker-1`, ... on an in-memory network, all sharing one set of logs."""

    def __init__(self, nursery: trio.Nursery, *, brokers: int) -> None:
        self.nursery = nursery
        self.network = MemoryNetwork()
        self.environment = Environment(
            self.network.host("client"), lambda: WALL_MS, random.Random(7)
        )
        self.topics: dict[str, FakeTopic] = {}
        self.live: dict[int, trio.CancelScope] = {}
        self.broker_ids = list(range(brokers))
        self.faults: defaultdict[ApiKey, deque[Fault | None]] = defaultdict(deque)
        self.requests: list[tuple[int, ApiKey, int, Any]] = []
        self.versions = {
            key: api.versions for key, api in API.items() if key is not ApiKey.ALTER_PARTITION
        }
        self.bootstrap = ",".join(f"broker-{b}:{PORT}" for b in self.broker_ids)
        self.auto_create = False
        self.controller_id = 0
        self.max_batch_bytes = 10**9
        self._ids = itertools.count(1)
        self._producer_ids = itertools.count(1000)
        self.appended = trio.lowlevel.ParkingLot()

    # Controls

    def add_topic(self, name: str, partitions: int = 1) -> FakeTopic:
        count = len(self.broker_ids)
        topic = FakeTopic(
            next(self._ids).to_bytes(16, "big"),
            [FakePartition(leader_id=index % count) for index in range(partitions)],
        )
        self.topics[name] = topic
        return topic

    def script(self, key: ApiKey, *faults: Fault | ErrorCode | None) -> None:
        """Have the next requests of an API meet these faults, one each; None: no fault."""
        for fault in faults:
            self.faults[key].append(Fault(code=fault) if isinstance(fault, ErrorCode) else fault)

    def count(self, key: ApiKey, broker_id: int | None = None) -> int:
        return sum(k is key and broker_id in (None, b) for b, k, _, _ in self.requests)

    async def start(self, broker_id: int) -> None:
        await self.nursery.start(self._serve, broker_id)

    def kill(self, broker_id: int) -> None:
        self.live.pop(broker_id).cancel()
        self.network.kill(f"broker-{broker_id}")

    def wake_fetches(self) -> None:
        self.appended.unpark_all()

    # Serving

    async def _serve(self, broker_id: int, task_status: trio.TaskStatus[None]) -> None:
        listener = await self.network.host(f"broker-{broker_id}").listen("", PORT)
        with trio.CancelScope() as scope:
            self.live[broker_id] = scope
            async with trio.open_nursery() as nursery:
                task_status.started()
                while not scope.cancel_called:
                    with suppress(trio.ClosedResourceError):
                        stream = await listener.accept()
                        nursery.start_soon(self._serve_stream, broker_id, stream)

    async def _serve_stream(self, broker_id: int, stream: trio.abc.Stream) -> None:
        reader = FrameReader()
        try:
            while data := await stream.receive_some():
                reader.feed(data)
                for frame in reader:
                    await self._serve_frame(broker_id, stream, frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError, Dropped):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_frame(self, broker_id: int, stream: trio.abc.Stream, frame: Any) -> None:
        header, body = decode_request_header(frame)
        key = ApiKey(header.api_key)
        version = header.api_version
        low, high = self.versions.get(key, (0, -1))
        if key is ApiKey.API_VERSIONS and not low <= version <= high:
            response = ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
            await self._reply(stream, response, 0, header.correlation_id)
            return
        assert low <= version <= high, f"{key.name} {version} was not offered"
        request = decode(API[key].request, version, body)
        self.requests.append((broker_id, key, version, request))
        faults = self.faults[key]
        fault = (faults.popleft() if faults else None) or Fault()
        if fault.run is not None:
            fault.run()
        if fault.drop_before:
            raise Dropped
        if fault.hang:
            await trio.sleep_forever()
        handler = getattr(self, f"_{key.name.lower()}")
        if key is ApiKey.FETCH:
            response = await handler(broker_id, request, fault.code)
        else:
            response = handler(broker_id, request, fault.code)
        if fault.drop_after:
            raise Dropped
        if response is not NO_RESPONSE:
            await self._reply(stream, response, version, header.correlation_id)

    async def _reply(
        self, stream: trio.abc.Stream, response: object, version: int, correlation_id: int
    ) -> None:
        chunks = encode_response(response, api_version=version, correlation_id=correlation_id)
        await stream.send_all(b"".join(bytes(chunk) for chunk in chunks))

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

    # Handlers

    def _api_versions(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        return ApiVersionsResponse(
            error_code=code or 0,
            api_keys=[ApiVersion(int(key), *versions) for key, versions in self.versions.items()],
        )

    def _metadata(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        names = list(self.topics) if request.topics is None else [t.name for t in request.topics]
        topics = []
        for name in names:
            if name not in self.topics and self.auto_create and request.allow_auto_topic_creation:
                self.add_topic(name)
                topics.append(
                    MetadataResponseTopic(name=name, error_code=ErrorCode.LEADER_NOT_AVAILABLE)
                )
            elif name not in self.topics or code:
                error = code or ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                topics.append(MetadataResponseTopic(name=name, error_code=error))
            else:
                topics.append(self._topic_metadata(name))
        return MetadataResponse(
            brokers=[MetadataResponseBroker(b, f"broker-{b}", PORT) for b in self.live],
            cluster_id="fake",
            controller_id=self.controller_id,
            topics=topics,
        )

    def _topic_metadata(self, name: str) -> MetadataResponseTopic:
        topic = self.topics[name]
        return MetadataResponseTopic(
            name=name,
            topic_id=topic.topic_id,
            partitions=[
                MetadataResponsePartition(
                    partition_index=index,
                    leader_id=partition.leader_id,
                    leader_epoch=partition.leader_epoch,
                    replica_nodes=list(self.broker_ids),
                    isr_nodes=list(self.live),
                )
                for index, partition in enumerate(topic.partitions)
            ],
        )

    def _produce(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = []
        for topic in request.topic_data:
            answers = []
            for data in topic.partition_data:
                found = self._partition(broker_id, self.topics.get(topic.name), data.index)
                error: ErrorCode = found if isinstance(found, ErrorCode) else ErrorCode.NONE
                offset = -1
                if len(data.records) > self.max_batch_bytes:
                    error = ErrorCode.MESSAGE_TOO_LARGE
                if code is not None:
                    error = code
                if error is ErrorCode.NONE and isinstance(found, FakePartition):
                    error, offset = found.append(bytes(data.records))
                answers.append(PartitionProduceResponse(data.index, error, offset))
            topics.append(TopicProduceResponse(topic.name, answers))
        self.wake_fetches()
        return NO_RESPONSE if request.acks == 0 else ProduceResponse(topics)

    async def _fetch(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        by_id = {topic.topic_id: name for name, topic in self.topics.items()}
        deadline = trio.current_time() + request.max_wait_ms / 1000
        while True:
            topics, found = [], 0
            for topic in request.topics:
                name = topic.topic or by_id[topic.topic_id]
                answers = [
                    self._fetch_partition(broker_id, self.topics[name], asked, code)
                    for asked in topic.partitions
                ]
                found += sum(len(a.records or b"") + bool(a.error_code) for a in answers)
                topics.append(FetchableTopicResponse(topic.topic, topic.topic_id, answers))
            if found or trio.current_time() >= deadline:
                return FetchResponse(responses=topics)
            with trio.move_on_at(deadline):
                await self.appended.park()

    def _fetch_partition(
        self, broker_id: int, topic: FakeTopic, asked: Any, code: ErrorCode | None
    ) -> PartitionData:
        found = self._partition(broker_id, topic, asked.partition, epoch=asked.current_leader_epoch)
        if isinstance(found, ErrorCode) or code:
            error = code or found
            assert isinstance(error, ErrorCode)
            return PartitionData(asked.partition, error)
        if not found.log_start <= asked.fetch_offset <= found.end_offset:
            return PartitionData(asked.partition, ErrorCode.OFFSET_OUT_OF_RANGE)
        data = b""
        for batch in found.batches:
            if read_header(batch).last_offset >= asked.fetch_offset and (
                not data or len(data) + len(batch) <= asked.partition_max_bytes
            ):
                data += batch
        return PartitionData(
            asked.partition,
            high_watermark=found.end_offset,
            last_stable_offset=found.end_offset,
            aborted_transactions=[AbortedTransaction(*entry) for entry in found.aborted],
            records=data,
        )

    def _list_offsets(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        topics = []
        for topic in request.topics:
            answers = []
            for asked in topic.partitions:
                found = self._partition(
                    broker_id, self.topics.get(topic.name), asked.partition_index
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

    def _offset_for_leader_epoch(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        topics = []
        for topic in request.topics:
            answers = []
            for asked in topic.partitions:
                found = self._partition(broker_id, self.topics[topic.topic], asked.partition)
                if isinstance(found, ErrorCode):
                    answers.append(EpochEndOffset(error_code=found, partition=asked.partition))
                    continue
                epochs = {**found.epoch_ends, found.leader_epoch: found.end_offset}
                epoch = max((e for e in epochs if e <= asked.leader_epoch), default=-1)
                answers.append(EpochEndOffset(0, asked.partition, epoch, epochs.get(epoch, -1)))
            topics.append(OffsetForLeaderTopicResult(topic.topic, answers))
        return OffsetForLeaderEpochResponse(topics=topics)

    def _init_producer_id(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if code:
            return InitProducerIdResponse(error_code=code)
        return InitProducerIdResponse(producer_id=next(self._producer_ids), producer_epoch=0)

    def _create_topics(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        if broker_id != self.controller_id:
            code = ErrorCode.NOT_CONTROLLER
        results = []
        for topic in request.topics:
            error = ErrorCode.TOPIC_ALREADY_EXISTS if topic.name in self.topics else None
            result = CreatableTopicResult(topic.name, error_message=None)
            result.error_code = code or error or 0
            if not result.error_code and not request.validate_only:
                made = self.add_topic(topic.name, max(topic.num_partitions, 1))
                made.configs = {config.name: config.value for config in topic.configs}
                result.topic_id = made.topic_id
                result.num_partitions = len(made.partitions)
                result.replication_factor = 1
            results.append(result)
        return CreateTopicsResponse(topics=results)

    def _delete_topics(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for name in [t.name for t in request.topics] or request.topic_names:
            known = self.topics.pop(name, None)
            error = code or (0 if known else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            results.append(DeletableTopicResult(name=name, error_code=error))
        return DeleteTopicsResponse(responses=results)

    def _create_partitions(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for asked in request.topics:
            topic = self.topics[asked.name]
            while len(topic.partitions) < asked.count:
                topic.partitions.append(FakePartition(leader_id=self.broker_ids[0]))
            results.append(CreatePartitionsTopicResult(asked.name, code or 0))
        return CreatePartitionsResponse(results=results)

    def _describe_configs(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        results = []
        for asked in request.resources:
            configs = self.topics[asked.resource_name].configs if asked.resource_type == 2 else {}
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

    def _incremental_alter_configs(
        self, broker_id: int, request: Any, code: ErrorCode | None
    ) -> object:
        responses = []
        for resource in request.resources:
            for change in resource.configs:
                configs = self.topics[resource.resource_name].configs
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

    def _describe_cluster(self, broker_id: int, request: Any, code: ErrorCode | None) -> object:
        return DescribeClusterResponse(
            cluster_id="fake",
            controller_id=self.controller_id,
            brokers=[DescribeClusterBroker(b, f"broker-{b}", PORT) for b in self.live],
        )


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> FakeCluster:
    """Three brokers, no topic."""
    fake = FakeCluster(nursery, brokers=3)
    for broker_id in fake.broker_ids:
        await fake.start(broker_id)
    return fake


@pytest.fixture
def faults() -> type[Fault]:
    """What `cluster.script` takes."""
    return Fault
