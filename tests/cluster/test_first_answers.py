"""What a broker that has just started tells clients: what the cluster is, or nothing yet."""

from __future__ import annotations

import trio

from client.connection import open_connection
from protocol.api.metadata import MetadataRequest
from simulation.cluster import SimulatedCluster, simulated_cluster

BOUND_S = 300
"""Virtual seconds that a test may take before it counts as stuck."""


async def ask(cluster: SimulatedCluster, broker_id: int, answers: list) -> None:
    """Ask one broker what the cluster is."""
    network = cluster.environment("asker").network
    host, _, port = cluster.bootstrap.split(",")[broker_id - 1].rpartition(":")
    async with open_connection(network, host, int(port), client_id="asker") as connection:
        answers.append(await connection.call(MetadataRequest([])))


async def test_a_broker_that_has_not_seen_the_cluster_tells_nothing_of_it(autojump_clock):
    """Told of no brokers librdkafka forgets all that it knows, and is lost for good."""
    answers: list = []
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3) as cluster, trio.open_nursery() as nursery:
            await cluster.brokers[1].kill()
            cluster.cut_from_store(1)
            nursery.start_soon(cluster.brokers[1].start)
            await trio.sleep(1)
            nursery.start_soon(ask, cluster, 1, answers)
            await trio.sleep(5)
            assert not answers

            cluster.reconnect_to_store(1)

    (answer,) = answers
    assert answer.cluster_id
    assert {broker.node_id for broker in answer.brokers} == {1, 2, 3}
