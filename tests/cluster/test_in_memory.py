"""Three real brokers, the controller and the client in one trio run: no sockets, no disk, no clock.

What passes here shows that every part takes the outside world through its ports.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import trio

from broker.partition import Partition
from client import Admin, NewTopic, Producer, ProducerConfig
from protocol.errors import RequestError
from simulation.cluster import SimulatedCluster, simulated_cluster
from tests.cluster.orders import TOPIC, consume

BOUND_S = 300
"""Virtual seconds that a test may take before it counts as stuck."""


@asynccontextmanager
async def cluster_of_three(**properties: str):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties=properties) as cluster:
            yield cluster


async def create(cluster: SimulatedCluster, *, partitions: int = 1, **config: str) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(
            NewTopic(TOPIC, partitions=partitions, replication_factor=3, configs=config)
        )


def leader_of(cluster: SimulatedCluster, index: int = 0) -> int:
    """Ask the brokers themselves: exactly one leads."""
    leaders = [
        broker_id
        for broker_id, machine in cluster.brokers.items()
        if machine.is_running
        for partition in machine.broker.partitions.led()
        if (partition.topic, partition.index) == (TOPIC, index) and acts_as_leader(partition)
    ]
    assert len(leaders) == 1, leaders
    return leaders[0]


def acts_as_leader(partition: Partition) -> bool:
    with suppress(RequestError):
        partition.require_leader()
        return True
    return False


def controller_of(cluster: SimulatedCluster) -> int:
    views = {m.broker.view.latest.controller_id for m in cluster.brokers.values() if m.is_running}
    assert len(views) == 1, views
    return views.pop()


async def produce(cluster: SimulatedCluster, values: list[bytes], *, host: str = "client") -> None:
    async with Producer(cluster.bootstrap, environment=cluster.environment(host)) as producer:
        deliveries = [await producer.enqueue(TOPIC, value, partition=0) for value in values]
        for delivery in deliveries:
            await delivery.wait()


async def wait_in_sync(cluster: SimulatedCluster, *, members: int = 3) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("watcher")) as admin:
        while True:
            topic = (await admin.describe_topics([TOPIC]))[TOPIC]
            if all(len(p.isr) == members for p in topic.partitions.values()):
                return
            await trio.sleep(0.05)


def numbered(start: int, end: int) -> list[bytes]:
    return [b"%d" % i for i in range(start, end)]


async def test_a_cluster_elects_replicates_loses_a_broker_and_goes_on(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 100))
        victim = leader_of(cluster)

        await cluster.brokers[victim].kill()
        await produce(cluster, numbered(100, 200))

        assert leader_of(cluster) != victim
        assert await consume(cluster, 200) == numbered(0, 200)

        await cluster.brokers[victim].start()
        await wait_in_sync(cluster)
        await produce(cluster, numbered(200, 250))
        assert await consume(cluster, 250) == numbered(0, 250)


async def test_a_killed_leader_is_replaced_long_before_its_session_expires(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, [b"before"])
        await cluster.brokers[leader_of(cluster)].kill()
        killed_at = trio.current_time()

        await produce(cluster, [b"after"])

        assert trio.current_time() - killed_at < 1.0


async def test_controller_and_leader_die_together_and_the_last_one_waits_for_a_second(
    autojump_clock,
):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 10))
        victims = {leader_of(cluster), controller_of(cluster)}
        for victim in victims:
            await cluster.brokers[victim].kill()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce, cluster, numbered(10, 20))
            await trio.sleep(5)
            for victim in victims:
                await cluster.brokers[victim].start()

        assert await consume(cluster, 20) == numbered(0, 20)


async def test_all_brokers_die_at_once_and_come_back_with_everything(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 50))
        for machine in cluster.brokers.values():
            await machine.kill()
        for machine in cluster.brokers.values():
            await machine.start()

        await produce(cluster, numbered(50, 60))

        assert await consume(cluster, 60) == numbered(0, 60)


async def test_power_fails_everywhere_and_nothing_acknowledged_is_lost(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 50))
        for machine in cluster.brokers.values():
            await machine.kill()
            machine.lose_power()
        for machine in cluster.brokers.values():
            await machine.start()

        await produce(cluster, numbered(50, 60))

        assert await consume(cluster, 60) == numbered(0, 60)


async def test_stopping_the_leader_hands_over_without_a_retry_being_lost(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce, cluster, numbered(0, 500))
            await trio.sleep(0.001)
            await cluster.brokers[leader_of(cluster)].stop()

        assert await consume(cluster, 500) == numbered(0, 500)


async def test_acks_all_is_refused_while_too_few_replicas_are_in_sync(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, [b"first"])
        leader = leader_of(cluster)
        followers = [b for b in cluster.brokers if b != leader]
        for follower in followers:
            await cluster.brokers[follower].kill()

        with trio.move_on_after(20) as waiting:
            await produce(cluster, [b"too few"])
        assert waiting.cancelled_caught

        await cluster.brokers[followers[0]].start()
        await wait_in_sync(cluster, members=2)
        await produce(cluster, [b"enough"])
        found = await consume(cluster, 2)
        assert (found[0], found[-1]) == (b"first", b"enough")


async def test_a_broker_whose_session_expires_fences_itself_and_returns(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 10))
        leader = leader_of(cluster)

        cluster.cut_from_store(leader)
        await trio.sleep(10)
        assert leader_of(cluster) != leader
        await produce(cluster, numbered(10, 20))
        cluster.reconnect_to_store(leader)
        await wait_in_sync(cluster)

        assert await consume(cluster, 20) == numbered(0, 20)


async def test_a_big_record_passes_where_the_topic_lets_it(autojump_clock):
    big = bytes(range(256)) * 20_000
    async with cluster_of_three() as cluster:
        await create(cluster, **{"max.message.bytes": "6000000"})
        config = ProducerConfig(request_bytes_max=6_000_000)
        environment = cluster.environment("client")
        async with Producer(cluster.bootstrap, config, environment=environment) as producer:
            await producer.send(TOPIC, big, partition=0)

        assert await consume(cluster, 1) == [big]


async def test_replicas_are_equal_byte_for_byte(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        for round_number in range(3):
            await produce(cluster, numbered(round_number * 10, round_number * 10 + 10))
            await cluster.brokers[leader_of(cluster)].kill()
            await produce(cluster, [b"between %d" % round_number])
            for machine in cluster.brokers.values():
                if not machine.is_running:
                    await machine.start()
            await wait_in_sync(cluster)

        logs = {
            broker_id: b"".join(
                partition.log.read(
                    0, bytes_max=1 << 20, end_offset=partition.log.log_end_offset
                ).read_bytes()
                for partition in machine.broker.partitions
            )
            for broker_id, machine in cluster.brokers.items()
        }
        assert logs[1] == logs[2] == logs[3]
        assert logs[1]


async def test_a_deleted_topic_leaves_nothing_and_its_name_can_be_used_again(autojump_clock):
    async with cluster_of_three() as cluster:
        await create(cluster)
        await produce(cluster, numbered(0, 10))
        async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
            await admin.delete_topic(TOPIC)
        await create(cluster)
        await wait_in_sync(cluster)

        await produce(cluster, [b"new"])

        assert await consume(cluster, 1) == [b"new"]
