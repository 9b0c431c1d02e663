"""One client's work in a process of its own: so many records produced, or consumed.

    python -m bench.client_work CLIENT produce|consume BOOTSTRAP TOPIC RECORDS RECORD_BYTES

Prints a line of JSON: seconds (from the first record until all are acknowledged or read), CPU
seconds of this process in that time, and its largest resident memory in MB. All clients wait for
all replicas (acks=all), linger for 5 ms, and fill batches of 64 KiB; otherwise with their defaults.
Each record is looked at: its value must have the right length.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

LINGER_MS = 5
BATCH_BYTES = 65_536
PARTITIONS = range(3)
POLL_RECORDS = 1_000


@dataclass(frozen=True)
class Work:
    """What is to be done."""

    bootstrap: str
    topic: str
    records: int
    record_bytes: int

    @property
    def value(self) -> bytes:
        """One record's value."""
        return b"x" * self.record_bytes


@dataclass(frozen=True)
class Effort:
    """What it took."""

    seconds: float
    cpu_s: float
    memory_mb: float


class Clock:
    """Counts from when it is made: after a client's start, before its first record."""

    def __init__(self) -> None:
        self._cpu_s, self._at = time.process_time(), time.perf_counter()

    def read(self) -> Effort:
        """Give what it has taken until now."""
        seconds, cpu_s = time.perf_counter() - self._at, time.process_time() - self._cpu_s
        return Effort(seconds, cpu_s, _peak_memory_mb())


def _peak_memory_mb() -> float:
    """The most that was resident; what getrusage tells includes the process that started this."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status does not tell the peak of resident memory")


def ottla_produce(work: Work) -> Effort:
    from client import Producer, ProducerConfig  # noqa: PLC0415 - one client is loaded

    async def run() -> Effort:
        config = ProducerConfig(acks="all", linger_ms=LINGER_MS, batch_bytes=BATCH_BYTES)
        async with Producer(work.bootstrap, config) as producer:
            await producer.send(work.topic, work.value)
            value, clock = work.value, Clock()
            for _ in range(work.records - 1):
                await producer.enqueue(work.topic, value)
            await producer.flush()
            return clock.read()

    return trio.run(run)


def ottla_consume(work: Work) -> Effort:
    from client import Consumer, ConsumerConfig  # noqa: PLC0415

    async def run() -> Effort:
        config = ConsumerConfig(auto_offset_reset="earliest")
        async with Consumer(work.bootstrap, config) as consumer:
            clock, left = Clock(), work.records
            await consumer.assign_topics(work.topic)
            while left:
                for record in await consumer.poll(max_records=POLL_RECORDS):
                    require(len(record.value or b"") == work.record_bytes)
                    left -= 1
            return clock.read()

    return trio.run(run)


def confluent_produce(work: Work) -> Effort:
    from confluent_kafka import Producer  # noqa: PLC0415

    lost: list[object] = []

    def note(error: object, _message: object) -> None:
        if error is not None:
            lost.append(error)

    producer = Producer(
        {
            "bootstrap.servers": work.bootstrap,
            "acks": "all",
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_BYTES,
        }
    )
    producer.produce(work.topic, work.value)
    producer.flush()
    value, clock = work.value, Clock()
    for _ in range(work.records - 1):
        while True:
            try:
                producer.produce(work.topic, value, on_delivery=note)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()
    require(not lost)
    return clock.read()


def confluent_consume(work: Work) -> Effort:
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

    consumer = Consumer({"bootstrap.servers": work.bootstrap, "group.id": "bench"})
    clock, left = Clock(), work.records
    consumer.assign([TopicPartition(work.topic, each, 0) for each in PARTITIONS])
    while left:
        for message in consumer.consume(POLL_RECORDS, timeout=1.0):
            require(message.error() is None and len(message.value()) == work.record_bytes)
            left -= 1
    effort = clock.read()
    consumer.close()
    return effort


def aiokafka_produce(work: Work) -> Effort:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    async def run() -> Effort:
        async with AIOKafkaProducer(
            bootstrap_servers=work.bootstrap,
            acks="all",
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES,
        ) as producer:
            await producer.send_and_wait(work.topic, work.value)
            value, clock = work.value, Clock()
            sent = [await producer.send(work.topic, value) for _ in range(work.records - 1)]
            await producer.flush()
            for each in sent:
                each.result()
            return clock.read()

    return asyncio.run(run())


def aiokafka_consume(work: Work) -> Effort:
    from aiokafka import AIOKafkaConsumer, TopicPartition  # noqa: PLC0415

    async def run() -> Effort:
        consumer = AIOKafkaConsumer(bootstrap_servers=work.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            clock, left = Clock(), work.records
            consumer.assign([TopicPartition(work.topic, each) for each in PARTITIONS])
            while left:
                found = await consumer.getmany(timeout_ms=1_000, max_records=POLL_RECORDS)
                for records in found.values():
                    for record in records:
                        require(len(record.value) == work.record_bytes)
                        left -= 1
            return clock.read()
        finally:
            await consumer.stop()

    return asyncio.run(run())


def kafka_python_produce(work: Work) -> Effort:
    from kafka import KafkaProducer  # noqa: PLC0415

    producer = KafkaProducer(
        bootstrap_servers=work.bootstrap, acks="all", linger_ms=LINGER_MS, batch_size=BATCH_BYTES
    )
    producer.send(work.topic, work.value).get(30)
    value, clock = work.value, Clock()
    sent = [producer.send(work.topic, value) for _ in range(work.records - 1)]
    producer.flush()
    for each in sent:
        each.get(0)
    effort = clock.read()
    producer.close()
    return effort


def kafka_python_consume(work: Work) -> Effort:
    from kafka import KafkaConsumer, TopicPartition  # noqa: PLC0415

    consumer = KafkaConsumer(
        bootstrap_servers=work.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    clock, left = Clock(), work.records
    consumer.assign([TopicPartition(work.topic, each) for each in PARTITIONS])
    while left:
        found = consumer.poll(timeout_ms=1_000, max_records=POLL_RECORDS)
        for records in found.values():
            for record in records:
                require(len(record.value) == work.record_bytes)
                left -= 1
    effort = clock.read()
    consumer.close()
    return effort


def require(condition: bool) -> None:
    if not condition:
        raise AssertionError("a record was lost, or is not what was sent")


CLIENTS: dict[str, tuple[Callable[[Work], Effort], Callable[[Work], Effort]]] = {
    "ottla": (ottla_produce, ottla_consume),
    "confluent-kafka": (confluent_produce, confluent_consume),
    "aiokafka": (aiokafka_produce, aiokafka_consume),
    "kafka-python": (kafka_python_produce, kafka_python_consume),
}


def main() -> None:
    client, what, bootstrap, topic, records, record_bytes = sys.argv[1:]
    work = Work(bootstrap, topic, int(records), int(record_bytes))
    effort = CLIENTS[client][("produce", "consume").index(what)](work)
    print(json.dumps(asdict(effort)))


if __name__ == "__main__":
    main()
