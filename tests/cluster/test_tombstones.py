"""What was deleted from a compacted topic stays deleted, whoever was away meanwhile."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic, Producer
from protocol.records import Record, decode_batch
from simulation.cluster import SimulatedCluster, simulated_cluster
from simulation.committed import batches_of

TOPIC = "customers"
BOUND_S = 600
LONG_ENOUGH_S = 60
"""For a replica to catch up, and for several passes of the cleaner."""
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": "300",
    "min.cleanable.dirty.ratio": "0",
    "max.compaction.lag.ms": "500",
    "delete.retention.ms": "1000",
}


def held(cluster: SimulatedCluster, broker_id: int, key: bytes) -> list[Record]:
    """Give the records of a key on a replica."""
    replica = cluster.brokers[broker_id].broker.partitions.get(TOPIC, 0)
    found = batches_of(replica, 0, replica.log.log_end_offset)
    return [record for _, batch in found for record in decode_batch(batch) if record.key == key]


async def write(cluster: SimulatedCluster, key: bytes, *values: bytes | None) -> None:
    """Write values of a key, each followed by some of another."""
    environment = cluster.environment("writer")
    async with Producer(cluster.bootstrap, environment=environment) as producer:
        for value in values:
            await producer.send(TOPIC, value, key=key, partition=0)
            for _ in range(10):
                await producer.send(TOPIC, b"value", key=b"other", partition=0)


@pytest.fixture
async def cluster():
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties={"log.cleaner.backoff.ms": "100"}) as cluster:
            environment = cluster.environment("admin")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                topic = NewTopic(TOPIC, assignments={0: (1, 2, 3)}, configs=COMPACTED)
                await admin.create_topic(topic)
            yield cluster


async def test_a_tombstone_goes_once_every_replica_has_it(cluster, autojump_clock):
    await write(cluster, b"gone", b"value", None)
    await trio.sleep(LONG_ENOUGH_S)

    assert [held(cluster, broker_id, b"gone") for broker_id in (1, 2, 3)] == [[], [], []]
    assert [len(held(cluster, broker_id, b"other")) for broker_id in (1, 2, 3)] == [1, 1, 1]


async def test_a_tombstone_waits_for_a_replica_that_is_away(cluster, autojump_clock):
    await write(cluster, b"gone", b"value")
    await cluster.brokers[3].kill()
    await write(cluster, b"gone", None)
    await trio.sleep(LONG_ENOUGH_S)
    kept = [[one.value for one in held(cluster, broker_id, b"gone")] for broker_id in (1, 2)]
    await cluster.brokers[3].start()
    await trio.sleep(LONG_ENOUGH_S)

    assert kept == [[None], [None]]
    assert [held(cluster, broker_id, b"gone") for broker_id in (1, 2, 3)] == [[], [], []]
