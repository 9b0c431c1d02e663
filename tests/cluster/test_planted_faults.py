"""Faults that are planted in running brokers, as a test of somebody's program plants them."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs

from client import Admin, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig
from client.admin import AdminConfig
from client.descriptions import ResourceType
from client.records import TopicPartition
from protocol.errors import OttlaError, RequestError
from simulation.cluster import SimulatedCluster, simulated_cluster

TOPIC = "orders"
SEEN_EVERYWHERE_S = 1.0
ALLOWED = {"ottla.fault.injection": "true"}


async def plant(cluster: SimulatedCluster, faults: str | None) -> None:
    """Plant faults in every broker, or none, and give the news time to spread."""
    async with Admin(cluster.bootstrap, environment=cluster.environment("tester")) as admin:
        for broker_id in cluster.brokers:
            change = {"ottla.faults": faults}
            await admin.alter_configs(ResourceType.BROKER, str(broker_id), change)
    await trio.sleep(SEEN_EVERYWHERE_S)


async def make_topic(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("maker")) as admin:
        await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=3))


async def read_all(cluster: SimulatedCluster, count: int) -> list[bytes]:
    config = ConsumerConfig(auto_offset_reset="earliest")
    environment = cluster.environment("reader")
    found: list[bytes] = []
    async with Consumer(cluster.bootstrap, config, environment=environment) as consumer:
        await consumer.assign([TopicPartition(TOPIC, 0)])
        while records := await consumer.poll(timeout_s=2):
            found += [record.value for record in records]
    assert len(found) == count
    return found


@pytest.mark.parametrize("idempotence", [True, False])
async def test_an_answer_lost_after_the_append_doubles_a_record_unless_sent_idempotently(
    autojump_clock, idempotence
):
    with trio.fail_after(120):
        async with simulated_cluster(3, properties=ALLOWED) as cluster:
            await make_topic(cluster)
            await plant(cluster, "Produce=drop@1")
            config = ProducerConfig(idempotence=idempotence)
            environment = cluster.environment("writer")
            async with Producer(cluster.bootstrap, config, environment=environment) as producer:
                await producer.send(TOPIC, b"tea")

            found = await read_all(cluster, 1 if idempotence else 2)
            assert set(found) == {b"tea"}


async def test_faults_end_when_they_are_taken_out(autojump_clock):
    with trio.fail_after(120):
        async with simulated_cluster(3, properties=ALLOWED) as cluster:
            await make_topic(cluster)
            await plant(cluster, "ListGroups=error/COORDINATOR_NOT_AVAILABLE")
            environment = cluster.environment("admin")
            config = AdminConfig(timeout_s=2)
            async with Admin(cluster.bootstrap, config, environment=environment) as admin:
                with pytest.raises(OttlaError):
                    await admin.list_groups()
                await plant(cluster, None)
                assert list(await admin.list_groups()) == []


async def test_brokers_that_were_not_started_for_it_obey_no_faults(autojump_clock):
    with trio.fail_after(120), capture_logs() as events:
        async with simulated_cluster(1) as cluster:
            await plant(cluster, "Metadata=close, CreateTopics=close")
            async with Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin:
                await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=1))
    told = [event for event in events if event["event"] == "faults_not_planted"]
    assert [event["faults"] for event in told] == ["Metadata=close, CreateTopics=close"]


async def test_a_fault_that_cannot_be_read_is_refused(autojump_clock):
    with trio.fail_after(120):
        async with simulated_cluster(1, properties=ALLOWED) as cluster:
            with pytest.raises(RequestError, match="there is no API called Bake"):
                await plant(cluster, "Bake=drop")
