"""Readers of many partitions, in sessions or not, while brokers die: nothing is skipped.

The Java consumer fetches in sessions, with topic ids; librdkafka without a session.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.local_cluster import LocalCluster
from tests.support.needs import need_packages

need_packages("confluent_kafka")

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

JAVA_CONSUMER = Path(__file__).parent / "java" / "AssignedConsumer.java"
PARTITIONS = 12
RECORDS = 3_000
PATIENCE_S = 120
FEW_SLOTS = (
    "max.incremental.fetch.session.cache.slots=3",
    "min.incremental.fetch.session.eviction.ms=200",
)


@pytest.fixture(params=[(), FEW_SLOTS], ids=["room-for-sessions", "sessions-are-evicted"])
def mortal_cluster(request, tmp_path):
    """Three brokers that the test may kill."""
    local = LocalCluster(tmp_path, settings=request.param)
    try:
        local.up()
        yield local
    finally:
        local.close()


def create(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    new = NewTopic(topic, num_partitions=PARTITIONS, replication_factor=3)
    admin.create_topics([new])[topic].result(timeout=20)


class Java:
    """Reads by assignment, in a process of its own."""

    def __init__(self, class_path: str, bootstrap: str, topic: str, **settings: str) -> None:
        self._process = subprocess.Popen(
            [
                *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", class_path),
                *(str(JAVA_CONSUMER), bootstrap, topic, str(RECORDS)),
                *(f"{key.replace('_', '.')}={value}" for key, value in settings.items()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def records(self) -> list[tuple[int, int]]:
        """Wait for it to end. Returns: (partition, offset) of what it read, in that order."""
        output, errors = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, errors
        return [tuple(map(int, line.split()[:2])) for line in output.splitlines()]


def read_with_librdkafka(bootstrap: str, topic: str) -> list[tuple[int, int]]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, index, 0) for index in range(PARTITIONS)])
    found: list[tuple[int, int]] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < RECORDS and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append((message.partition(), message.offset()))
    consumer.close()
    return found


def assert_nothing_skipped(found: list[tuple[int, int]]) -> None:
    assert len(found) == RECORDS
    for index in range(PARTITIONS):
        offsets = [offset for partition, offset in found if partition == index]
        assert offsets == list(range(RECORDS // PARTITIONS)), f"partition {index}"


def test_readers_of_many_partitions_skip_nothing_while_brokers_die(mortal_cluster, java_class_path):
    bootstrap, topic = mortal_cluster.bootstrap, "many"
    create(bootstrap, topic)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})

    def produce(first: int, last: int) -> None:
        for number in range(first, last):
            producer.produce(topic, b"%d" % number * 50, partition=number % PARTITIONS)
            if number % 100 == 0:
                producer.flush(PATIENCE_S)
        assert producer.flush(PATIENCE_S) == 0

    with (
        Java(java_class_path, bootstrap, topic) as roomy,
        Java(
            java_class_path,
            *(bootstrap, topic),
            fetch_max_bytes="20000",
            max_partition_fetch_bytes="5000",
        ) as narrow,
    ):
        produce(0, RECORDS // 3)
        mortal_cluster.kill("2")
        produce(RECORDS // 3, RECORDS * 2 // 3)
        mortal_cluster.start("2")
        produce(RECORDS * 2 // 3, RECORDS)

        assert_nothing_skipped(roomy.records())
        assert_nothing_skipped(narrow.records())
    assert_nothing_skipped(read_with_librdkafka(bootstrap, topic))
