"""Following `_schemas` where compaction has left nothing at its end."""

from __future__ import annotations

import trio

from client.consumer import Consumer, ConsumerConfig
from protocol.records import Record, encode_batch
from registry import records
from registry.log import SchemasLog
from tests.support.compacted import keep_only
from tests.support.fake_cluster import FakeCluster

BOUND_S = 30


async def test_everything_is_read_although_the_last_batches_are_empty(nursery, autojump_clock):
    cluster = FakeCluster(nursery, brokers=1)
    await cluster.start(0)
    log = cluster.add_topic("_schemas").partitions[0]
    for _ in range(3):
        key, value = records.noop()
        log.append(encode_batch([Record(0, 1, key, value)]))
    log.batches = [keep_only(batch, (0,)) for batch in log.batches]

    one_by_one = ConsumerConfig(partition_bytes_max=1)
    async with Consumer(cluster.bootstrap, one_by_one, environment=cluster.environment) as consumer:
        followed = SchemasLog(consumer, "_schemas")
        await nursery.start(followed.run)
        with trio.fail_after(BOUND_S):
            await followed.catch_up()

        assert followed.end == 3
        nursery.cancel_scope.cancel()
