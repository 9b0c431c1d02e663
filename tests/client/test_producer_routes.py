"""Which partitions a producer's records go to while it runs, and the cluster changes under it."""

from __future__ import annotations

import pytest
import trio

from client.errors import DeliveryFailed, PartitionGone, UnknownTopic
from client.metadata import NO_TOPIC_ID
from client.partitioner import partition_of
from client.producer import Producer, ProducerConfig
from protocol.api import ApiKey
from protocol.errors import ErrorCode
from protocol.records import decode_batch

KEYS = [b"%d" % i for i in range(24)]
A_MOMENT_S = 5
"""More than the producer needs for news, and far less than its delivery time-out."""


def producer_of(cluster, **config):
    return Producer(cluster.bootstrap, ProducerConfig(**config), environment=cluster.environment)


def chosen_runs(places):
    """Cut the partitions that records went to, in order, into runs of the same one."""
    runs = []
    for place in places:
        if not runs or runs[-1][0] != place.partition:
            runs.append([place.partition, 0])
        runs[-1][1] += 1
    return [length for _, length in runs]


async def failures_of(deliveries):
    """Wait for all at once; returns how each failed, None where it did not."""
    failures = [None] * len(deliveries)

    async def wait_for(index):
        try:
            await deliveries[index].wait()
        except DeliveryFailed as failure:
            failures[index] = failure

    async with trio.open_nursery() as nursery:
        for index in range(len(deliveries)):
            nursery.start_soon(wait_for, index)
    return failures


async def test_batches_that_linger_out_leave_a_partition_after_as_many_bytes_as_fill_one(
    cluster, autojump_clock
):
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, batch_bytes=2000) as producer:
        places = [await producer.send("orders", b"x" * 90) for _ in range(600)]

    assert all(len(partition.records) > 20 for partition in topic.partitions)
    # About 160 bytes each, a batch's header included; a partition may be drawn again at once.
    runs = chosen_runs(places)
    assert all(length % min(runs) == 0 for length in runs[:-1])
    assert 11 <= min(runs[:-1]) <= 13


async def test_a_partition_is_not_left_in_the_middle_of_a_batch(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, batch_bytes=1000) as producer:
        for _ in range(60):
            for _ in range(7):
                await producer.enqueue("orders", b"x" * 90)
            await trio.sleep(0.02)

    batches = [batch for partition in topic.partitions for batch in partition.batches]
    assert {len(decode_batch(batch)) for batch in batches} == {7}
    assert all(partition.batches for partition in topic.partitions)


async def test_a_record_that_fits_no_more_begins_the_batch_of_the_next_partition(
    cluster, autojump_clock
):
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, batch_bytes=1000) as producer:
        for _ in range(600):
            await producer.enqueue("orders", b"x" * 90)

    batches = [batch for partition in topic.partitions for batch in partition.batches]
    sizes = sorted(len(decode_batch(batch)) for batch in batches)
    assert set(sizes[1:]) == {9}


@pytest.mark.slow
async def test_batches_that_keys_keep_open_hold_nobody_for_more_than_two_batches_worth(
    cluster, autojump_clock
):
    cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, batch_bytes=1000, linger_ms=60_000) as producer:
        deliveries = []
        for i in range(400):
            # One of these to a batch, and whenever a record without a key comes, there is room.
            for partition in range(6):
                await producer.enqueue("orders", b"x" * 600, partition=partition, key=b"%d" % i)
            deliveries.append(await producer.enqueue("orders", b"x" * 90))
        await producer.flush()
        places = [await delivery.wait() for delivery in deliveries]

    assert 19 <= min(chosen_runs(places)[:-1]) <= 22


async def test_records_without_a_key_leave_a_partition_that_has_lost_its_leader(
    cluster, autojump_clock
):
    topic = cluster.add_topic("orders", partitions=3)

    async with producer_of(cluster) as producer:
        before = await producer.send("orders", b"before")
        cluster.kill(topic.partitions[before.partition].leader_id)
        stuck = await producer.enqueue("orders", b"stuck")
        await trio.sleep(A_MOMENT_S)
        with trio.fail_after(A_MOMENT_S):
            after = [await producer.send("orders", b"after") for _ in range(20)]
        topic.partitions[before.partition].elect(next(iter(cluster.live)))
        assert (await stuck.wait()).partition == before.partition

    assert before.partition not in {place.partition for place in after}


async def test_while_no_partition_has_a_leader_records_without_a_key_wait(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1")
        cluster.kill(log.leader_id)
        delivery = await producer.enqueue("orders", b"2")
        await trio.sleep(A_MOMENT_S)
        later = await producer.enqueue("orders", b"3")
        log.elect(1)
        await delivery.wait()
        await later.wait()

    assert log.values == [b"1", b"2", b"3"]


async def test_a_topic_made_anew_with_fewer_partitions_has_keys_hash_over_those(
    cluster, autojump_clock
):
    cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster) as producer:
        for key in KEYS:
            await producer.send("orders", b"before", key=key)
        topic = cluster.add_topic("orders", partitions=3)
        await _have_it_hear_of_it(producer)
        with trio.fail_after(A_MOMENT_S):
            places = [await producer.send("orders", b"after", key=key) for key in KEYS]
            bare = [await producer.send("orders", b"x" * 30_000) for _ in range(30)]

    assert [place.partition for place in places] == [partition_of(key, 3) for key in KEYS]
    assert {place.partition for place in bare} == {0, 1, 2}
    keys = [{record.key for record in part.records if record.key} for part in topic.partitions]
    assert keys == [{key for key in KEYS if partition_of(key, 3) == i} for i in range(3)]


