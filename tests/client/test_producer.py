from __future__ import annotations

import trio

from client.producer import Producer, ProducerConfig


def producer_of(cluster, **config):
    return Producer(cluster.bootstrap, ProducerConfig(**config), environment=cluster.environment)


async def test_a_sent_record_is_in_the_log_with_its_key_headers_and_timestamp(
    cluster, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        sent = await producer.send(
            "orders", b"value", key=b"key", headers=[("a", b"1"), ("b", None)], timestamp_ms=123
        )

    assert (sent.topic, sent.partition, sent.offset) == ("orders", 0, 0)
    assert log.records == [(0, 123, b"key", b"value", (("a", b"1"), ("b", None)))]
