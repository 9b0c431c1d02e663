"""Consumers that read partition 0 of a topic from its beginning to what is its end.

Each says of itself when it is there, so that one which is stuck before offsets that are gone fails.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import NamedTuple

import aiokafka
import kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.interop.java_tools import TOOLS, Java
from tests.support.local_cluster import ottla

TIMEOUT_S = 60
SMALL_FETCH_BYTES = 2_000
"""Several fetches for each segment; a batch that is larger comes all the same."""

NOTHING = "<nothing>"
"""How those clients show a tombstone that know no nulls."""


class Read(NamedTuple):
    """A record as it was read."""

    offset: int
    key: str
    value: str | None


class Stuck(Exception):
    """A consumer has not come to the end in time."""


def end_offset(bootstrap: str, topic: str) -> int:
    """Ask where the partition ends."""
    place = TopicPartition(topic, 0)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.list_offsets({place: OffsetSpec.latest()})[place]
    return int(found.result(timeout=TIMEOUT_S).offset)


def read_by_librdkafka(bootstrap: str, topic: str) -> list[Read]:
    """Read with confluent-kafka; it tells when it is at the end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.message.max.bytes": SMALL_FETCH_BYTES,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Read] = []
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is None:
                found.append(_read(message.offset(), message.key(), message.value()))
                continue
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            (place,) = consumer.position([TopicPartition(topic, 0)])
            assert not found or place.offset > found[-1].offset
            return found
    finally:
        consumer.close()
    raise Stuck(f"librdkafka read {len(found)} records")


def read_by_kafka_python(bootstrap: str, topic: str) -> list[Read]:
    """Read with kafka-python until its position is the end."""
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=bootstrap,
        check_crcs=True,
        enable_auto_commit=False,
        max_partition_fetch_bytes=SMALL_FETCH_BYTES,
    )
    found: list[Read] = []
    deadline = time.monotonic() + TIMEOUT_S
    try:
        place = kafka.TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        end = consumer.end_offsets([place])[place]
        while consumer.position(place) < end:
            if time.monotonic() > deadline:
                raise Stuck(f"kafka-python stays at {consumer.position(place)} of {end}")
            for records in consumer.poll(timeout_ms=500).values():
                found += [_read(one.offset, one.key, one.value) for one in records]
        return found
    finally:
        consumer.close()


def read_by_aiokafka(bootstrap: str, topic: str) -> list[Read]:
    """Read with aiokafka until its position is the end."""
    return asyncio.run(_read_by_aiokafka(bootstrap, topic))


async def _read_by_aiokafka(bootstrap: str, topic: str) -> list[Read]:
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        max_partition_fetch_bytes=SMALL_FETCH_BYTES,
    )
    await consumer.start()
    found: list[Read] = []
    deadline = time.monotonic() + TIMEOUT_S
    try:
        place = aiokafka.TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        end = (await consumer.end_offsets([place]))[place]
        while (position := await consumer.position(place)) < end:
            if time.monotonic() > deadline:
                raise Stuck(f"aiokafka stays at {position} of {end}")
            for records in (await consumer.getmany(place, timeout_ms=500)).values():
                found += [_read(one.offset, one.key, one.value) for one in records]
        return found
    finally:
        await consumer.stop()


def read_by_kcat(program: str, bootstrap: str, topic: str) -> list[Read]:
    """Read with kcat, which ends at the end."""
    done = subprocess.run(
        [
            *(program, "-b", bootstrap, "-t", topic, "-C", "-o", "beginning", "-e", "-q", "-Z"),
            *("-f", "%o\t%k\t%s\n", "-X", f"fetch.message.max.bytes={SMALL_FETCH_BYTES}"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return _of_lines(done.stdout, null="NULL")


def read_by_java(java: Java, bootstrap: str, topic: str) -> list[Read]:
    """Read with Kafka's console consumer; the offset that it commits says how far it came."""
    group = f"readers-of-{topic}-{time.monotonic_ns()}"
    told = java.run(
        f"{TOOLS}.consumer.ConsoleConsumer",
        *("--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning"),
        *("--group", group, "--timeout-ms", "6000"),
        *("--command-property", f"max.partition.fetch.bytes={SMALL_FETCH_BYTES}"),
        *("--formatter-property", "print.key=true"),
        *("--formatter-property", "print.offset=true"),
        *("--formatter-property", f"null.literal={NOTHING}"),
    )
    end = end_offset(bootstrap, topic)
    if (committed := _committed(bootstrap, group, topic)) != end:
        raise Stuck(f"Kafka's consumer stays at {committed} of {end}")
    lines = "".join(line.removeprefix("Offset:") + "\n" for line in told.splitlines())
    return _of_lines(lines, null=NOTHING)


def read_by_ottla(bootstrap: str, topic: str) -> list[Read]:
    """Read with `ottla consume`, which ends at the end."""
    told = ottla(
        *("consume", topic, "--bootstrap", bootstrap, "--from-beginning", "--exit-at-end"),
        *("--format", "json"),
        timeout_s=TIMEOUT_S,
    )
    records = map(json.loads, told.splitlines())
    return [Read(one["offset"], one["key"], one["value"]) for one in records]


def _read(offset: int, key: bytes, value: bytes | None) -> Read:
    return Read(offset, key.decode(), None if value is None else value.decode())


def _of_lines(lines: str, *, null: str) -> list[Read]:
    """Read lines of offset, key and value between tabs."""
    fields = (line.split("\t") for line in lines.splitlines())
    return [
        Read(int(offset), key, None if value == null else value) for offset, key, value in fields
    ]


def _committed(bootstrap: str, group: str, topic: str) -> int:
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (found,) = admin.list_consumer_group_offsets([asked]).values()
    (place,) = found.result(timeout=TIMEOUT_S).topic_partitions
    return int(place.offset)