async def test_what_waits_for_a_partition_that_is_no_more_fails_soon_and_says_why(
    cluster, autojump_clock
):
    cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster) as producer:
        for partition in range(6):
            await producer.send("orders", b"before", partition=partition)
        topic = cluster.add_topic("orders", partitions=3)
        waiting = [await producer.enqueue("orders", b"%d" % i, partition=i) for i in range(6)]
        with trio.fail_after(A_MOMENT_S):
            failures = await failures_of(waiting)
        assert producer.buffered_bytes == 0

    assert failures[:3] == [None, None, None]
    for index, failure in enumerate(failures[3:], start=3):
        assert "made anew with fewer partitions (3)" in str(failure)
        assert isinstance(failure.cause, PartitionGone)
        assert failure.cause.partition == index
        assert not failure.may_be_written
    assert [log.values for log in topic.partitions] == [[b"0"], [b"1"], [b"2"]]


async def test_an_explicit_partition_that_is_no_more_is_refused(cluster, autojump_clock):
    cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"before", partition=5)
        cluster.add_topic("orders", partitions=3)
        await _have_it_hear_of_it(producer)
        with pytest.raises(UnknownTopic, match="no partition orders-5"):
            await producer.send("orders", b"after", partition=5)


async def test_what_may_have_been_written_before_its_partition_went_says_so(
    cluster, autojump_clock
):
    leader_id = cluster.add_topic("orders", partitions=6).partitions[5].leader_id

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"before", partition=5)
        cluster.silent.add(leader_id)
        waiting = []
        for _ in range(2):
            waiting.append(await producer.enqueue("orders", b"never answered", partition=5))
            await trio.sleep(0.01)
        cluster.add_topic("orders", partitions=3)
        waiting.append(await producer.enqueue("orders", b"never sent", partition=5))
        cluster.kill(leader_id)
        failures = await failures_of(waiting)

    assert [failure.may_be_written for failure in failures] == [True, True, False]
    assert all(isinstance(failure.cause, PartitionGone) for failure in failures)


async def test_news_of_a_topic_of_before_take_no_record_and_no_sequence_number(
    cluster, autojump_clock
):
    before = cluster.add_topic("orders", partitions=3)
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1", partition=5)
        cluster.topics["orders"] = before
        waiting = await producer.enqueue("orders", b"2", partition=5)
        await trio.sleep(1)
        with pytest.raises(UnknownTopic):
            await producer.enqueue("orders", b"never", partition=5)
        cluster.topics["orders"] = topic
        with trio.fail_after(A_MOMENT_S):
            await waiting.wait()
            await producer.send("orders", b"3", partition=5)

    assert topic.partitions[5].values == [b"1", b"2", b"3"]


async def test_one_answer_alone_takes_no_partition_away(cluster, faults, autojump_clock):
    before = cluster.add_topic("orders", partitions=3)
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, linger_ms=60_000, batch_bytes=1000) as producer:
        lingering = await producer.enqueue("orders", b"lingers", partition=5)
        cluster.script(
            ApiKey.METADATA,
            faults(run=lambda: cluster.topics.update(orders=before)),
            faults(run=lambda: cluster.topics.update(orders=topic)),
        )
        cluster.script(ApiKey.PRODUCE, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        for _ in range(2):
            await producer.enqueue("orders", b"x" * 600, partition=0)
        await trio.sleep(A_MOMENT_S)
        assert not cluster.faults[ApiKey.METADATA]
        await producer.flush()
        await lingering.wait()


async def test_partitions_are_taken_away_also_where_brokers_are_too_old_to_tell_topics_apart(
    cluster, autojump_clock
):
    cluster.add_topic("orders", partitions=6).topic_id = NO_TOPIC_ID

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"before", partition=5)
        cluster.add_topic("orders", partitions=3).topic_id = NO_TOPIC_ID
        await _have_it_hear_of_it(producer)
        places = [await producer.send("orders", b"after", key=key) for key in KEYS]

    assert [place.partition for place in places] == [partition_of(key, 3) for key in KEYS]


async def test_a_partition_that_failed_its_records_and_is_back_takes_more(cluster, autojump_clock):
    cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1", partition=5)
        cluster.add_topic("orders", partitions=3)
        with pytest.raises(DeliveryFailed, match="made anew"):
            await producer.send("orders", b"2", partition=5)
        topic = cluster.add_topic("orders", partitions=6)
        cluster.script(ApiKey.PRODUCE, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        await producer.send("orders", b"3", partition=0)
        await trio.sleep(1)
        await producer.send("orders", b"4", partition=5)

    assert topic.partitions[5].values == [b"4"]


async def test_old_news_of_the_same_topic_take_no_partition_away(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=6)
    late = topic.partitions[3:]

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1", partition=5)
        del topic.partitions[3:]
        waiting = await producer.enqueue("orders", b"2", partition=5)
        await trio.sleep(A_MOMENT_S)
        topic.partitions.extend(late)
        with trio.fail_after(A_MOMENT_S):
            await waiting.wait()


async def _have_it_hear_of_it(producer):
    """Have the producer write to a partition that is not led by whom it believes."""
    delivery = await producer.enqueue("orders", b"news", partition=5)
    with pytest.raises(DeliveryFailed), trio.fail_after(A_MOMENT_S):
        await delivery.wait()
