"""DescribeLogDirs: sizes of replicas, the volume that holds them, and the logs that are broken."""

from __future__ import annotations

import random

import pytest

from broker.dispatch import RequestContext
from broker.handlers.describe_log_dirs import DescribeLogDirsHandler
from broker.log.config import LogConfig
from broker.log.directory import DataDirectory
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition import PartitionContext
from broker.partitions import Partitions
from broker.replication.fetchers import Fetchers
from protocol.api import ApiKey
from protocol.api.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk

DATA = "/data"
BATCH = encode_batch([Record(0, 0, None, b"value", ())])
CONTEXT = RequestContext(ApiKey.DESCRIBE_LOG_DIRS, 4, 1, "tests", "peer", "PLAINTEXT")


@pytest.fixture
def disk():
    """Holds `orders-0` with three batches, `orders-1` with four, each in a segment of its own."""
    disk = MemoryDisk(random.Random(3))
    disk.make_directory(DATA)
    for index in range(2):
        log = Log.create(
            disk,
            f"{DATA}/orders-{index}",
            LogConfig(segment_bytes=len(BATCH)),
            topic_id=bytes(16),
            wall_ms=lambda: 0,
        )
        for _ in range(index + 3):
            log.append_as_leader(bytearray(BATCH), leader_epoch=0)
        log.close()
    return disk


@pytest.fixture
def describe(disk):
    def ask(*topics: DescribableLogDirTopic) -> DescribeLogDirsResponse:
        context = PartitionContext(
            broker_id=1,
            flusher=Flusher(disk),
            lease_held=lambda: True,
            storage_failed=lambda error: pytest.fail(str(error)),
        )
        partitions = Partitions(
            disk=disk,
            directory=DataDirectory(disk, DATA),
            context=context,
            fetchers=Fetchers(lambda _: pytest.fail("nobody follows here")),
            topic_defaults={},
            wall_ms=lambda: 0,
        )
        partitions.load(clean=True)
        request = DescribeLogDirsRequest(topics=list(topics) or None)
        return DescribeLogDirsHandler(partitions)(request, CONTEXT)

    return ask


def sizes(response: DescribeLogDirsResponse) -> dict[int, int]:
    (topic,) = response.results[0].topics
    return {p.partition_index: p.partition_size for p in topic.partitions}


def test_every_replica_is_told_with_its_size_and_the_volume_with_its_own(disk, describe):
    disk.capacity_bytes = 1_000_000
    response = describe()

    (found,) = response.results
    assert (found.error_code, found.log_dir) == (ErrorCode.NONE, DATA)
    assert sizes(response) == {0: 3 * len(BATCH), 1: 4 * len(BATCH)}
    assert found.total_bytes == 1_000_000
    assert 0 < found.usable_bytes < 1_000_000
    assert [p.offset_lag for p in found.topics[0].partitions] == [0, 0]


def test_only_the_replicas_asked_for_are_told_and_none_that_is_not_here(describe):
    response = describe(
        DescribableLogDirTopic("orders", [1, 7]), DescribableLogDirTopic("never-was", [0])
    )

    assert sizes(response) == {1: 4 * len(BATCH)}


def test_a_log_that_cannot_be_opened_is_a_directory_with_an_error(disk, describe):
    disk.flip_bit(f"{DATA}/orders-0/{0:020d}.log", 8, 4)
    disk.flip_bit(f"{DATA}/orders-0/leader-epoch-checkpoint", 0, 7)

    sound, broken = describe().results

    assert [p.partition_index for t in sound.topics for p in t.partitions] == [1]
    assert (broken.error_code, broken.log_dir) == (
        ErrorCode.KAFKA_STORAGE_ERROR,
        f"{DATA}/orders-0",
    )
    assert [(t.name, p.partition_index) for t in broken.topics for p in t.partitions] == [
        ("orders", 0)
    ]
