from __future__ import annotations

import random

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from client.consumer import Consumer, ConsumerConfig
from client.errors import (
    ClientClosed,
    LogTruncated,
    NoPosition,
    NothingAssigned,
    OffsetOutOfRange,
    UnknownTopic,
)
from client.records import TopicPartition
from protocol.api import ApiKey
from protocol.batch import HEADER_BYTES, make_batch, read_header
from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode, RequestError
from protocol.records import Record, encode_batch
from tests.support.fake_cluster import Fault

P0 = TopicPartition("orders", 0)
P1 = TopicPartition("orders", 1)


def consumer_of(cluster, **config):
    config.setdefault("auto_offset_reset", "earliest")
    return Consumer(cluster.bootstrap, ConsumerConfig(**config), environment=cluster.environment)


def values(records):
    return [record.value for record in records]


async def read(consumer, count):
    records = []
    with trio.fail_after(60):
        while len(records) < count:
            records += await consumer.poll(max_records=count - len(records))
    return records


async def test_records_come_in_order_with_all_they_hold(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"1", b"2", timestamp_ms=5)
    log.add(b"3", timestamp_ms=6)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        records = await read(consumer, 3)

        assert consumer.position(P0) == 3
    assert [(r.offset, r.value, r.timestamp_ms, r.key, r.headers) for r in records] == [
        (0, b"1", 5, None, ()),
        (1, b"2", 5, None, ()),
        (2, b"3", 6, None, ()),
    ]
    assert records[0].topic_partition == P0


async def test_iteration_gives_record_by_record_with_an_exact_position(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(*[b"%d" % i for i in range(10)])
    seen = []

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        async for record in consumer:
            seen.append((record.offset, consumer.position(P0)))
            if record.offset == 9:
                break

    assert seen == [(i, i + 1) for i in range(10)]


async def test_new_records_arrive_as_they_are_written(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert await consumer.poll(timeout_s=3) == []
        assert trio.current_time() == pytest.approx(3)
        log.add(b"new")
        cluster.wake_fetches()
        start = trio.current_time()
        assert values(await consumer.poll()) == [b"new"]
        assert trio.current_time() - start < 0.1


async def test_all_partitions_of_topics_are_read_and_take_turns(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=6)
    for index, partition in enumerate(topic.partitions):
        for _ in range(3):
            partition.add(*[b"%d" % index] * 10)

    async with consumer_of(cluster) as consumer:
        await consumer.assign_topics("orders")
        records = await read(consumer, 180)

        assert len(consumer.assignment) == 6
    for index in range(6):
        mine = [r.offset for r in records if r.partition == index]
        assert mine == list(range(30))


@pytest.mark.parametrize("kind", list(Compression))
async def test_every_compression_is_read(cluster, autojump_clock, kind):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"x" * 1000, b"y" * 1000, compression=kind)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await read(consumer, 2)) == [b"x" * 1000, b"y" * 1000]


