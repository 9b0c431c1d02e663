"""A broker that cannot open one of its logs: it serves the others, and its peers serve that one."""

from __future__ import annotations

import pytest
import trio

from broker.errors import PartitionOffline
from client import Admin, Consumer, NewTopic, Producer, TopicPartition
from coordinator.cluster import NO_LEADER
from coordinator.reassign import is_under_way
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.errors import ErrorCode
from simulation.cluster import SimulatedBroker, SimulatedCluster, simulated_cluster
from tests.support.asking import Asker

TOPIC = "orders"
BOUND_S = 300
LONG_ENOUGH_S = 60
"""For a replica that can catch up to join the ISR."""
VALUES = [b"%03d" % i + bytes(200) for i in range(20)]


def damage(machine: SimulatedBroker) -> None:
    """Hide where batches begin, and what spares the log from looking when it opens."""
    machine.disk.flip_bit(f"data/{TOPIC}-0/{0:020d}.log", 8, 4)
    machine.disk.flip_bit(f"data/{TOPIC}-0/leader-epoch-checkpoint", 0, 7)


async def test_a_replica_that_cannot_be_opened_is_out_of_sync_and_the_others_serve(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties={"log.segment.bytes": "2048"}) as cluster:
            environment = cluster.environment("client")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic(TOPIC, partitions=2, replication_factor=3))
            victim = cluster.brokers[1].broker.view.latest.partition(TOPIC, 0).leader_id
            machine = cluster.brokers[victim]
            async with Producer(cluster.bootstrap, environment=environment) as producer:
                for value in VALUES:
                    await producer.send(TOPIC, value, partition=0)
                await machine.stop()
                damage(machine)
                await machine.start()
                await producer.send(TOPIC, b"after", partition=0)
            await trio.sleep(LONG_ENOUGH_S)

            with pytest.raises(PartitionOffline):
                machine.broker.partitions.get(TOPIC, 0)
            seen = machine.broker.view.latest
            assert victim not in seen.partition(TOPIC, 0).isr
            assert victim in seen.partition(TOPIC, 1).isr
            leader = cluster.brokers[seen.partition(TOPIC, 0).leader_id].broker
            assert leader.partitions.get(TOPIC, 0).high_watermark.value == len(VALUES) + 1


async def test_the_only_replica_in_sync_does_not_lead_what_it_cannot_open(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(2, properties={"log.segment.bytes": "2048"}) as cluster:
            environment = cluster.environment("client")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic(TOPIC, assignments={0: (1, 2), 1: (1, 2)}))
            await cluster.brokers[2].kill()
            async with Producer("broker-1:9092", environment=environment) as producer:
                for value in VALUES:
                    await producer.send(TOPIC, value, partition=0)
                    await producer.send(TOPIC, value, partition=1)
            machine = cluster.brokers[1]
            await machine.stop()
            damage(machine)

            await machine.start()
            await cluster.brokers[2].start()
            await trio.sleep(LONG_ENOUGH_S)

            view = machine.broker.view
            damaged, sound = (view.latest.partition(TOPIC, index) for index in (0, 1))
            assert (damaged.leader_id, damaged.isr) == (NO_LEADER, (1,))
            assert (sound.leader_id, sound.isr) == (1, (1, 2))

            # What the other one has is better than nothing, says an operator.
            asked = TopicPartitions(topic=TOPIC, partitions=[0])
            request = ElectLeadersRequest(election_type=1, topic_partitions=[asked])
            answer = await Asker(cluster)(request, broker_id=1)
            (topic,) = answer.replica_election_results
            assert topic.partition_result[0].error_code == ErrorCode.NONE
            assert view.latest.partition(TOPIC, 0).leader_id == 2


async def test_a_damaged_replica_that_is_moved_away_and_back_is_like_any_other(autojump_clock):
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties={"log.segment.bytes": "2048"}) as cluster:
            environment = cluster.environment("client")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic(TOPIC, assignments={0: (1, 2)}))
            async with Producer(cluster.bootstrap, environment=environment) as producer:
                for value in VALUES:
                    await producer.send(TOPIC, value, partition=0)
            await cluster.brokers[2].stop()
            damage(cluster.brokers[2])
            await cluster.brokers[2].start()
            view = cluster.brokers[1].broker.view

            for replicas in ([1, 3], [1, 2]):
                wanted = ReassignablePartition(partition_index=0, replicas=replicas)
                topic = ReassignableTopic(name=TOPIC, partitions=[wanted])
                request = AlterPartitionReassignmentsRequest(topics=[topic])
                await Asker(cluster)(request, broker_id=1)
                assert await view.wait_for(
                    lambda state, wanted=tuple(replicas): (
                        state.partition(TOPIC, 0).isr == wanted
                        and not is_under_way(state.partition(TOPIC, 0))
                    ),
                    timeout_s=LONG_ENOUGH_S,
                )
                await trio.sleep(1)

            before = view.latest.partition(TOPIC, 0)
            await trio.sleep(LONG_ENOUGH_S)
            assert view.latest.partition(TOPIC, 0) == before


