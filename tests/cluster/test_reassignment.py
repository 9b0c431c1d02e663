"""Replicas and leaders that move, in a cluster that is all in memory: what stays, and what goes."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

import trio

from broker.replication.throttle import LEADER_REPLICAS
from client import Admin, NewTopic, Producer, ProducerConfig
from client.errors import DeliveryFailed
from coordinator.reassign import is_under_way
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.errors import ErrorCode
from simulation.cluster import SimulatedCluster, simulated_cluster
from tests.cluster.orders import TOPIC, consume, produce
from tests.support.asking import Asker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coordinator.cluster import PartitionState

BOUND_S = 300


@asynccontextmanager
async def cluster_of(brokers: int, *replicas: int, **config: str):
    """Run brokers with one topic of one partition, on these replicas."""
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(brokers) as cluster:
            environment = cluster.environment("admin")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                new = NewTopic(TOPIC, assignments={0: replicas}, configs=config)
                await admin.create_topic(new)
            yield cluster


def state_of(cluster: SimulatedCluster):
    broker = next(m.broker for m in cluster.brokers.values() if m.is_running)
    return broker.view.obeyed.partition(TOPIC, 0)


async def until(cluster: SimulatedCluster, holds: Callable[[PartitionState], bool]) -> None:
    broker = next(m.broker for m in cluster.brokers.values() if m.is_running)
    assert await broker.view.wait_for(lambda c: holds(c.partition(TOPIC, 0)), timeout_s=60)


async def reassign(cluster: SimulatedCluster, *replicas: int, wait: bool = True) -> None:
    wanted = ReassignablePartition(partition_index=0, replicas=[*replicas])
    topic = ReassignableTopic(name=TOPIC, partitions=[wanted])
    running = next(i for i, m in cluster.brokers.items() if m.is_running)
    answer = await Asker(cluster)(
        AlterPartitionReassignmentsRequest(topics=[topic]), broker_id=running
    )
    assert answer.responses[0].partitions[0].error_code == ErrorCode.NONE
    if wait:
        await until(cluster, lambda partition: not is_under_way(partition))


def holders(cluster: SimulatedCluster) -> set[int]:
    """Say on whose disks there is anything of the partition, under whatever name."""
    return {
        broker_id
        for broker_id, machine in cluster.brokers.items()
        if any(name.startswith(f"{TOPIC}-0") for name in machine.disk.list("data"))
    }


async def until_held_by(cluster: SimulatedCluster, *broker_ids: int) -> None:
    while True:
        if holders(cluster) == {*broker_ids}:
            return
        await trio.sleep(0.01)


def numbered(start: int, end: int) -> list[bytes]:
    return [b"%d" % i for i in range(start, end)]


async def test_a_partition_moves_to_other_brokers_and_leaves_nothing_behind(autojump_clock):
    async with cluster_of(6, 1, 2, 3) as cluster:
        await produce(cluster, numbered(0, 50))

        await reassign(cluster, 4, 5, 6)

        assert state_of(cluster).replicas == (4, 5, 6)
        assert state_of(cluster).leader_id == 4
        await until_held_by(cluster, 4, 5, 6)
        await produce(cluster, numbered(50, 60))
        assert await consume(cluster, 60) == numbered(0, 60)


async def test_another_replication_factor_is_a_reassignment(autojump_clock):
    async with cluster_of(3, 1) as cluster:
        await produce(cluster, numbered(0, 10))

        await reassign(cluster, 1, 2, 3)
        await cluster.brokers[1].kill()
        await produce(cluster, numbered(10, 20))
        assert await consume(cluster, 20) == numbered(0, 20)

        await cluster.brokers[1].start()
        await reassign(cluster, 3)
        await until_held_by(cluster, 3)
        assert await consume(cluster, 20) == numbered(0, 20)


async def test_what_was_written_before_a_move_is_acknowledged_while_replicas_are_added(
    autojump_clock,
):
    async with cluster_of(3, 1, **{LEADER_REPLICAS: "*"}) as cluster:
        throttle = cluster.brokers[1].broker.throttles.leader
        throttle._rate = lambda: 0
        await produce(cluster, [b"one is enough"])
        await reassign(cluster, 1, 2, 3, wait=False)
        await trio.sleep(5)

        await produce(cluster, [b"one is enough"])

        assert state_of(cluster).isr == (1,)
        throttle._rate = lambda: None
        await until(cluster, lambda partition: partition.isr == (1, 2, 3))


async def test_a_broker_that_was_away_gives_its_replica_up_when_it_returns(autojump_clock):
    async with cluster_of(3, 1, 2) as cluster:
        await produce(cluster, numbered(0, 10))
        await cluster.brokers[2].kill()
        await reassign(cluster, 1, 3)
        await produce(cluster, numbered(10, 20))
        assert holders(cluster) == {1, 2, 3}

        await cluster.brokers[2].start()

        await until_held_by(cluster, 1, 3)
        assert await consume(cluster, 20) == numbered(0, 20)


async def test_a_replica_that_goes_and_comes_back_at_once_is_filled_anew(autojump_clock):
    async with cluster_of(3, 1, 2, 3) as cluster:
        await produce(cluster, numbered(0, 10))
        for _ in range(5):
            await reassign(cluster, 1, 2)
            await reassign(cluster, 1, 2, 3, wait=False)
            await produce(cluster, [b"between"])
            await until(cluster, lambda partition: not is_under_way(partition))

        await cluster.brokers[1].kill()
        await cluster.brokers[2].kill()
        await trio.sleep(10)
        await cluster.brokers[2].start()
        assert await consume(cluster, 15) == numbered(0, 10) + [b"between"] * 5


async def test_what_a_broker_missed_of_a_topic_is_not_taken_for_its_successor(autojump_clock):
    async with cluster_of(3, 1, 2) as cluster:
        await produce(cluster, numbered(0, 10))
        await cluster.brokers[2].kill()
        await reassign(cluster, 1, 3)
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            await admin.delete_topic(TOPIC)
            # Nobody knows any more that broker 2 holds something: it keeps what it has.
            await cluster.brokers[2].start()
            await trio.sleep(10)
            assert holders(cluster) == {2}
            await admin.create_topic(NewTopic(TOPIC, assignments={0: (2, 1)}))

        await produce(cluster, [b"new"])

        assert await consume(cluster, 1) == [b"new"]


async def test_leaders_that_are_asked_for_take_over_without_losing_what_was_acknowledged_to_acks_1(
    autojump_clock,
):
    async with cluster_of(3, 1, 2, 3) as cluster:
        cluster.brokers[2].disk.sync_latency_s = lambda: 0.01
        cluster.brokers[3].disk.sync_latency_s = lambda: 0.01
        await cluster.brokers[1].kill()
        await trio.sleep(1)
        await cluster.brokers[1].start()
        acknowledged: dict[int, bytes] = {}
        config = ProducerConfig(acks=1, linger_ms=0)
        environment = cluster.environment("writer")
        done = trio.Event()

        async def write(producer: Producer, numbers: Iterator[int]) -> None:
            for number in numbers:
                if done.is_set():
                    return
                with suppress(DeliveryFailed):
                    value = b"%d" % number
                    metadata = await producer.send(TOPIC, value, partition=0)
                    acknowledged[metadata.offset] = value
                await trio.sleep(0.003)

        async with (
            Producer(cluster.bootstrap, config, environment=environment) as producer,
            trio.open_nursery() as nursery,
        ):
            numbers = count()
            for _ in range(5):
                nursery.start_soon(write, producer, numbers)
            leaders = []
            for first in (1, 2, 1, 3, 1, 2, 3):
                others = [r for r in (1, 2, 3) if r != first]
                await until(cluster, lambda partition: len(partition.isr) == 3)
                await reassign(cluster, first, *others)
                asked = TopicPartitions(topic=TOPIC, partitions=[0])
                answer = await Asker(cluster)(ElectLeadersRequest(topic_partitions=[asked]))
                (topic,) = answer.replica_election_results
                leaders.append((state_of(cluster).leader_id, topic.partition_result[0].error_code))
                await trio.sleep(0.1)
            done.set()

        assert [leader_id for leader_id, _ in leaders] == [1, 2, 1, 3, 1, 2, 3]
        assert {code for _, code in leaders} <= {ErrorCode.NONE, ErrorCode.ELECTION_NOT_NEEDED}
        found = await consume(cluster, max(acknowledged) + 1)
        assert {offset: found[offset] for offset in acknowledged} == acknowledged