async def test_records_below_the_offset_asked_for_are_left_out(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(*[b"%d" % i for i in range(10)])

    async with consumer_of(cluster) as consumer:
        await consumer.assign({P0: 7})
        assert values(await read(consumer, 3)) == [b"7", b"8", b"9"]


async def test_latest_starts_at_the_end_as_it_is_when_assigned(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"old")

    async with consumer_of(cluster, auto_offset_reset="latest") as consumer:
        await consumer.assign([P0])
        log.add(b"new")
        cluster.wake_fetches()
        assert values(await consumer.poll()) == [b"new"]


async def test_without_a_reset_policy_a_start_must_be_given(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"1")

    async with consumer_of(cluster, auto_offset_reset="none") as consumer:
        await consumer.assign([P0])
        with pytest.raises(NoPosition, match="orders-0"):
            await consumer.poll()
        consumer.seek(P0, 0)
        assert values(await consumer.poll()) == [b"1"]


async def test_seek_goes_back_and_forth_at_once(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(*[b"%d" % i for i in range(10)])

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 10)
        await trio.sleep(0.1)  # a long poll at the end is under way
        start = trio.current_time()
        consumer.seek(P0, 4)
        assert consumer.position(P0) == 4
        assert values(await read(consumer, 6)) == [b"%d" % i for i in range(4, 10)]
        assert trio.current_time() - start < 0.1
        await consumer.seek_to_beginning()
        assert values(await read(consumer, 1)) == [b"0"]
        await consumer.seek_to_end(P0)
        log.add(b"new")
        cluster.wake_fetches()
        assert values(await consumer.poll()) == [b"new"]


async def test_seek_within_a_half_read_batch_drops_the_rest_of_it(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(*[b"%d" % i for i in range(10)])

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await consumer.poll(max_records=3)) == [b"0", b"1", b"2"]
        consumer.seek(P0, 8)
        assert values(await read(consumer, 2)) == [b"8", b"9"]


async def test_seeking_what_is_not_assigned_is_refused(cluster, autojump_clock):
    async with consumer_of(cluster) as consumer:
        with pytest.raises(KeyError, match="orders-0"):
            consumer.seek(P0, 0)


@pytest.mark.parametrize("offset", [-1, 2**63])
async def test_what_is_no_offset_is_refused_and_harms_nothing(cluster, autojump_clock, offset):
    cluster.add_topic("orders").partitions[0].add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        with pytest.raises(ValueError, match="is no offset of orders-0: give 0 to"):
            consumer.seek(P0, offset)
        with pytest.raises(ValueError, match="is no offset of orders-0: give 0 to"):
            await consumer.assign({P0: offset})
        assert values(await read(consumer, 1)) == [b"1"]


async def test_offsets_are_found_by_timestamp(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    for i in range(5):
        log.add(b"%d" % i, timestamp_ms=1000 + i)

    async with consumer_of(cluster) as consumer:
        found = await consumer.offsets_for_times({P0: 1003})
        assert found[P0].offset == 3
        assert found[P0].timestamp_ms == 1003
        assert await consumer.offsets_for_times({P0: 9999}) == {P0: None}
        assert await consumer.end_offsets(P0) == {P0: 5}
        assert await consumer.beginning_offsets(P0) == {P0: 0}


async def test_a_paused_partition_gives_nothing_until_it_is_resumed(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=2)
    for partition in topic.partitions:
        partition.add(b"1", b"2")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0, P1])
        consumer.pause(P0)
        assert consumer.paused == (P0,)
        assert {r.partition for r in await read(consumer, 2)} == {1}
        assert await consumer.poll(timeout_s=2) == []
        consumer.resume(P0)
        start = trio.current_time()
        assert {r.partition for r in await read(consumer, 2)} == {0}
        assert trio.current_time() - start < 0.1


