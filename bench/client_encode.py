"""How many small records per second a producer takes, encodes and sends on one core.

The broker is a stub in the same process that acknowledges without looking, over an in-memory
network: what is measured is the client (enqueue, encode, checksum, request) plus that stub.

    python -m bench.client_encode [records] [value bytes]
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from typing import Any

import trio

from client import Producer, ProducerConfig
from client.environment import Environment
from protocol.api import API, ApiKey
from protocol.api.api_versions import ApiVersion, ApiVersionsResponse
from protocol.api.init_producer_id import InitProducerIdResponse
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.api.produce import PartitionProduceResponse, ProduceResponse, TopicProduceResponse
from protocol.codec import decode
from protocol.frame_reader import FrameReader
from protocol.framing import decode_request_header, encode_response
from protocol.records import BatchBuilder
from simulation.network import MemoryNetwork

PARTITIONS = 6


def answer(key: ApiKey, request: Any) -> object:
    match key:
        case ApiKey.API_VERSIONS:
            return ApiVersionsResponse(
                api_keys=[ApiVersion(k, *a.versions) for k, a in API.items()]
            )
        case ApiKey.METADATA:
            partitions = [
                MetadataResponsePartition(partition_index=i, leader_id=0) for i in range(PARTITIONS)
            ]
            return MetadataResponse(
                brokers=[MetadataResponseBroker(0, "broker", 9092)],
                topics=[MetadataResponseTopic(name="bench", partitions=partitions)],
            )
        case ApiKey.INIT_PRODUCER_ID:
            return InitProducerIdResponse(producer_id=1)
        case _:
            return ProduceResponse(
                [
                    TopicProduceResponse(
                        topic.name,
                        [PartitionProduceResponse(p.index) for p in topic.partition_data],
                    )
                    for topic in request.topic_data
                ]
            )


async def serve(stream: trio.abc.Stream) -> None:
    reader = FrameReader()
    while data := await stream.receive_some():
        reader.feed(data)
        for frame in reader:
            header, body = decode_request_header(frame)
            key = ApiKey(header.api_key)
            request: Any = decode(API[key].request, header.api_version, body)
            chunks: list[Any] = encode_response(
                answer(key, request),
                api_version=header.api_version,
                correlation_id=header.correlation_id,
            )
            await stream.send_all(b"".join(chunks))


async def produce(records: int, value: bytes, *, keyed: bool) -> float:
    network = MemoryNetwork(pipe_bytes=4 * 1024 * 1024)
    environment = Environment(
        network.host("client"), lambda: time.time_ns() // 1_000_000, random.Random(1)
    )
    listener = await network.host("broker").listen("broker", 9092)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        async with Producer("broker:9092", ProducerConfig(), environment=environment) as producer:
            await producer.send("bench", b"warm")
            start = time.perf_counter()
            for i in range(records):
                await producer.enqueue("bench", value, key=b"%d" % i if keyed else None)
            await producer.flush()
            elapsed = time.perf_counter() - start
        nursery.cancel_scope.cancel()
    return records / elapsed


def build(records: int, value: bytes) -> float:
    start = time.perf_counter()
    for _ in range(records // 500):
        builder = BatchBuilder()
        for i in range(500):
            builder.append(i, None, value)
        builder.build()
    return records / (time.perf_counter() - start)


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    value = b"x" * (int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    print(f"{records} records of {len(value)} bytes")
    print(f"encode alone        {build(records, value):>10,.0f} records/s")
    for keyed in (False, True):
        rate = trio.run(partial(produce, records, value, keyed=keyed))
        print(f"enqueue {'with keys' if keyed else 'without keys':<12}{rate:>10,.0f} records/s")


if __name__ == "__main__":
    main()
