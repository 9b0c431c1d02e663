from __future__ import annotations

import random

import pytest
import trio

from client.environment import Environment
from client.errors import (
    ClientClosed,
    DeliveryFailed,
    NoBrokerReachable,
    RecordTooLarge,
    UnknownTopic,
    WaitTimedOut,
)
from client.producer import Producer, ProducerConfig
from protocol.api import ApiKey
from protocol.batch import read_header
from protocol.errors import ErrorCode, RequestError
from protocol.records import Record


def producer_of(cluster, **config):
    return Producer(cluster.bootstrap, ProducerConfig(**config), environment=cluster.environment)


async def enqueue_all(producer, topic, values, **kwargs):
    return [await producer.enqueue(topic, value, **kwargs) for value in values]


async def test_a_sent_record_is_in_the_log_with_its_key_headers_and_timestamp(
    cluster, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        sent = await producer.send(
            "orders", b"value", key=b"key", headers=[("a", b"1"), ("b", None)], timestamp_ms=123
        )

    assert (sent.topic, sent.partition, sent.offset) == ("orders", 0, 0)
    assert log.records == [Record(0, 123, b"key", b"value", (("a", b"1"), ("b", None)))]


async def test_records_that_come_together_travel_in_one_batch_and_know_their_offsets(
    cluster, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        deliveries = await enqueue_all(producer, "orders", [b"%d" % i for i in range(100)])
        offsets = [(await delivery.wait()).offset for delivery in deliveries]

    assert offsets == list(range(100))
    assert len(log.batches) == 1


async def test_a_batch_lingers_for_so_long_and_no_longer(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster, linger_ms=200) as producer:
        await producer.send("orders", b"first, which learns all there is to learn")
        start = trio.current_time()
        await producer.send("orders", b"second")

        assert trio.current_time() - start == pytest.approx(0.2)


async def test_a_full_batch_does_not_linger(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster, linger_ms=10_000, batch_bytes=1000) as producer:
        for i in range(100):
            await producer.enqueue("orders", b"x" * 90, key=b"%d" % i)
        await trio.sleep(1)
        written = len(log.records)

    assert written > 90
    assert all(len(batch) <= 1200 for batch in log.batches)
    assert [record.key for record in log.records] == [b"%d" % i for i in range(100)]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_carries_the_records(cluster, autojump_clock, compression):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster, compression=compression) as producer:
        await enqueue_all(producer, "orders", [b"a" * 500] * 20)

    assert log.values == [b"a" * 500] * 20
    assert read_header(log.batches[0]).compression.name.lower() == compression


async def test_keys_choose_the_partition_and_an_explicit_partition_wins(cluster, autojump_clock):
    cluster.add_topic("orders", partitions=4)

    async with producer_of(cluster) as producer:
        first = await producer.send("orders", b"1", key=b"abc")
        again = await producer.send("orders", b"2", key=b"abc")
        chosen = await producer.send("orders", b"3", key=b"abc", partition=3)
        with pytest.raises(UnknownTopic, match="orders-4"):
            await producer.send("orders", b"4", partition=4)

    assert first.partition == again.partition
    assert chosen.partition == 3


async def test_records_without_a_key_spread_over_partitions_batch_by_batch(cluster, autojump_clock):
    topic = cluster.add_topic("orders", partitions=6)

    async with producer_of(cluster, batch_bytes=1000) as producer:
        await enqueue_all(producer, "orders", [b"x" * 90] * 600)

    counts = [len(partition.records) for partition in topic.partitions]
    assert sum(counts) == 600
    assert all(counts)


async def test_a_dropped_response_after_the_append_is_not_appended_again(cluster, faults):
    log = cluster.add_topic("orders").partitions[0]
    cluster.script(ApiKey.PRODUCE, faults(drop_after=True), faults(drop_after=True))

    async with producer_of(cluster) as producer:
        sent = await producer.send("orders", b"once")

    assert sent.offset == 0
    assert log.values == [b"once"]
    assert cluster.count(ApiKey.PRODUCE) == 3


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 20))]
)
async def test_order_is_kept_and_nothing_is_doubled_whatever_breaks(
    cluster, faults, autojump_clock, seed
):
    topic = cluster.add_topic("orders", partitions=2)
    choice = random.Random(seed)

    def elect():
        partition = choice.choice(topic.partitions)
        partition.elect(choice.choice(cluster.broker_ids))

    kinds = [
        None,
        faults(drop_before=True),
        faults(drop_after=True),
        faults(code=ErrorCode.NOT_ENOUGH_REPLICAS),
        faults(code=ErrorCode.REQUEST_TIMED_OUT),
        faults(run=elect),
        faults(run=elect, drop_after=True),
    ]
    cluster.script(ApiKey.PRODUCE, *choice.choices(kinds, k=60))

    async with producer_of(cluster, linger_ms=1, batch_bytes=400) as producer:
        deliveries = []
        for i in range(300):
            deliveries.append(await producer.enqueue("orders", b"%d" % i, partition=i % 2))
            if i % 7 == 0:
                await trio.sleep(0.002)
        written = [await delivery.wait() for delivery in deliveries]

    for index in (0, 1):
        expected = [b"%d" % i for i in range(300) if i % 2 == index]
        assert topic.partitions[index].values == expected
    for i, place in enumerate(written):
        records = topic.partitions[i % 2].records
        assert records[place.offset].value == b"%d" % i


