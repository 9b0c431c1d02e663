"""One fault each, at the moment where it hurts, in a cluster that is all in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio

from broker.housekeeper import CHECKPOINT_INTERVAL_S
from broker.log.directory import DataDirectory
from broker.partition import Partition
from client import Admin, NewTopic
from commands.launch import STOP_TIMEOUT_S
from coordinator.tombstones import confirm_deleted
from simulation.cluster import SimulatedBroker, SimulatedCluster, simulated_cluster
from tests.cluster.orders import TOPIC, consume, produce

BOUND_S = 300
"""Virtual seconds that a test may take before it counts as stuck."""


@asynccontextmanager
async def cluster_of(count: int, **properties: str):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(count, properties=properties) as cluster:
            yield cluster


@asynccontextmanager
async def administer(cluster: SimulatedCluster):
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        yield admin


async def create(cluster: SimulatedCluster, **config: str) -> None:
    async with administer(cluster) as admin:
        replicas = len(cluster.brokers)
        await admin.create_topic(
            NewTopic(TOPIC, partitions=1, replication_factor=replicas, configs=config)
        )


def replicas(cluster: SimulatedCluster) -> list[Partition]:
    return [p for m in cluster.brokers.values() for p in m.broker.partitions if p.topic == TOPIC]


def leader_of(cluster: SimulatedCluster) -> SimulatedBroker:
    (leader,) = [m for m in cluster.brokers.values() if any(m.broker.partitions.led())]
    return leader


def numbered(count: int) -> list[bytes]:
    return [b"%d" % i for i in range(count)]


async def test_what_was_noted_of_a_deleted_topic_is_not_believed_of_its_successor(autojump_clock):
    retention = {"log.segment.bytes": "1024", "log.retention.check.interval.ms": "1000"}
    async with cluster_of(3, **retention) as cluster:
        await create(cluster, **{"retention.ms": "1000"})
        await produce(cluster, numbered(50))
        await trio.sleep(20)
        assert all(partition.log.log_start_offset > 10 for partition in replicas(cluster))
        async with administer(cluster) as admin:
            await admin.delete_topic(TOPIC)
        await create(cluster)
        await produce(cluster, numbered(10))

        for machine in cluster.brokers.values():
            await machine.kill()
        for machine in cluster.brokers.values():
            await machine.start()

        assert await consume(cluster, 10) == numbered(10)


async def test_a_deleted_topic_is_signed_off_once_however_long_a_broker_is_away(
    autojump_clock, monkeypatch
):
    asked: list[tuple[int, bytes]] = []

    async def confirm(store, topic_id, broker_id):
        asked.append((broker_id, topic_id))
        await confirm_deleted(store, topic_id, broker_id)

    monkeypatch.setattr("broker.session.confirm_deleted", confirm)
    async with cluster_of(3) as cluster, administer(cluster) as admin:
        await create(cluster)
        topic_id = replicas(cluster)[0].topic_id
        away = cluster.brokers[3]
        await away.kill()
        await trio.sleep(30)  # its session ends
        await admin.delete_topic(TOPIC)
        for number in range(5):
            await admin.create_topic(NewTopic(f"other-{number}", replication_factor=2))
        await trio.sleep(1)
        assert sorted(asked) == [(1, topic_id), (2, topic_id)]

        await away.start()
        await trio.sleep(1)
        assert (3, topic_id) in asked
        assert not away.broker.view.latest.deleted_topics


async def test_followers_let_old_segments_go_as_their_leader_does(autojump_clock):
    retention = {"log.segment.bytes": "1024", "log.retention.check.interval.ms": "1000"}
    async with cluster_of(3, **retention) as cluster:
        await create(cluster, **{"retention.ms": "1000"})
        await produce(cluster, numbered(50))
        assert all(len(partition.log.segments) > 2 for partition in replicas(cluster))

        await trio.sleep(20)

        assert [len(partition.log.segments) for partition in replicas(cluster)] == [1, 1, 1]


async def test_a_stop_whose_last_flush_fails_is_not_called_clean(autojump_clock):
    async with cluster_of(1) as cluster:
        await create(cluster)
        await produce(cluster, numbered(3))
        (machine,) = cluster.brokers.values()
        machine.disk.fail_next_sync()

        await machine.stop()

        assert machine.failure is not None
        assert not DataDirectory(machine.disk, "data").take_clean_marker()
        machine.disk.fail_next_sync(0)
        await machine.start()
        assert await consume(cluster, 3) == numbered(3)


async def test_a_broker_with_a_full_disk_leaves_leadership_to_others(autojump_clock):
    async with cluster_of(3) as cluster:
        await create(cluster)
        await produce(cluster, numbered(3))
        victim = leader_of(cluster)
        isr = next(iter(victim.broker.partitions.led())).isr
        full = cluster.brokers[next(b for b in isr if b != victim.broker_id)]
        full.disk.capacity_bytes = 0

        await victim.kill()
        await trio.sleep(10)

        assert not full.is_running
        assert full.failure is not None
        await victim.start()
        await produce(cluster, [b"after"])
        assert await consume(cluster, 4) == [*numbered(3), b"after"]


async def test_a_leader_with_a_full_disk_goes_on_serving_reads(autojump_clock):
    async with cluster_of(1) as cluster:
        await create(cluster)
        await produce(cluster, numbered(3))
        (machine,) = cluster.brokers.values()
        machine.disk.capacity_bytes = 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce, cluster, [b"once there is room"])
            await trio.sleep(4 * CHECKPOINT_INTERVAL_S)
            assert machine.is_running
            assert await consume(cluster, 3) == numbered(3)
            machine.disk.capacity_bytes = None

        assert machine.failure is None
        assert await consume(cluster, 4) == [*numbered(3), b"once there is room"]


async def test_a_replica_that_has_lost_committed_records_does_not_lead_those_who_have_them(
    autojump_clock,
):
    async with cluster_of(3) as cluster:
        await create(cluster)
        await produce(cluster, numbered(30))
        await trio.sleep(10)
        first = cluster.brokers[replicas(cluster)[0].state.replicas[0]]
        for machine in cluster.brokers.values():
            await machine.kill()
        await trio.sleep(10)  # all sessions are over, and nobody was there to see it
        first.disk.flip_bit(f"data/{TOPIC}-0/{0:020d}.log", 1000)
        await first.start()
        for machine in cluster.brokers.values():
            if machine is not first:
                await machine.start()

        assert await consume(cluster, 30) == numbered(30)


async def test_a_broker_that_hears_nobody_is_stopped_before_whoever_stops_it_loses_patience(
    autojump_clock,
):
    async with cluster_of(3) as cluster:
        async with administer(cluster) as admin:
            await admin.create_topic(NewTopic(TOPIC, partitions=3, replication_factor=3))
        controller_id = cluster.brokers[1].broker.view.latest.controller_id
        machine = next(m for m in cluster.brokers.values() if m.broker_id != controller_id)
        assert any(machine.broker.partitions.led())
        cluster.network.isolate(machine.host)
        began_at = trio.current_time()
        await machine.stop()

        assert trio.current_time() - began_at < STOP_TIMEOUT_S
