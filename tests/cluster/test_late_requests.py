"""What was sent to a broker and stuck on the way, while others took over and gave back."""

from __future__ import annotations

import trio

from client import Admin, NewTopic
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.framing import encode_request
from simulation.cluster import PORT, SimulatedBroker, SimulatedCluster, simulated_cluster
from tests.support.asking import Asker

VERSION = 8
BOUND_S = 60


def commit(offset: int) -> OffsetCommitRequest:
    kept = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    return OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic("orders", [kept])])


async def test_what_an_earlier_registration_was_sent_is_not_carried_out_under_a_later_one():
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(1) as cluster:
            await _commit_late(cluster)


async def _commit_late(cluster: SimulatedCluster) -> None:
    ask, machine = Asker(cluster), cluster.brokers[1]
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(NewTopic("orders", partitions=1, replication_factor=1))
        await ask(commit(1), version=VERSION, broker_id=1)
        stream = await cluster.network.host("late").connect(machine.host, PORT)
        cluster.network.block("late", machine.host)
        late = encode_request(commit(2), api_version=VERSION, correlation_id=1, client_id="late")
        await stream.send_all(b"".join(late))
        await _register_anew(cluster, machine)
        await ask(commit(3), version=VERSION, broker_id=1)
        cluster.network.unblock("late", machine.host)

        assert await stream.receive_some() == b"", "it was answered"
        told = await admin.list_consumer_group_offsets(["g"])
    assert [found.offset for found in told["g"].values()] == [3]


async def _register_anew(cluster: SimulatedCluster, machine: SimulatedBroker) -> None:
    assert machine.broker is not None
    assert machine.store is not None
    before = machine.broker.view.broker_epoch
    cluster.memory.expire(machine.store.session_id)
    while machine.broker.view.broker_epoch == before:  # noqa: ASYNC110 - it is no event
        await trio.sleep(0.1)
    await trio.sleep(1.0)