async def test_a_leader_that_hangs_is_given_up_once_another_one_is_elected(
    cluster, faults, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]
    cluster.script(ApiKey.PRODUCE, faults(hang=True))

    async with producer_of(cluster) as producer:
        delivery = await producer.enqueue("orders", b"patience")
        await trio.sleep(2)
        log.elect(leader_id=1)
        start = trio.current_time()
        await delivery.wait()

    assert trio.current_time() - start < 2
    assert log.values == [b"patience"]


async def test_a_killed_leader_is_replaced_and_nothing_is_lost(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"before")
        cluster.kill(0)
        delivery = await producer.enqueue("orders", b"after")
        await trio.sleep(0.3)
        log.elect(leader_id=1)
        start = trio.current_time()
        await delivery.wait()

    assert trio.current_time() - start < 0.6
    assert log.values == [b"before", b"after"]


async def test_a_delivery_fails_in_time_and_says_what_it_waited_for(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, *[ErrorCode.NOT_ENOUGH_REPLICAS] * 1000)

    async with producer_of(cluster, delivery_timeout_s=5) as producer:
        start = trio.current_time()
        with pytest.raises(DeliveryFailed, match="NOT_ENOUGH_REPLICAS") as failed:
            await producer.send("orders", b"value")

    assert trio.current_time() - start == pytest.approx(5, abs=1)
    assert isinstance(failed.value.cause, WaitTimedOut)
    assert not failed.value.may_be_written


async def test_a_failure_says_when_the_record_may_have_been_written(
    cluster, faults, autojump_clock
):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, *[faults(hang=True)] * 10)

    async with producer_of(cluster, delivery_timeout_s=5) as producer:
        with pytest.raises(DeliveryFailed, match="may have been written") as failed:
            await producer.send("orders", b"value")

    assert failed.value.may_be_written


async def test_after_a_lost_sequence_the_partition_goes_on_under_a_new_producer_id(
    cluster, faults, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster, delivery_timeout_s=5) as producer:
        await producer.send("orders", b"1")
        cluster.script(ApiKey.PRODUCE, *[faults(hang=True)] * 6)
        with pytest.raises(DeliveryFailed):
            await producer.send("orders", b"lost")
        cluster.faults.clear()
        await producer.send("orders", b"2")

    assert log.values == [b"1", b"2"]
    ids = [read_header(batch).producer_id for batch in log.batches]
    assert ids[0] != ids[1]


