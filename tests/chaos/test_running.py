"""The fixture for users' own tests, as they use it: real processes, faults, the judgement."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from chaos.history import Outcome, Partition, Polled, Sent
from chaos.running import ClusterTrouble, RunningCluster
from client import Admin, Consumer, ConsumerConfig, Producer, ProducerConfig, TopicPartition

pytestmark = pytest.mark.slow
TOPIC = "orders"
PLACE = TopicPartition(TOPIC, 0)


def write(bootstrap: str, *values: bytes, idempotence: bool = True) -> list[int]:
    async def main() -> list[int]:
        config = ProducerConfig(idempotence=idempotence, linger_ms=0)
        async with Producer(bootstrap, config) as producer:
            return [(await producer.send(TOPIC, v, partition=0)).offset for v in values]

    return trio.run(main)


def read(bootstrap: str, count: int) -> list[tuple[int, bytes]]:
    async def main() -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        with trio.fail_after(30):
            async with Consumer(bootstrap, ConsumerConfig()) as consumer:
                await consumer.assign({PLACE: 0})
                while len(found) < count:
                    records = await consumer.poll(timeout_s=1)
                    found += [(record.offset, record.value) for record in records]
        return found

    return trio.run(main)


def test_a_broker_is_killed_and_the_judgement_is_good(ottla_cluster):
    values = [b"%d" % number for number in range(20)]
    offsets = write(ottla_cluster.bootstrap, *values[:10])
    ottla_cluster.kill(2)
    offsets += write(ottla_cluster.bootstrap, *values[10:])
    ottla_cluster.pause(3)
    ottla_cluster.resume(3)
    found = read(ottla_cluster.bootstrap, 20)

    place = Partition(*PLACE)
    history = [
        *(Sent("p", place, v, 0, 1, Outcome.OK, o) for v, o in zip(values, offsets, strict=True)),
        Polled("c", place, tuple(found), 2, 3),
    ]
    ottla_cluster.check(history)
    assert ottla_cluster.status()["well"]
    with pytest.raises(AssertionError, match="lost-write"):
        ottla_cluster.check([*history[:-1], Polled("c", place, tuple(found[10:]), 2, 3)])


@pytest.mark.ottla(brokers=1, settings={"num.partitions": "1"})
def test_the_answer_to_an_append_is_dropped(ottla_cluster):
    write(ottla_cluster.bootstrap, b"tea")
    ottla_cluster.plant("Produce=drop@1")

    write(ottla_cluster.bootstrap, b"cake", idempotence=False)

    assert [value for _, value in read(ottla_cluster.bootstrap, 3)] == [b"tea", b"cake", b"cake"]
    ottla_cluster.check()


@pytest.mark.ottla(brokers=1)
def test_a_fault_that_cannot_be_read_is_refused(ottla_cluster):
    with pytest.raises(ClusterTrouble, match="there is no API called Bake"):
        ottla_cluster.plant("Bake=drop")


def test_a_leader_cut_off_gives_way_and_what_it_was_sent_is_not_lost(ottla_cluster):
    write(ottla_cluster.bootstrap, b"tea")
    leader = ottla_cluster.leader(TOPIC)
    ottla_cluster.partition(leader)

    assert write(ottla_cluster.bootstrap, b"cake") == [1]
    assert leader_of(ottla_cluster, other_than=leader) != leader
    ottla_cluster.reconnect()
    ottla_cluster.refuse(1, 2)
    ottla_cluster.block(3, "coordinator")
    assert read(ottla_cluster.bootstrap, 2) == [(0, b"tea"), (1, b"cake")]
    ottla_cluster.check()


def leader_of(cluster: RunningCluster, *, other_than: int | None = None) -> int:
    """Ask the brokers but one who leads."""
    bootstrap = [
        address
        for broker_id, address in zip(cluster.brokers, cluster.bootstrap.split(","), strict=True)
        if broker_id != other_than
    ]

    async def main() -> int:
        async with Admin(bootstrap) as admin:
            return (await admin.describe_topics([TOPIC]))[TOPIC].partitions[0].leader_id

    return trio.run(main)


@pytest.mark.ottla(brokers=1)
def test_a_process_that_ends_by_itself_is_told(ottla_cluster):
    (node,) = [n for n in ottla_cluster.status()["nodes"] if n["name"] == "1"]
    os.kill(node["pid"], signal.SIGKILL)

    with pytest.raises(ClusterTrouble, match="1 has ended by itself: see .*logs"):
        ottla_cluster.check()


@pytest.mark.ottla(brokers=1)
def test_a_node_that_is_not_there_is_named_with_those_that_are(ottla_cluster):
    with pytest.raises(ClusterTrouble, match="no node 2: choose one of 1, coordinator"):
        ottla_cluster.partition(2)
