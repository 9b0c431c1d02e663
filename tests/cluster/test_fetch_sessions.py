"""Our own consumer and followers in sessions with real brokers, in one trio run, by a seed."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from client import (
    Admin,
    Consumer,
    ConsumerConfig,
    NewTopic,
    Producer,
    TopicPartition,
)
from simulation.cluster import SimulatedCluster, simulated_cluster
from simulation.scheduling import deterministic_scheduling

TOPIC = "orders"
PARTITIONS = 20
RECORDS = 400
BOUND_S = 300
FEW_SLOTS = {
    "max.incremental.fetch.session.cache.slots": "3",
    "min.incremental.fetch.session.eviction.ms": "100",
}


async def create(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(NewTopic(TOPIC, partitions=PARTITIONS, replication_factor=3))


async def produce(cluster: SimulatedCluster, rng: random.Random) -> None:
    environment = cluster.environment("producer")
    async with Producer(cluster.bootstrap, environment=environment) as producer:
        for number in range(RECORDS):
            await producer.send(TOPIC, b"%d" % number, partition=number % PARTITIONS)
            await trio.sleep(rng.choice([0.0, 0.0, 0.001, 0.1]))


async def break_brokers(cluster: SimulatedCluster, rng: random.Random) -> None:
    """Kill and start one broker after the other."""
    while True:
        await trio.sleep(rng.expovariate(0.5))
        machine = rng.choice(list(cluster.brokers.values()))
        await machine.kill()
        await trio.sleep(rng.choice([0.0, 0.5, 3.0]))
        await machine.start()


async def end_sessions(cluster: SimulatedCluster, rng: random.Random) -> None:
    """Have brokers forget sessions, as if others had taken their places."""
    while True:
        await trio.sleep(rng.expovariate(5))
        broker = rng.choice(list(cluster.brokers.values())).broker
        for session_id in list(broker.fetch_sessions._sessions):
            broker.fetch_sessions.remove(session_id)


async def read(cluster: SimulatedCluster, rng: random.Random) -> dict[int, list[bytes]]:
    """Read all partitions, pausing some of them at times, until all records have come."""
    config = ConsumerConfig(
        auto_offset_reset="earliest",
        partition_bytes_max=rng.choice([200, 1 << 20]),
        fetch_bytes_max=rng.choice([500, 1 << 20]),
    )
    places = [TopicPartition(TOPIC, index) for index in range(PARTITIONS)]
    found: dict[int, list[bytes]] = {index: [] for index in range(PARTITIONS)}
    environment = cluster.environment("reader")
    async with Consumer(cluster.bootstrap, config, environment=environment) as consumer:
        await consumer.assign(places)
        while sum(map(len, found.values())) < RECORDS:
            for record in await consumer.poll(timeout_s=0.2):
                found[record.partition].append(record.value)
            consumer.resume(*consumer.paused)
            consumer.pause(*rng.sample(places, rng.choice([0, 0, 5])))
    return found


async def run_story(seed: int, *, properties: dict[str, str]) -> None:
    rng = random.Random(seed)
    async with simulated_cluster(3, seed=seed, properties=properties) as cluster:
        await create(cluster)
        with trio.fail_after(BOUND_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(produce, cluster, random.Random(f"{seed} producer"))
                nursery.start_soon(break_brokers, cluster, random.Random(f"{seed} faults"))
                nursery.start_soon(end_sessions, cluster, random.Random(f"{seed} sessions"))
                found = await read(cluster, rng)
                nursery.cancel_scope.cancel()
    for index, values in found.items():
        assert values == [b"%d" % n for n in range(index, RECORDS, PARTITIONS)], index


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({}, marks=pytest.mark.slow, id="with-room"),
        pytest.param(FEW_SLOTS, id="with-few"),
    ],
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_our_consumer_skips_and_repeats_nothing_whatever_becomes_of_its_sessions(
    seed: int, properties: dict[str, str]
):
    with deterministic_scheduling(seed):
        trio.run(
            lambda: run_story(seed, properties=properties), clock=MockClock(autojump_threshold=0)
        )


def consumer_sessions(cluster: SimulatedCluster) -> int:
    return sum(
        not session.reader.is_follower
        for machine in cluster.brokers.values()
        for session in machine.broker.fetch_sessions._sessions.values()
    )


async def test_a_consumer_that_ends_frees_its_sessions_at_once(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        environment = cluster.environment("reader")
        async with Consumer(cluster.bootstrap, environment=environment) as consumer:
            await consumer.assign([TopicPartition(TOPIC, index) for index in range(PARTITIONS)])
            await trio.sleep(5)
            assert consumer_sessions(cluster) == 3
            ends_at = trio.current_time()
        assert consumer_sessions(cluster) == 0
        assert trio.current_time() - ends_at < 0.1


async def test_a_consumer_that_reads_nothing_from_a_broker_any_more_keeps_no_session_there(
    autojump_clock,
):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        environment = cluster.environment("reader")
        async with Consumer(cluster.bootstrap, environment=environment) as consumer:
            await consumer.assign([TopicPartition(TOPIC, index) for index in range(PARTITIONS)])
            await trio.sleep(5)
            await consumer.assign([TopicPartition(TOPIC, 0)])
            await trio.sleep(2)
            assert consumer_sessions(cluster) == 1


async def test_a_consumer_that_ends_does_not_wait_for_brokers_that_are_gone(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        environment = cluster.environment("reader")
        async with Consumer(cluster.bootstrap, environment=environment) as consumer:
            await consumer.assign([TopicPartition(TOPIC, index) for index in range(PARTITIONS)])
            await trio.sleep(5)
            for machine in cluster.brokers.values():
                await machine.kill()
            ends_at = trio.current_time()
        assert trio.current_time() - ends_at <= 1


async def test_in_a_quiet_cluster_every_reader_has_its_session_and_nothing_is_due(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        environment = cluster.environment("reader")
        async with Consumer(cluster.bootstrap, environment=environment) as consumer:
            await consumer.assign([TopicPartition(TOPIC, index) for index in range(PARTITIONS)])
            await trio.sleep(5)

            readers = Counter()
            for machine in cluster.brokers.values():
                sessions = machine.broker.fetch_sessions._sessions.values()
                led = sum(1 for _ in machine.broker.partitions.led())
                live = [s for s in sessions if trio.current_time() - s.fetched_at < 1]
                assert {len(session) for session in live} == {led}
                assert not any(session.due for session in live)
                readers.update(session.reader.replica_id for session in live)
    assert readers == {-1: 3, 1: 2, 2: 2, 3: 2}