async def test_acknowledged_records_that_vanish_make_the_next_one_fail(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1")
        await producer.send("orders", b"2")
        del log.batches[-1]
        next(iter(log.producers.values())).pop()
        with pytest.raises(DeliveryFailed, match="OUT_OF_ORDER_SEQUENCE_NUMBER"):
            await producer.send("orders", b"3")
        await producer.send("orders", b"4")

    assert log.values == [b"1", b"4"]


async def test_a_batch_that_is_too_large_is_split_until_its_records_fit(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    cluster.max_batch_bytes = 400

    async with producer_of(cluster) as producer:
        deliveries = await enqueue_all(producer, "orders", [b"%050d" % i for i in range(50)])
        offsets = [(await delivery.wait()).offset for delivery in deliveries]

        assert producer.buffered_bytes == 0

    assert log.values == [b"%050d" % i for i in range(50)]
    assert offsets == list(range(50))


async def test_only_the_record_that_is_too_large_fails(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    cluster.max_batch_bytes = 400
    values = [b"a", b"b" * 1000, b"c", b"d"]

    async with producer_of(cluster) as producer:
        deliveries = await enqueue_all(producer, "orders", values)
        with pytest.raises(DeliveryFailed) as failed:
            await deliveries.pop(1).wait()
        offsets = [(await delivery.wait()).offset for delivery in deliveries]

    assert failed.value.cause.code is ErrorCode.MESSAGE_TOO_LARGE
    assert not failed.value.may_be_written
    assert offsets == [0, 1, 2]
    assert log.values == [b"a", b"c", b"d"]


async def test_a_record_over_the_request_bound_is_refused_at_once(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster, request_bytes_max=100) as producer:
        with pytest.raises(RecordTooLarge, match="request_bytes_max of 100"):
            await producer.send("orders", b"x" * 101)


async def test_enqueue_waits_while_the_buffer_is_full(cluster, faults, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, *[ErrorCode.NOT_ENOUGH_REPLICAS] * 4)
    high = 0

    async with producer_of(cluster, buffer_bytes_max=10_000, batch_bytes=1000) as producer:
        for _ in range(1000):
            await producer.enqueue("orders", b"x" * 100)
            high = max(high, producer.buffered_bytes)
        await producer.flush()

        assert producer.buffered_bytes == 0

    assert 10_000 <= high <= 10_200


async def test_a_cancelled_enqueue_takes_no_record(cluster, faults, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]
    cluster.script(ApiKey.PRODUCE, *[ErrorCode.NOT_ENOUGH_REPLICAS] * 5)

    async with producer_of(cluster, buffer_bytes_max=50) as producer:
        await producer.enqueue("orders", b"x" * 100)
        with trio.move_on_after(0.01) as scope:
            await producer.enqueue("orders", b"never")
        assert scope.cancelled_caught

    assert log.values == [b"x" * 100]


async def test_flush_waits_for_everything_and_does_not_linger(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster, linger_ms=60_000) as producer:
        await enqueue_all(producer, "orders", [b"1", b"2"])
        start = trio.current_time()
        await producer.flush()

        assert log.values == [b"1", b"2"]
        assert trio.current_time() - start < 1


async def test_leaving_by_an_error_fails_what_is_pending_and_keeps_the_error_bare(
    cluster, faults, autojump_clock
):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, faults(hang=True))

    producer = producer_of(cluster)
    deliveries = []

    async def fail_in_the_middle():
        async with producer:
            deliveries.append(await producer.enqueue("orders", b"pending"))
            await trio.sleep(0.1)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail_in_the_middle()
    with pytest.raises(DeliveryFailed, match="closed before it was acknowledged") as failed:
        await deliveries[0].wait()
    assert failed.value.may_be_written
    with pytest.raises(ClientClosed):
        await producer.enqueue("orders", b"late")


async def test_a_producer_that_is_being_closed_takes_no_more_records(
    cluster, faults, autojump_clock
):
    log = cluster.add_topic("orders").partitions[0]
    cluster.script(ApiKey.PRODUCE, faults(delay_s=1))
    producer = producer_of(cluster)
    closed = trio.Event()

    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send_late():
            await trio.sleep(0.5)
            assert not closed.is_set()
            with pytest.raises(ClientClosed, match="it is being closed"):
                await producer.enqueue("orders", b"late")

        async with producer:
            await producer.enqueue("orders", b"in time")
        closed.set()

    assert log.values == [b"in time"]


async def test_leaving_by_cancellation_does_not_wait(cluster, faults, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, faults(hang=True))

    with trio.move_on_after(1) as scope:
        async with producer_of(cluster) as producer:
            await producer.send("orders", b"never answered")

    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(1)


async def test_acks_none_is_done_when_written_and_knows_no_offset(cluster, autojump_clock):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster, acks=0) as producer:
        sent = await producer.send("orders", b"value")
        await trio.sleep(0.1)

    assert sent.offset == -1
    assert log.values == [b"value"]
    assert read_header(log.batches[0]).producer_id == -1


async def test_acks_one_is_asked_for_as_such(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster, acks=1) as producer:
        await producer.send("orders", b"value")

    (request,) = [r for _, key, _, r in cluster.requests if key is ApiKey.PRODUCE]
    assert request.acks == 1


async def test_a_refused_producer_id_fails_everything_with_its_cause(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.INIT_PRODUCER_ID, ErrorCode.CLUSTER_AUTHORIZATION_FAILED)

    async with producer_of(cluster) as producer:
        with pytest.raises(DeliveryFailed, match="CLUSTER_AUTHORIZATION_FAILED"):
            await producer.send("orders", b"value")
        with pytest.raises(ClientClosed, match="CLUSTER_AUTHORIZATION_FAILED"):
            await producer.send("orders", b"value")


async def test_a_busy_producer_id_service_is_asked_again(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.INIT_PRODUCER_ID, *[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS] * 3)

    async with producer_of(cluster) as producer:
        assert (await producer.send("orders", b"value")).offset == 0


async def test_an_unknown_topic_is_named_soon(cluster, autojump_clock):
    async with producer_of(cluster) as producer:
        start = trio.current_time()
        with pytest.raises(UnknownTopic, match="'nowhere'"):
            await producer.send("nowhere", b"value")

    assert trio.current_time() - start < 5


async def test_a_topic_that_the_broker_creates_on_demand_is_waited_for(cluster, autojump_clock):
    cluster.auto_create = True

    async with producer_of(cluster) as producer:
        assert (await producer.send("fresh", b"value")).offset == 0


async def test_a_topic_that_takes_long_to_be_created_is_waited_for(cluster, faults, autojump_clock):
    cluster.auto_create = True

    async with producer_of(cluster) as producer:
        for name in ("slow", "slow-too"):
            cluster.script(ApiKey.METADATA, None, faults(delay_s=4))
            assert (await producer.send(name, b"value")).offset == 0


@pytest.mark.parametrize("name", ["caf\udce9", "x" * 40_000, "", "not/a/topic"])
async def test_what_cannot_name_a_topic_is_refused_and_harms_nobody(cluster, autojump_clock, name):
    cluster.add_topic("orders")

    async with producer_of(cluster) as producer:
        with pytest.raises(RequestError, match="1 to 249 letters.*INVALID_TOPIC_EXCEPTION"):
            await producer.send(name, b"value")
        await trio.sleep(400)  # the metadata have been refreshed
        assert (await producer.send("orders", b"value")).offset == 0


async def test_a_leader_that_fails_may_have_written(cluster, autojump_clock):
    cluster.add_topic("orders")
    cluster.script(ApiKey.PRODUCE, ErrorCode.UNKNOWN_SERVER_ERROR)

    async with producer_of(cluster) as producer:
        with pytest.raises(DeliveryFailed, match="may have been written") as failed:
            await producer.send("orders", b"value")

    assert failed.value.may_be_written


async def test_new_partitions_are_used_once_they_are_known(cluster, autojump_clock):
    topic = cluster.add_topic("orders")

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1")
        topic.grow(leader_id=1)
        await trio.sleep(400)

        assert (await producer.send("orders", b"2", partition=1)).partition == 1


async def test_no_reachable_bootstrap_server_is_an_error_that_lists_each(cluster, autojump_clock):
    environment = Environment(cluster.network.host("client"), lambda: 0, cluster.environment.random)

    with pytest.raises(NoBrokerReachable, match="a:1: .*b:2: ") as failed:
        async with Producer("a:1,b:2", environment=environment):
            pass

    assert len(failed.value.causes) == 2


@pytest.mark.parametrize(
    "wrong", [{"acks": 2}, {"compression": "zip"}, {"acks": 1, "idempotence": True}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="acks|compression"):
        ProducerConfig(**wrong)


@pytest.mark.parametrize("wrong", [1.5, -1, 2**63, "now"])
async def test_a_timestamp_that_is_none_is_refused_and_harms_nothing(
    cluster, autojump_clock, wrong
):
    log = cluster.add_topic("orders").partitions[0]

    async with producer_of(cluster) as producer:
        with pytest.raises(ValueError, match="timestamp_ms is .* give whole milliseconds"):
            await producer.send("orders", b"never", timestamp_ms=wrong)
        await producer.send("orders", b"value", timestamp_ms=2**63 - 1)

    assert log.values == [b"value"]


async def test_a_record_that_is_none_leaves_nothing_to_send(cluster, autojump_clock):
    cluster.add_topic("orders")

    async with producer_of(cluster) as producer:
        with pytest.raises(TypeError):
            await producer.send("orders", "text, not bytes")
        await trio.sleep(1)
        assert cluster.count(ApiKey.PRODUCE) == 0
        await producer.send("orders", b"value")


async def test_a_deleted_topic_stays_away_until_there_is_something_to_write_to_it(
    cluster, autojump_clock
):
    cluster.auto_create = True

    async with producer_of(cluster) as producer:
        await producer.send("orders", b"1")
        del cluster.topics["orders"]
        for name in ("others", "more"):
            await producer.send(name, b"value")
            await trio.sleep(400)
        assert "orders" not in cluster.topics
        await producer.send("orders", b"2")

    assert cluster.topics["orders"].partitions[0].values == [b"2"]
