"""Records produced and consumed with next to no work of the client: requests encoded beforehand.

Blocking sockets, one thread for each leader, so that what is measured is the servers. What was
produced is counted at the end, what was consumed as it comes: an error shows as a missing record.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.raw_requests import answer_of, frame_of
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.api.metadata import MetadataRequest, MetadataRequestTopic
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.compression import Compression
from protocol.records import BatchBuilder

PRODUCE_VERSION = 9
FETCH_VERSION = 12
LIST_OFFSETS_VERSION = 7
METADATA_VERSION = 9
LATEST = -1
ALL = -1
"""acks=all."""

REPLY_BYTES_MAX = 1 << 26
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Batch:
    """What is sent over and over: `records` of it, encoded in so many bytes."""

    data: bytes
    records: int

    @property
    def size_bytes(self) -> int:
        """Bytes on the wire and on disk."""
        return len(self.data)


def make_batch(*, record_bytes: int, batch_bytes: int, compression: Compression) -> Batch:
    """Make a batch of about so many bytes before compression, one record at least.

    Values are lower-case letters at random: there is little in them to compress.
    """
    rng = random.Random(1)
    builder = BatchBuilder()
    now_ms = time.time_ns() // 1_000_000
    while len(builder) == 0 or builder.size_bytes + record_bytes <= batch_bytes:
        value = bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=record_bytes))
        builder.append(now_ms, None, value)
    return Batch(builder.build(compression=compression), len(builder))


class Wire:
    """One blocking connection to a broker."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def send(self, frame: bytes) -> None:
        """Send a frame as it is."""
        self._socket.sendall(frame)

    def receive(self) -> memoryview:
        """Wait for one answer: a view that the next one overwrites."""
        size = int.from_bytes(self._receive(4), "big")
        assert 0 < size <= REPLY_BYTES_MAX, f"an answer of {size} bytes"
        return self._receive(size)

    def ask(self, request: Any, *, version: int) -> Any:
        """Send one request and decode its answer."""
        self.send(frame_of(request, version=version))
        return self.answer_to(request, version=version)

    def answer_to(self, request: Any, *, version: int) -> Any:
        """Wait for the answer to a request, and decode it."""
        return answer_of(self.receive(), request, version=version)

    def _receive(self, size: int) -> memoryview:
        if size > len(self._buffer):
            self._buffer = bytearray(size)
        view = memoryview(self._buffer)[:size]
        got = 0
        while got < size:
            count = self._socket.recv_into(view[got:])
            if count == 0:
                raise ConnectionError("the broker closed the connection")
            got += count
        return view


Leaders = dict[int, tuple[str, int]]
"""The address of each partition's leader."""


def leaders_of(bootstrap: str, topic: str, *, partitions: int) -> Leaders:
    """Find out who leads what, once the first broker has heard of so many partitions."""
    host, _, port = bootstrap.split(",", maxsplit=1)[0].rpartition(":")
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)])
    until = time.monotonic() + TIMEOUT_S
    with Wire((host, int(port))) as wire:
        while True:
            answer = wire.ask(request, version=METADATA_VERSION)
            addresses = {each.node_id: (each.host, each.port) for each in answer.brokers}
            (described,) = answer.topics
            leaders = {each.partition_index: each.leader_id for each in described.partitions}
            if len(leaders) == partitions and addresses.keys() >= set(leaders.values()):
                return {index: addresses[leader] for index, leader in leaders.items()}
            assert time.monotonic() < until, f"{topic} has {len(leaders)} of {partitions} leaders"
            time.sleep(0.05)


def produce_request(topic: str, partition: int, batch: Batch, *, acks: int) -> ProduceRequest:
    """Make the request to append one batch to one partition."""
    return ProduceRequest(
        acks=acks,
        timeout_ms=int(TIMEOUT_S * 1000),
        topic_data=[TopicProduceData(topic, [PartitionProduceData(partition, batch.data)])],
    )


def produce(
    leaders: Leaders, topic: str, batch: Batch, *, batches: int, acks: int, in_flight: int
) -> float:
    """Append so many batches to each partition, one in a request. Returns: the seconds taken."""

    def append(partition: int, wire: Wire) -> None:
        request = produce_request(topic, partition, batch, acks=acks)
        frame = frame_of(request, version=PRODUCE_VERSION)
        for _ in range(min(in_flight, batches)):
            wire.send(frame)
        for _ in range(batches - in_flight):
            wire.receive()
            wire.send(frame)
        for _ in range(min(in_flight, batches)):
            answer = wire.answer_to(request, version=PRODUCE_VERSION)
            (outcome,) = answer.responses[0].partition_responses
            assert outcome.error_code == 0, f"partition {partition}: error {outcome.error_code}"

    return _with_each(leaders, append)


def end_offsets(leaders: Leaders, topic: str) -> dict[int, int]:
    """Ask the leaders where their partitions end."""
    ends: dict[int, int] = {}
    for partition, address in leaders.items():
        asked = ListOffsetsTopic(topic, [ListOffsetsPartition(partition, timestamp=LATEST)])
        with Wire(address) as wire:
            answer = wire.ask(
                ListOffsetsRequest(replica_id=-1, topics=[asked]), version=LIST_OFFSETS_VERSION
            )
        (found,) = answer.topics[0].partitions
        assert found.error_code == 0, f"partition {partition}: error {found.error_code}"
        ends[partition] = found.offset
    return ends


def consume(
    leaders: Leaders, topic: str, batch: Batch, *, ends: dict[int, int], fetch_bytes: int
) -> float:
    """Read each partition up to its end, one fetch after the other. Returns: the seconds taken."""

    def read(partition: int, wire: Wire) -> None:
        offset = 0
        while offset < ends[partition]:
            asked = FetchPartition(partition, fetch_offset=offset, partition_max_bytes=fetch_bytes)
            request = FetchRequest(
                max_wait_ms=500,
                min_bytes=1,
                max_bytes=REPLY_BYTES_MAX // 2,
                topics=[FetchTopic(topic, partitions=[asked])],
            )
            answer = wire.ask(request, version=FETCH_VERSION)
            (found,) = answer.responses[0].partitions
            assert found.error_code == 0, f"partition {partition}: error {found.error_code}"
            whole = len(found.records or b"") // batch.size_bytes
            assert whole, f"partition {partition}: nothing at {offset}"
            offset += whole * batch.records

    return _with_each(leaders, read)


def _with_each(leaders: Leaders, work: Callable[[int, Wire], None]) -> float:
    """Work on all partitions at once, over a connection each. Returns: the seconds taken."""
    failures: list[BaseException] = []

    def run(partition: int, wire: Wire) -> None:
        try:
            work(partition, wire)
        except (AssertionError, OSError) as failure:
            failures.append(failure)

    wires = {partition: Wire(address) for partition, address in leaders.items()}
    threads = [threading.Thread(target=run, args=each) for each in wires.items()]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken_s = time.perf_counter() - started
    for wire in wires.values():
        wire.close()
    if failures:
        raise failures[0]
    return taken_s
