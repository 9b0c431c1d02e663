"""A broker finds that its disk has lost committed records: it must not lead before that is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from client import Admin, NewTopic, Producer
from simulation.cluster import SimulatedBroker, SimulatedCluster, simulated_cluster

if TYPE_CHECKING:
    from collections.abc import Iterable

TOPIC = "orders"
BOUND_S = 300
SOME_CHECKPOINTS_S = 60
VALUES = [b"%03d" % i for i in range(20)]


def lose_the_last_record(machine: SimulatedBroker, partition: int = 0) -> None:
    log = f"data/{TOPIC}-{partition}/{0:020d}.log"
    machine.disk.flip_bit(log, machine.disk.file_size_bytes(log) - 1)


async def killed(cluster: SimulatedCluster, machine: SimulatedBroker) -> None:
    await machine.kill()
    cluster.reconnect_to_store(machine.broker_id)
    await machine.start()


async def stopped(cluster: SimulatedCluster, machine: SimulatedBroker) -> None:
    await machine.stop()
    cluster.reconnect_to_store(machine.broker_id)
    await machine.start()


async def reconnected(cluster: SimulatedCluster, machine: SimulatedBroker) -> None:
    cluster.reconnect_to_store(machine.broker_id)
    await trio.sleep(SOME_CHECKPOINTS_S)


@asynccontextmanager
async def filled_cluster(assignments: dict[int, tuple[int, int]], **settings: str):
    """Give two brokers whose replicas have all values, and note so, with a bound in time."""
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(2) as cluster:
            environment = cluster.environment("client")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                new = NewTopic(TOPIC, assignments=assignments, configs=settings)
                await admin.create_topic(new)
            async with Producer(cluster.bootstrap, environment=environment) as producer:
                for partition in assignments:
                    for value in VALUES:
                        await producer.send(TOPIC, value, key=value, partition=partition)
            await trio.sleep(SOME_CHECKPOINTS_S)
            yield cluster


def demand_all(cluster: SimulatedCluster, partitions: Iterable[int]) -> None:
    for machine in cluster.brokers.values():
        for partition in partitions:
            log = machine.broker.partitions.get(TOPIC, partition).log
            assert log.log_end_offset == len(VALUES)


@pytest.mark.slow
@pytest.mark.parametrize("how", [killed, stopped, reconnected])
async def test_a_loss_found_while_the_coordinator_is_away_is_told_later(autojump_clock, how):
    async with filled_cluster({0: (1, 2)}) as cluster:
        first, second = cluster.brokers.values()
        await second.kill()
        await first.kill()
        lose_the_last_record(first)

        cluster.cut_from_store(first.broker_id)
        await first.start(wait_registered=False)
        await trio.sleep(SOME_CHECKPOINTS_S)
        await how(cluster, first)
        await second.start()
        await trio.sleep(SOME_CHECKPOINTS_S)

        state = second.broker.view.latest.partition(TOPIC, 0)
        assert set(state.isr) == {1, 2}
        demand_all(cluster, [0])


@pytest.mark.slow
@pytest.mark.parametrize("apart_s", [0.0, 0.05])
async def test_each_loses_what_another_one_has(autojump_clock, apart_s):
    compacted = {"cleanup.policy": "compact", "min.insync.replicas": "2"}
    async with filled_cluster({0: (1, 2), 1: (2, 1)}, **compacted) as cluster:
        first, second = cluster.brokers.values()
        await first.kill()
        await second.kill()
        lose_the_last_record(first, 0)
        lose_the_last_record(second, 1)

        await first.start(wait_registered=False)
        await trio.sleep(apart_s)
        await second.start(wait_registered=False)
        await trio.sleep(SOME_CHECKPOINTS_S)

        demand_all(cluster, [0, 1])


async def test_a_log_that_is_gone_is_not_led(autojump_clock):
    async with filled_cluster({0: (1, 2)}) as cluster:
        first, second = cluster.brokers.values()
        await second.kill()
        await first.kill()
        first.disk.remove(f"data/{TOPIC}-0")

        await first.start()
        await trio.sleep(SOME_CHECKPOINTS_S)
        await second.start()
        await trio.sleep(SOME_CHECKPOINTS_S)

        demand_all(cluster, [0])
