"""The topic of most stories: what is written to its first partition and read from there."""

from __future__ import annotations

from client import Consumer, ConsumerConfig, Producer, TopicPartition
from simulation.cluster import SimulatedCluster

TOPIC = "orders"


async def produce(cluster: SimulatedCluster, values: list[bytes]) -> None:
    """Write one record after the other, each when the one before is acknowledged."""
    async with Producer(cluster.bootstrap, environment=cluster.environment("writer")) as producer:
        for value in values:
            await producer.send(TOPIC, value, partition=0)


async def consume(cluster: SimulatedCluster, count: int) -> list[bytes]:
    """Read from the start, until there are so many records."""
    config = ConsumerConfig(auto_offset_reset="earliest")
    environment = cluster.environment("reader")
    async with Consumer(cluster.bootstrap, config, environment=environment) as consumer:
        await consumer.assign([TopicPartition(TOPIC, 0)])
        found: list[bytes] = []
        while len(found) < count:
            found += [record.value for record in await consumer.poll(timeout_s=10)]
        return found