@pytest.mark.parametrize("found_by", ["a reader", "retention"])
async def test_a_log_that_turns_out_to_be_damaged_goes_offline_and_nothing_else(
    autojump_clock, found_by
):
    every_ms = "1000" if found_by == "retention" else "600000"
    properties = {"log.segment.bytes": "2048", "log.retention.check.interval.ms": every_ms}
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3, properties=properties) as cluster:
            environment = cluster.environment("client")
            place = TopicPartition(TOPIC, 0)
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic(TOPIC, assignments={0: (1, 2, 3), 1: (1, 2, 3)}))
                async with Producer(cluster.bootstrap, environment=environment) as producer:
                    for value in VALUES:
                        await producer.send(TOPIC, value, partition=0)
                        await producer.send(TOPIC, value, partition=1)
                machine = cluster.brokers[1]
                assert len(machine.broker.partitions.get(TOPIC, 0).log.segments) > 2
                await machine.stop()  # opened anew it looks at old segments when it has to
                machine.disk.flip_bit(f"data/{TOPIC}-0/{0:020d}.log", 8, 4)
                await machine.start()
                await trio.sleep(10)
                leader_id = machine.broker.view.latest.partition(TOPIC, 0).leader_id
                assert (leader_id == 1) == (found_by == "a reader")

            async with Consumer(cluster.bootstrap, environment=environment) as consumer:
                await consumer.assign({place: 1})  # which lies behind the batch that is damaged
                found: list[bytes] = []
                while len(found) < len(VALUES) - 1:
                    found += [r.value for r in await consumer.poll(timeout_s=1)]

            assert found == VALUES[1:]
            assert machine.is_running
            assert not machine.broker.is_stopping
            await trio.sleep(LONG_ENOUGH_S)
            damaged, sound = (machine.broker.view.latest.partition(TOPIC, n) for n in (0, 1))
            assert damaged.leader_id in (2, 3)
            assert set(damaged.isr) == {2, 3}
            assert (sound.leader_id, set(sound.isr)) == (1, {1, 2, 3})
            with pytest.raises(PartitionOffline, match="move the directory away"):
                machine.broker.partitions.get(TOPIC, 0)

            await machine.stop()
            machine.disk.rename(f"data/{TOPIC}-0", "aside")
            await machine.start()
            await trio.sleep(LONG_ENOUGH_S)
            assert set(machine.broker.view.latest.partition(TOPIC, 0).isr) == {1, 2, 3}


async def test_the_only_replica_leads_on_though_it_is_damaged(autojump_clock):
    properties = {"log.segment.bytes": "2048", "log.retention.check.interval.ms": "1000"}
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(1, properties=properties) as cluster:
            environment = cluster.environment("client")
            machine = cluster.brokers[1]
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=1))
            async with Producer(cluster.bootstrap, environment=environment) as producer:
                for value in VALUES:
                    await producer.send(TOPIC, value, partition=0)
                await machine.stop()
                machine.disk.flip_bit(f"data/{TOPIC}-0/{0:020d}.log", 8, 4)
                await machine.start()
                await trio.sleep(10)  # retention has come to it by then
                assert await read_from(cluster, 1) == []
                await producer.send(TOPIC, b"after", partition=0)

            assert await read_from(cluster, len(VALUES) - 1) == [VALUES[-1], b"after"]
            assert machine.is_running
            assert not any(machine.broker.partitions.offline())


async def read_from(cluster: SimulatedCluster, offset: int) -> list[bytes]:
    """Read for some seconds from an offset on."""
    found: list[bytes] = []
    environment = cluster.environment("reader")
    async with Consumer(cluster.bootstrap, environment=environment) as consumer:
        await consumer.assign({TopicPartition(TOPIC, 0): offset})
        for _ in range(5):
            found += [record.value for record in await consumer.poll(timeout_s=1)]
    return found