async def test_a_new_leader_is_followed_without_a_gap(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        log.elect(leader_id=2)
        log.add(b"2")
        cluster.wake_fetches()
        assert values(await read(consumer, 1)) == [b"2"]

    fetched_from = {b for b, key, _, _ in cluster.requests if key is ApiKey.FETCH}
    assert fetched_from == {0, 2}
    assert cluster.count(ApiKey.OFFSET_FOR_LEADER_EPOCH, 2) == 1


async def test_a_killed_leader_is_replaced(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        cluster.kill(0)
        await trio.sleep(0.3)
        log.elect(leader_id=1)
        log.add(b"2")
        start = trio.current_time()
        assert values(await read(consumer, 1)) == [b"2"]

    assert trio.current_time() - start < 0.6


async def test_a_leader_that_hangs_is_left_once_another_one_is_elected(
    cluster, faults, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]
    cluster.script(ApiKey.FETCH, faults(hang=True))

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await trio.sleep(2)
        log.elect(leader_id=1)
        log.add(b"1")
        start = trio.current_time()
        assert values(await read(consumer, 1)) == [b"1"]

    assert trio.current_time() - start < 2


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_breaks_no_record_is_skipped_or_repeated(
    cluster, faults, autojump_clock, seed
):
    choice = random.Random(seed)
    topic = cluster.add_topic("orders", partitions=2)
    for partition in topic.partitions:
        for i in range(40):
            partition.add(b"%d" % i)

    def elect():
        choice.choice(topic.partitions).elect(choice.choice(cluster.broker_ids))

    kinds = [
        None,
        faults(drop_before=True),
        faults(drop_after=True),
        faults(code=ErrorCode.NOT_LEADER_OR_FOLLOWER),
        faults(code=ErrorCode.UNKNOWN_LEADER_EPOCH),
        faults(run=elect),
    ]
    cluster.script(ApiKey.FETCH, *choice.choices(kinds, k=30))
    cluster.script(ApiKey.LIST_OFFSETS, ErrorCode.NOT_LEADER_OR_FOLLOWER, faults(drop_after=True))

    async with consumer_of(cluster, partition_bytes_max=150) as consumer:
        await consumer.assign_topics("orders")
        records = []
        while len(records) < 80:
            records += await consumer.poll(max_records=choice.randint(1, 9))

    for index in (0, 1):
        assert [r.offset for r in records if r.partition == index] == list(range(40))


async def test_a_truncated_log_is_an_error_that_names_where_it_differs(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    for i in range(5):
        log.add(b"%d" % i)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 5)
        del log.batches[3:]  # an unclean election: the new leader never had these
        log.elect(leader_id=1)
        log.add(b"x", b"y", b"z")
        cluster.wake_fetches()
        with pytest.raises(LogTruncated, match="orders-0") as truncated:
            await consumer.poll()
        assert (truncated.value.position, truncated.value.divergent_offset) == (5, 3)
        consumer.seek(P0, truncated.value.divergent_offset)
        assert values(await read(consumer, 3)) == [b"x", b"y", b"z"]


async def test_truncation_of_what_was_only_fetched_ahead_goes_unnoticed(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    for i in range(5):
        log.add(b"%d" % i)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await consumer.poll(max_records=2)) == [b"0", b"1"]
        await trio.sleep(0.1)
        del log.batches[3:]
        log.elect(leader_id=1)
        log.add(b"x")
        cluster.wake_fetches()
        await trio.sleep(2)
        assert values(await read(consumer, 2)) == [b"2", b"x"]


async def test_what_is_known_to_be_truncated_is_not_handed_out(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"a")
    log.add(*[b"b%d" % i for i in range(8)])

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert [r.offset for r in await consumer.poll(max_records=3)] == [0, 1, 2]
        del log.batches[1:]
        log.elect(leader_id=1)
        log.add(b"x")
        cluster.wake_fetches()
        await trio.sleep(3)
        with pytest.raises(LogTruncated):
            await consumer.poll()
        assert consumer.position(P0) == 3


async def test_an_offset_out_of_range_is_reset_by_policy(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.log_start = 50
    log.add(b"50")

    async with consumer_of(cluster) as consumer:
        await consumer.assign({P0: 3})
        assert [r.offset for r in await read(consumer, 1)] == [50]


async def test_a_log_that_begins_earlier_again_is_not_read_twice(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"0", b"1", b"2", b"3")
    log.log_start = 3

    async with consumer_of(cluster) as consumer:
        # By a leader that had records deleted; the next one has not heard of it.
        cluster.script(ApiKey.LIST_OFFSETS, Fault(run=lambda: setattr(log, "log_start", 0)))
        await consumer.assign({P0: 2})
        assert values(await read(consumer, 2)) == [b"2", b"3"]
        assert cluster.count(ApiKey.LIST_OFFSETS) == 2


async def test_a_log_that_was_shorter_is_read_from_its_start_though_it_has_grown(
    cluster, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"0", b"1")

    async with consumer_of(cluster) as consumer:
        cluster.script(ApiKey.LIST_OFFSETS, Fault(run=lambda: log.add(b"2", b"3", b"4")))
        await consumer.assign({P0: 3})
        assert values(await read(consumer, 5)) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_log_that_ends_earlier_is_read_from_its_start(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"0", b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign({P0: 7})
        assert values(await read(consumer, 2)) == [b"0", b"1"]


async def test_an_offset_out_of_range_is_an_error_without_policy(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"1")

    async with consumer_of(cluster, auto_offset_reset="none") as consumer:
        await consumer.assign({P0: 7})
        with pytest.raises(OffsetOutOfRange, match="offset 7 of orders-0"):
            await consumer.poll()


async def test_one_refused_partition_does_not_hold_up_the_others(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=2)
    topic.partitions[1].add(b"1", b"2", b"3")
    topic.partitions[0].log_start = 5
    seen, errors = [], 0

    async with consumer_of(cluster, auto_offset_reset="none") as consumer:
        await consumer.assign({P0: 0, P1: 0})
        while len(seen) < 3:
            try:
                seen += values(await consumer.poll(max_records=1))
            except OffsetOutOfRange:
                errors += 1

    assert seen == [b"1", b"2", b"3"]
    assert 1 <= errors <= 4


async def test_a_damaged_batch_is_an_error_after_what_precedes_it(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"good")
    log.add(b"bad!")
    log.batches[1] = log.batches[1][:-3] + b"x" + log.batches[1][-2:]

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await consumer.poll()) == [b"good"]
        with pytest.raises(CorruptBatch, match="checksum"):
            await consumer.poll()


async def test_a_header_whose_name_is_no_utf_8_is_read_and_read_past(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    batch = encode_batch([Record(0, 1, None, b"odd", (("?name", b"1"),))], leader_epoch=0)
    log.batches.append(
        make_batch(read_header(batch), batch[HEADER_BYTES:].replace(b"?name", b"\xffname"))
    )
    log.add(b"next")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        records = await read(consumer, 2)

    assert values(records) == [b"odd", b"next"]
    assert records[0].headers == (("\ufffdname", b"1"),)


async def test_a_final_refusal_names_the_partition(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"1")
    cluster.script(ApiKey.FETCH, ErrorCode.TOPIC_AUTHORIZATION_FAILED)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        with pytest.raises(RequestError, match="orders-0: TOPIC_AUTHORIZATION_FAILED"):
            await consumer.poll()


async def test_markers_are_never_shown_and_aborted_records_only_to_the_uncommitted(
    cluster, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]

    def transactional(batch, attributes):
        return make_batch(replace(read_header(batch), attributes=attributes), batch[61:])

    def add(value, *, key=None, attributes):
        offset = log.end_offset
        batch = encode_batch(
            [Record(offset, 1, key, value)], base_offset=offset, producer_id=9, leader_epoch=0
        )
        log.batches.append(transactional(batch, attributes))

    add(b"aborted", attributes=0x10)
    add(b"", key=b"\0\0\0\0", attributes=0x30)
    add(b"committed", attributes=0x10)
    add(b"", key=b"\0\0\0\1", attributes=0x30)
    log.add(b"plain")
    log.aborted.append((9, 0))

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await read(consumer, 3)) == [b"aborted", b"committed", b"plain"]
    async with consumer_of(cluster, isolation="read_committed") as consumer:
        await consumer.assign([P0])
        assert values(await read(consumer, 2)) == [b"committed", b"plain"]
        assert consumer.position(P0) == 5


async def test_fetching_ahead_stays_within_the_buffer(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=6)
    for partition in topic.partitions:
        for _ in range(50):
            partition.add(b"x" * 1000)

    async with consumer_of(cluster, buffer_bytes_max=20_000, partition_bytes_max=5_000) as consumer:
        await consumer.assign_topics("orders")
        await trio.sleep(5)
        held = consumer.buffered_bytes
        records = await read(consumer, 300)

    assert 5_000 < held < 60_000
    assert len(records) == 300


async def test_paused_partitions_with_full_buffers_hold_up_nobody(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=4)
    for partition in topic.partitions:
        for number in range(50):
            partition.add(b"%d" % number + b" " * 1000)
    urgent = cluster.add_topic("urgent").partitions[0]
    bulk = [TopicPartition("orders", number) for number in range(4)]

    async with consumer_of(cluster, buffer_bytes_max=20_000, partition_bytes_max=5_000) as consumer:
        await consumer.assign([*bulk, TopicPartition("urgent", 0)])
        seen = await read(consumer, 20)
        await trio.sleep(5)
        consumer.pause(*bulk)
        for word in (b"one", b"two"):
            urgent.add(word)
            assert values(await read(consumer, 1)) == [word]
        assert consumer.buffered_bytes < 30_000
        consumer.resume(*bulk)
        seen += await read(consumer, 180)

    for place in bulk:
        assert [r.offset for r in seen if r.topic_partition == place] == [*range(50)]


async def test_a_resumed_partition_is_read_on_over_the_same_connection(cluster, autojump_clock):
    log = cluster.add_topic("orders", partitions=2).partitions[0]

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0, P1])
        log.add(b"1")
        await read(consumer, 1)
        asked = cluster.count(ApiKey.API_VERSIONS)
        for value in (b"2", b"3", b"4"):
            consumer.pause(P0)
            await trio.sleep(2)
            log.add(value)
            assert await consumer.poll(timeout_s=1) == []
            consumer.resume(P0)
            began_at = trio.current_time()
            assert values(await read(consumer, 1)) == [value]
            assert trio.current_time() - began_at < 0.1
        assert cluster.count(ApiKey.API_VERSIONS) == asked


async def test_a_batch_over_the_bound_of_a_partition_is_read_all_the_same(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"x" * 2_000_000)
    log.add(b"small")

    async with consumer_of(cluster, partition_bytes_max=1000) as consumer:
        await consumer.assign([P0])
        assert [len(v) for v in values(await read(consumer, 2))] == [2_000_000, 5]


async def test_assigning_an_unknown_topic_or_partition_names_it(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with consumer_of(cluster) as consumer:
        with pytest.raises(UnknownTopic, match="'nowhere'"):
            await consumer.assign_topics("nowhere")
        with pytest.raises(UnknownTopic, match="orders-7"):
            await consumer.assign([TopicPartition("orders", 7)])


async def test_a_topic_that_is_deleted_while_it_is_read_becomes_an_error(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        cluster.kill(0)
        del cluster.topics["orders"]
        with pytest.raises(UnknownTopic, match="'orders'"):
            await consumer.poll(timeout_s=30)


async def test_reading_nothing_is_refused_rather_than_waited_for(cluster, autojump_clock):
    async with consumer_of(cluster) as consumer:
        with pytest.raises(NothingAssigned, match="assign some first"):
            await consumer.poll()


async def test_a_new_assignment_replaces_the_old_one(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=2)
    for partition in topic.partitions:
        partition.add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        await consumer.assign([P1])
        assert {r.partition for r in await read(consumer, 1)} == {1}
        topic.partitions[0].add(b"2")
        cluster.wake_fetches()
        assert await consumer.poll(timeout_s=1) == []


async def test_a_cancelled_poll_loses_no_record(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        with trio.move_on_after(1):
            await consumer.poll()
        log.add(b"1")
        cluster.wake_fetches()
        assert values(await read(consumer, 1)) == [b"1"]


async def test_leaving_ends_all_tasks_and_an_error_stays_bare(cluster, autojump_clock):
    cluster.add_topic("orders")

    consumer = consumer_of(cluster)

    async def fail_in_the_middle():
        async with consumer:
            await consumer.assign([P0])
            await wait_all_tasks_blocked()
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail_in_the_middle()
    with pytest.raises(ClientClosed):
        await consumer.poll()


async def test_brokers_without_topic_ids_are_read_by_name(cluster, autojump_clock):
    cluster.versions[ApiKey.METADATA] = (0, 9)
    cluster.add_topic("orders").partitions[0].add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await read(consumer, 1)) == [b"1"]


@pytest.mark.parametrize("wrong", [{"auto_offset_reset": "soon"}, {"isolation": "none"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="give one of"):
        ConsumerConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"group_id": ""}, "group_id is empty"),
        ({"assignors": ("ranged",)}, "no assignor 'ranged': give some of range, roundrobin"),
        ({"assignors": ()}, "assignors is empty"),
        ({"session_timeout_s": 3}, "give more than the 3 s between heartbeats"),
        ({"session_timeout_s": float("inf")}, "at most 2147483"),
        ({"heartbeat_interval_s": 0}, "heartbeat_interval_s is 0: give more than 0"),
        ({"max_poll_interval_s": float("inf")}, "at most 2147483 seconds"),
        ({"auto_commit_interval_s": -1}, "auto_commit_interval_s is -1"),
    ],
)
def test_wrong_settings_of_a_group_are_refused(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        ConsumerConfig(**wrong)


async def poll_over(consumer, error):
    """Poll shortly; what is raised is over with that."""
    try:
        return await consumer.poll(timeout_s=0.5)
    except error:
        return []


async def test_a_topic_that_is_there_again_is_read_on(cluster, autojump_clock):
    topic = cluster.add_topic("orders")
    topic.partitions[0].add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        del cluster.topics["orders"]
        with pytest.raises(UnknownTopic):
            await consumer.poll()
        cluster.topics["orders"] = topic
        topic.partitions[0].add(b"2")
        await trio.sleep(10)
        records = await poll_over(consumer, UnknownTopic) or await consumer.poll(timeout_s=5)
        assert values(records) == [b"2"]


async def test_a_position_that_is_missing_stays_so_while_a_topic_is_away(cluster, autojump_clock):
    topic = cluster.add_topic("orders")
    topic.partitions[0].add(b"1")

    async with consumer_of(cluster, auto_offset_reset="none") as consumer:
        await consumer.assign([P0])
        del cluster.topics["orders"]
        await trio.sleep(400)
        cluster.topics["orders"] = topic
        await trio.sleep(400)
        with pytest.raises(NoPosition):
            await consumer.poll(timeout_s=1)
        consumer.seek(P0, 0)
        assert values(await read(consumer, 1)) == [b"1"]


async def test_a_short_absence_long_after_another_is_waited_out(cluster, autojump_clock):
    topic = cluster.add_topic("orders")
    topic.partitions[0].add(b"1")

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        await read(consumer, 1)
        for value in (b"2", b"3"):
            del cluster.topics["orders"]
            assert await consumer.poll(timeout_s=1) == []
            cluster.topics["orders"] = topic
            topic.partitions[0].add(value)
            assert values(await read(consumer, 1)) == [value]
            await trio.sleep(5)


async def test_damage_on_the_leaders_disk_is_told(cluster, autojump_clock):
    cluster.add_topic("orders").partitions[0].add(b"1")
    cluster.script(ApiKey.FETCH, ErrorCode.CORRUPT_MESSAGE)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        with pytest.raises(RequestError, match="CORRUPT_MESSAGE"):
            await consumer.poll(timeout_s=5)


@pytest.mark.parametrize("key", [ApiKey.FETCH, ApiKey.LIST_OFFSETS])
async def test_a_fault_of_the_leaders_own_may_pass(cluster, autojump_clock, key):
    cluster.add_topic("orders").partitions[0].add(b"1")
    cluster.script(key, ErrorCode.UNKNOWN_SERVER_ERROR)

    async with consumer_of(cluster) as consumer:
        await consumer.assign([P0])
        assert values(await read(consumer, 1)) == [b"1"]
