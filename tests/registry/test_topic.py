"""The topic of schemas: made once brokers are there, refused where it would lose schemas."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic
from registry.topic import UnfitTopic, ensure_topic
from simulation.cluster import simulated_cluster

BOUND_S = 300
NAME = "_schemas"


async def ensured(cluster) -> None:
    """Have the topic made or checked."""
    environment = cluster.environment("registry")
    await ensure_topic(cluster.bootstrap, NAME, replication_factor=-1, environment=environment)


async def test_brokers_that_are_not_up_yet_are_waited_for(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3) as cluster, trio.open_nursery() as nursery:
            for broker in cluster.brokers.values():
                await broker.kill()
            nursery.start_soon(ensured, cluster)
            await trio.sleep(30)
            for broker in cluster.brokers.values():
                await broker.start(wait_registered=False)
        # The nursery has ended: it was made.


async def test_a_topic_that_is_there_is_taken_as_it_is(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(1) as cluster:
            await ensured(cluster)
            await ensured(cluster)


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        (NewTopic(NAME, 2, 1, {"retention.ms": "-1", "retention.bytes": "-1"}), "2 partitions"),
        (NewTopic(NAME, 1, 1), "would forget schemas"),
        (NewTopic(NAME, 1, 1, {"retention.ms": "-1", "retention.bytes": "9"}), "retention.bytes"),
    ],
)
async def test_a_topic_that_would_lose_or_scatter_schemas_is_refused(topic, why, autojump_clock):
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin,
        ):
            await admin.create_topic(topic)

            with pytest.raises(UnfitTopic, match=why):
                await ensured(cluster)
