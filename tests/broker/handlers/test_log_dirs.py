"""DescribeLogDirs: sizes of replicas, the volume that holds them, and the logs that are broken."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic, Producer
from protocol.api.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from protocol.errors import ErrorCode

TOPIC = "orders"
SEGMENT_BYTES = 300
US = 1


@pytest.fixture
async def describe(ask):
    """Asks broker 1, which holds `orders-0` in several segments and `orders-1` in one."""
    cluster, environment = ask.cluster, ask.cluster.environment("client")
    configs = {"segment.bytes": str(SEGMENT_BYTES)}
    async with Admin(cluster.bootstrap, environment=environment) as admin:
        await admin.create_topic(
            NewTopic(TOPIC, partitions=2, replication_factor=3, configs=configs)
        )
    async with Producer(cluster.bootstrap, environment=environment) as producer:
        for number in range(10):
            await producer.send(TOPIC, b"%02d" % number + bytes(100), partition=0)
        await producer.send(TOPIC, b"one", partition=1)
    await trio.sleep(5)  # until the followers have it

    async def describe_now(*topics: DescribableLogDirTopic) -> DescribeLogDirsResponse:
        return await ask(DescribeLogDirsRequest(topics=list(topics) or None), broker_id=US)

    return describe_now


def sizes(response: DescribeLogDirsResponse) -> dict[int, int]:
    (topic,) = response.results[0].topics
    return {p.partition_index: p.partition_size for p in topic.partitions}


async def test_every_replica_is_told_with_its_size_and_the_volume_with_its_own(
    ask, describe, autojump_clock
):
    machine = ask.cluster.brokers[US]
    machine.disk.capacity_bytes = 1_000_000
    response = await describe()

    (found,) = response.results
    assert (found.error_code, found.log_dir) == (ErrorCode.NONE, "data")
    logs = [machine.broker.partitions.get(TOPIC, index).log for index in (0, 1)]
    assert len(logs[0].segments) > 1
    assert sizes(response) == {0: logs[0].size_bytes, 1: logs[1].size_bytes}
    assert sizes(response)[0] > 10 * 100
    assert found.total_bytes == 1_000_000
    assert 0 < found.usable_bytes < 1_000_000
    assert [p.offset_lag for p in found.topics[0].partitions] == [0, 0]


async def test_only_the_replicas_asked_for_are_told_and_none_that_is_not_here(
    describe, autojump_clock
):
    response = await describe(
        DescribableLogDirTopic(TOPIC, [1, 7]), DescribableLogDirTopic("never-was", [0])
    )

    assert sizes(response).keys() == {1}


async def test_a_log_that_cannot_be_opened_is_a_directory_with_an_error(
    ask, describe, autojump_clock
):
    machine = ask.cluster.brokers[US]
    await machine.stop()
    machine.disk.flip_bit(f"data/{TOPIC}-0/{0:020d}.log", 8, 4)
    machine.disk.flip_bit(f"data/{TOPIC}-0/leader-epoch-checkpoint", 0, 7)
    await machine.start()

    sound, broken = (await describe()).results

    assert [p.partition_index for t in sound.topics for p in t.partitions] == [1]
    assert (broken.error_code, broken.log_dir) == (
        ErrorCode.KAFKA_STORAGE_ERROR,
        f"data/{TOPIC}-0",
    )
    assert [(t.name, p.partition_index) for t in broken.topics for p in t.partitions] == [
        (TOPIC, 0)
    ]
    asked = await describe(DescribableLogDirTopic(TOPIC, [1]))
    assert len(asked.results) == 1
