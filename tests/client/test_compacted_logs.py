"""Reading logs that compaction has left gaps in, and batches without records."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import trio

from client.consumer import Consumer, ConsumerConfig
from client.records import TopicPartition
from protocol.api import ApiKey
from protocol.compression import Compression
from protocol.records import Record, encode_batch
from tests.support.compacted import keep_only
from tests.support.group_apps import committed, group_consumer

P0 = TopicPartition("orders", 0)
EMPTY_BYTES = 61


def consumer_of(cluster, **config):
    config.setdefault("auto_offset_reset", "earliest")
    return Consumer(cluster.bootstrap, ConsumerConfig(**config), environment=cluster.environment)


def compacted(log, *, batches: int, size: int, keep) -> None:
    """Fill a log with batches of so many records each, and leave those at some offsets."""
    for _ in range(batches):
        log.add(*[b"%d" % (log.end_offset + i) for i in range(size)])
    log.batches = [keep_only(batch, keep) for batch in log.batches]


def offsets(records):
    assert all(record.value == b"%d" % record.offset for record in records)
    return [record.offset for record in records]


async def read_to(consumer, end, *, timeout_s=None):
    """Read until the position of P0 has come to an end."""
    records = []
    with trio.fail_after(60):
        while consumer.position(P0) < end:
            records += await consumer.poll(timeout_s=timeout_s)
    return records


async def test_gaps_within_and_between_batches_are_passed_over(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=5, size=10, keep=(3, 7, 25, 26, 49))
    del log.batches[1], log.batches[2]  # [10, 20) and [30, 40) are gone without a trace

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        positions = []
        seen = [await consumer.poll(max_records=1) for _ in range(2)]
        positions.append(consumer.position(P0))
        seen += [await consumer.poll(max_records=2)]
        positions.append(consumer.position(P0))
        seen += [await read_to(consumer, 50)]

    assert [offsets(records) for records in seen] == [[3], [7], [25, 26], [49]]
    assert positions == [10, 30]


@pytest.mark.parametrize("kept", [(), (3,), (3, 17)])
async def test_a_log_whose_last_batches_are_empty_is_read_to_its_end(cluster, autojump_clock, kept):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=5, size=10, keep=kept)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert offsets(await read_to(consumer, 50)) == list(kept)
        assert consumer.position(P0) == 50
        assert trio.current_time() < 0.1
        assert await consumer.poll(timeout_s=3) == []
        log.add(b"50")
        cluster.wake_fetches()
        assert offsets(await consumer.poll()) == [50]
    assert cluster.count(ApiKey.FETCH) <= 10


async def test_fetches_that_bring_empty_batches_alone_go_on_behind_them(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=100, size=3, keep=(299,))

    async with consumer_of(cluster, partition_bytes_max=2 * EMPTY_BYTES) as consumer:
        await consumer.assign([P0])
        assert offsets(await read_to(consumer, 300)) == [299]
        assert consumer.buffered_bytes == 0
        await consumer.poll(timeout_s=5)
    assert trio.current_time() < 10
    assert cluster.count(ApiKey.FETCH) <= 62


async def test_a_buffer_that_is_full_of_empty_batches_holds_nothing_up(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=100, size=3, keep=(299,))

    async with consumer_of(cluster, partition_bytes_max=2 * EMPTY_BYTES) as consumer:
        await consumer.assign([P0])
        await trio.sleep(5)  # what may be fetched ahead has been
        fetched = cluster.count(ApiKey.FETCH)
        assert fetched < 10
        assert offsets(await read_to(consumer, 300)) == [299]
    assert trio.current_time() < 6


async def test_a_poll_returns_where_a_position_has_moved_without_records(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=1, size=3, keep=())

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        with trio.fail_after(1):
            assert await consumer.poll() == []
        assert consumer.position(P0) == 3


async def test_iteration_waits_for_a_record_whatever_is_empty(cluster, autojump_clock, nursery):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=4, size=3, keep=(4,))
    seen = []

    @nursery.start_soon
    async def write():
        await trio.sleep(5)
        log.add(b"12")
        cluster.wake_fetches()

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        async for record in consumer:
            seen.append((record.offset, consumer.position(P0), trio.current_time() > 4))
            if record.offset == 12:
                break

    assert seen == [(4, 6, False), (12, 13, True)]


@pytest.mark.parametrize("start", [0, 2, 4, 9, 10, 15, 21])
async def test_reading_begins_with_what_is_left_behind_a_place(cluster, autojump_clock, start):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=5, size=10, keep=(3, 22, 49))
    del log.batches[3]

    async with consumer_of(cluster) as consumer:
        await consumer.assign({P0: start})
        assert offsets(await read_to(consumer, 50)) == [at for at in (3, 22, 49) if at >= start]


@pytest.mark.parametrize("kind", list(Compression))
async def test_times_are_right_where_the_base_timestamp_is_a_delete_horizon(
    cluster, autojump_clock, kind
):
    log = cluster.add_topic("orders").partitions[0]
    records = [Record(i, 5_000 + i, b"key", None if i % 2 else b"value") for i in range(6)]
    batch = encode_batch(records, compression=kind, leader_epoch=0)
    log.batches.append(keep_only(batch, (2, 3, 5), horizon_ms=9_000_000))

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        found = await read_to(consumer, 6)
    told = [(r.offset, r.timestamp_ms, r.key, r.value) for r in found]
    assert told == [
        (2, 5_002, b"key", b"value"),
        (3, 5_003, b"key", None),
        (5, 5_005, b"key", None),
    ]


async def test_a_group_comes_to_stand_behind_the_last_empty_batch(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=4, size=5, keep=(7,))

    async with group_consumer(cluster) as consumer:
        consumer.subscribe(["orders"])
        while not consumer.assignment:
            await consumer.poll(timeout_s=1)
        await read_to(consumer, 20)
        await consumer.commit()

        assert committed(cluster.groups["g"]) == {P0: 20}
        assert (await consumer.committed(P0))[P0].offset == 20


async def test_a_new_leader_is_followed_over_a_gap(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    compacted(log, batches=4, size=5, keep=(7,))

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert offsets(await read_to(consumer, 20)) == [7]
        log.elect(leader_id=2)
        log.add(b"20", b"21")
        log.batches[-1] = keep_only(log.batches[-1], (21,))
        cluster.wake_fetches()
        assert offsets(await read_to(consumer, 22)) == [21]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_left_of_a_log_is_read_once_and_in_order(cluster, autojump_clock, seed):
    choice = random.Random(seed)
    log = cluster.add_topic("orders").partitions[0]
    for _ in range(40):
        log.add(*[b"%d" % (log.end_offset + i) for i in range(choice.randint(1, 9))])
    end = log.end_offset
    keep = set(choice.sample(range(end), choice.randint(0, end // 3)))
    log.batches = [keep_only(batch, keep) for batch in log.batches]
    log.batches = [b for b in log.batches[:-1] if len(b) > EMPTY_BYTES or choice.random() < 0.3] + [
        log.batches[-1]
    ]
    start, found, positions = choice.randrange(end), [], []
    bytes_max = choice.choice([EMPTY_BYTES, 200, 10**6])

    async with consumer_of(cluster, partition_bytes_max=bytes_max) as consumer:
        await consumer.assign({P0: start})
        with trio.fail_after(60):
            while consumer.position(P0) < end:
                found += await consumer.poll(max_records=choice.randint(1, 9))
                positions.append(consumer.position(P0))
        assert await consumer.poll(timeout_s=2) == []

    assert offsets(found) == [offset for offset in sorted(keep) if offset >= start]
    assert all(before < after for before, after in pairwise([start, *positions]))
    assert cluster.count(ApiKey.FETCH) <= 60
