"""Fetch: when an answer waits for more, and when there is no more to wait for."""

from __future__ import annotations

import trio

from client import Admin, NewTopic, Producer
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.errors import ErrorCode


async def test_more_than_fits_into_an_answer_is_not_waited_for(ask, autojump_clock):
    cluster = ask.cluster
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        created = await admin.create_topic(NewTopic("orders", partitions=1, replication_factor=3))
        topic = (await admin.describe_topics(["orders"]))["orders"]
    async with Producer(cluster.bootstrap, environment=cluster.environment("w")) as producer:
        await producer.send("orders", bytes(500), partition=0)
    asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    request = FetchRequest(
        max_wait_ms=30_000,
        min_bytes=10_000,
        max_bytes=100,
        topics=[FetchTopic(topic_id=created.topic_id, partitions=[asked])],
    )
    began_at = trio.current_time()

    response = await ask(request, broker_id=topic.partitions[0].leader_id)

    assert response.error_code == ErrorCode.NONE
    assert len(response.responses[0].partitions[0].records) > 500
    assert trio.current_time() - began_at < 1
