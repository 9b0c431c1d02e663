"""Replicas that are held back while they catch up: at the rate, and nobody else with them."""

from __future__ import annotations

import pytest
import trio

from broker.replication.throttle import FOLLOWER_REPLICAS, LEADER_REPLICAS
from client import Admin, NewTopic, Producer
from coordinator.reassign import is_under_way
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from simulation.cluster import SimulatedCluster, simulated_cluster
from tests.support.asking import Asker

BOUND_S = 300
RATE = 10_000
SIZE = 100_000


async def create(cluster: SimulatedCluster, name: str, **config: str) -> None:
    environment = cluster.environment("admin")
    async with Admin(cluster.bootstrap, environment=environment) as admin:
        await admin.create_topic(NewTopic(name, assignments={0: (1,)}, configs=config))


async def fill(cluster: SimulatedCluster, name: str) -> None:
    async with Producer(cluster.bootstrap, environment=cluster.environment("writer")) as producer:
        for _ in range(100):
            await producer.send(name, bytes(SIZE // 100), partition=0)


async def move(cluster: SimulatedCluster, *names: str) -> None:
    wanted = [ReassignablePartition(partition_index=0, replicas=[2])]
    topics = [ReassignableTopic(name=name, partitions=wanted) for name in names]
    await Asker(cluster)(AlterPartitionReassignmentsRequest(topics=topics), broker_id=1)


async def seconds_until_moved(cluster: SimulatedCluster, name: str) -> float:
    view = cluster.brokers[1].broker.view
    moved = await view.wait_for(
        lambda state: not is_under_way(state.partition(name, 0)), timeout_s=BOUND_S
    )
    assert moved
    return trio.current_time()


@pytest.mark.parametrize(
    ("key", "broker_id", "side"),
    [(LEADER_REPLICAS, 1, "leader"), (FOLLOWER_REPLICAS, 2, "follower")],
)
async def test_a_replica_catches_up_at_the_rate_and_others_do_not_wait_for_it(
    key, broker_id, side, autojump_clock
):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(2) as cluster:
            throttles = cluster.brokers[broker_id].broker.throttles
            getattr(throttles, side)._rate = lambda: RATE
            await create(cluster, "slow", **{key: f"0:{broker_id}"})
            await create(cluster, "quick", **{key: "0:9"})
            await fill(cluster, "slow")
            await fill(cluster, "quick")
            await trio.sleep(1)
            begun_at = trio.current_time()

            await move(cluster, "slow", "quick")

            assert await seconds_until_moved(cluster, "quick") - begun_at < 2
            took_s = await seconds_until_moved(cluster, "slow") - begun_at
            assert SIZE / RATE - 1.5 <= took_s <= 3 * SIZE / RATE


async def test_a_replica_in_sync_is_not_held_back(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(2) as cluster:
            for machine in cluster.brokers.values():
                machine.broker.throttles.leader._rate = lambda: 1
                machine.broker.throttles.follower._rate = lambda: 1
            environment = cluster.environment("admin")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                config = {LEADER_REPLICAS: "*", FOLLOWER_REPLICAS: "*"}
                await admin.create_topic(NewTopic("t", assignments={0: (1, 2)}, configs=config))
            begun_at = trio.current_time()

            await fill(cluster, "t")

            assert trio.current_time() - begun_at < 5
