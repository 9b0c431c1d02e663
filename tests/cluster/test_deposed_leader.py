"""A leader that was replaced and does not know it: what it lacks, it must not say is not there."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import pytest
import trio

from client import Admin, NewTopic, Producer
from coordinator.store import NoNode
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from simulation.cluster import simulated_cluster
from tests.support.asking import Asker

BOUND_S = 60
PRODUCER_ID = 4711


class Story:
    """A topic whose first leader holds ten records of producer 4711."""

    def __init__(self, ask: Asker, topic_id: bytes, leader_id: int) -> None:
        self.ask = ask
        self.topic_id = topic_id
        self.leader_id = leader_id

    async def read(self, offset: int) -> ErrorCode:
        """Ask the first leader, as a consumer that knows of no epoch."""
        asked = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
        request = FetchRequest(
            max_wait_ms=100,
            max_bytes=1 << 20,
            topics=[FetchTopic(topic_id=self.topic_id, partitions=[asked])],
        )
        response = await self.ask(request, broker_id=self.leader_id)
        return ErrorCode(response.responses[0].partitions[0].error_code)

    async def write(self, sequence: int, count: int) -> ErrorCode:
        """Send the first leader a batch of the idempotent producer."""
        batch = encode_batch(
            [Record(n, 0, None, b"value", ()) for n in range(count)],
            producer_id=PRODUCER_ID,
            producer_epoch=0,
            base_sequence=sequence,
        )
        data = TopicProduceData("orders", [PartitionProduceData(0, batch)])
        request = ProduceRequest(acks=-1, timeout_ms=5_000, topic_data=[data])
        response = await self.ask(request, version=9, broker_id=self.leader_id)
        return ErrorCode(response.responses[0].partition_responses[0].error_code)

    async def depose(self) -> None:
        """Have another broker lead, while the first leader does not hear of it."""
        cluster = self.ask.cluster
        session_id = cluster.brokers[self.leader_id].store.session_id
        cluster.memory.disconnect(session_id)
        async with cluster.connect_store() as hand:
            for path in cluster.memory.tree.ephemerals(session_id):
                with suppress(NoNode):
                    await hand.delete(path)
        environment = cluster.environment("writer")
        async with Producer(cluster.bootstrap, environment=environment) as producer:
            for _ in range(5):
                await producer.send("orders", b"later", partition=0)

    def reconnect(self) -> None:
        """Let the first leader hear from the coordinator again."""
        cluster = self.ask.cluster
        cluster.memory.reconnect(cluster.brokers[self.leader_id].store.session_id)


@asynccontextmanager
async def begun():
    with trio.fail_after(BOUND_S):
        async with simulated_cluster(3) as cluster:
            environment = cluster.environment("admin")
            async with Admin(cluster.bootstrap, environment=environment) as admin:
                topic = NewTopic("orders", partitions=1, replication_factor=3)
                created = await admin.create_topic(topic)
                known = (await admin.describe_topics(["orders"]))["orders"]
            story = Story(Asker(cluster), created.topic_id, known.partitions[0].leader_id)
            assert await story.write(0, 10) is ErrorCode.NONE
            yield story


async def test_a_leader_says_what_is_not_there(autojump_clock):
    async with begun() as story:
        assert await story.read(11) is ErrorCode.OFFSET_OUT_OF_RANGE
        assert await story.read(10) is ErrorCode.NONE
        assert await story.write(11, 1) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await story.write(10, 1) is ErrorCode.NONE


@pytest.mark.parametrize("hears_again", [False, True])
async def test_a_deposed_leader_sends_away_who_asks_for_what_it_lacks(hears_again, autojump_clock):
    async with begun() as story, trio.open_nursery() as nursery:
        await story.depose()
        answers = []

        async def ask(what, *arguments) -> None:
            answers.append(await what(*arguments))

        nursery.start_soon(ask, story.read, 15)
        nursery.start_soon(ask, story.write, 15, 1)
        if hears_again:
            await trio.sleep(0.1)
            story.reconnect()
        while len(answers) < 2:  # noqa: ASYNC110 - nothing tells
            await trio.sleep(0.1)

        assert answers == [ErrorCode.NOT_LEADER_OR_FOLLOWER] * 2
