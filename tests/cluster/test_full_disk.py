"""A broker without room on its disk is given a replica: it goes on, and takes it up later."""

from __future__ import annotations

import trio

from client import Admin, NewTopic, Producer
from simulation.cluster import simulated_cluster

BOUND_S = 300
SOME_TIME_S = 20


async def test_a_follower_waits_for_room(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(2) as cluster:
            environment = cluster.environment("client")
            leader, follower = cluster.brokers.values()
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic("orders", assignments={0: (1, 2)}))
                await trio.sleep(SOME_TIME_S)
                follower.disk.capacity_bytes = 0
                await admin.create_topic(NewTopic("bills", assignments={0: (1, 2)}))
                await trio.sleep(SOME_TIME_S)
                assert follower.is_running
                assert follower.broker.partitions.get("orders", 0) is not None
                follower.disk.capacity_bytes = None

            async with Producer(cluster.bootstrap, environment=environment) as producer:
                await producer.send("bills", b"one")
            await trio.sleep(SOME_TIME_S)

            assert follower.broker.partitions.get("bills", 0).log.log_end_offset == 1
            assert leader.broker.partitions.get("bills", 0).isr == (1, 2)
