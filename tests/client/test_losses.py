"""What `flush` tells of records that failed: those that nobody has asked after, each once."""

from __future__ import annotations

import pytest
import trio

from client.errors import DeliveryFailed, RecordsLost
from client.producer import Producer, ProducerConfig
from protocol.api import ApiKey
from protocol.errors import ErrorCode


def producer_of(cluster, **config):
    return Producer(cluster.bootstrap, ProducerConfig(**config), environment=cluster.environment)


async def enqueue_all(producer, topic, values):
    return [await producer.enqueue(topic, value) for value in values]


async def test_flush_tells_of_failures_that_nobody_waited_for(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, ErrorCode.TOPIC_AUTHORIZATION_FAILED)

    async with producer_of(cluster) as producer:
        await enqueue_all(producer, "orders", [b"1", b"2"])
        with pytest.raises(RecordsLost, match="2 records .* TOPIC_AUTHORIZATION_FAILED"):
            await producer.flush()
        await producer.flush()


async def fail_one_batch(cluster, producer):
    cluster.script(ApiKey.PRODUCE, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    return await enqueue_all(producer, "orders", [b"1", b"2", b"3"])


async def test_flush_counts_the_records_that_nobody_waited_for(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster) as producer:
        deliveries = await fail_one_batch(cluster, producer)
        with pytest.raises(DeliveryFailed):
            await deliveries[1].wait()
        with pytest.raises(RecordsLost, match="2 records .* TOPIC_AUTHORIZATION_FAILED"):
            await producer.flush()


async def test_flush_keeps_quiet_of_what_was_waited_for_after_it_failed(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster) as producer:
        deliveries = await fail_one_batch(cluster, producer)
        await trio.sleep(1)
        for delivery in deliveries:
            with pytest.raises(DeliveryFailed):
                await delivery.wait()
        await producer.flush()


async def test_who_was_cancelled_while_it_waited_was_not_told(cluster, faults, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, faults(hang=True))

    async with producer_of(cluster, delivery_timeout_s=5) as producer:
        with trio.move_on_after(1):
            await producer.send("orders", b"1")
        with pytest.raises(RecordsLost, match="1 records"):
            await producer.flush()


async def test_of_a_batch_that_was_split_the_records_not_waited_for_are_counted(
    cluster, nursery, autojump_clock
):
    cluster.add_topic("orders")
    cluster.max_batch_bytes = 200

    async with producer_of(cluster) as producer:
        kept, *_ = await enqueue_all(producer, "orders", [b"a", b"b" * 300, b"c", b"d" * 300])
        big = await producer.enqueue("orders", b"e" * 300)
        waited_for = []

        @nursery.start_soon
        async def wait():
            with pytest.raises(DeliveryFailed):
                await big.wait()
            waited_for.append(big)

        with pytest.raises(RecordsLost, match="2 records .* MESSAGE_TOO_LARGE"):
            await producer.flush()
        assert (await kept.wait()).offset == 0
    assert waited_for == [big]


async def test_failed_batches_are_counted_when_there_are_too_many_to_remember(
    cluster, autojump_clock, monkeypatch
):
    monkeypatch.setattr("client.losses.REMEMBERED_MAX", 2)
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, *[ErrorCode.TOPIC_AUTHORIZATION_FAILED] * 5)

    async with producer_of(cluster) as producer:
        for _ in range(5):
            await producer.enqueue("orders", b"value")
            await trio.sleep(1)
        with pytest.raises(RecordsLost, match="5 records"):
            await producer.flush()
        await producer.flush()
