"""What a compacted topic takes: records with a key, and no others."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from client import Admin, DeliveryFailed, NewTopic, Producer, ResourceType
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.batch import make_batch, read_header
from protocol.compression import Compression
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from simulation.cluster import simulated_cluster
from tests.support.asking import Asker

BOUND_S = 60
TOPIC = "prices"
REASON = "it has no key, and this topic is compacted: only the newest of each key stays"


class Shop:
    """One broker, and a topic that is compacted until somebody changes that."""

    def __init__(self, cluster, producer, admin):
        self.cluster, self.producer, self.admin = cluster, producer, admin
        self._ask = Asker(cluster)

    async def produce(self, records: bytes, *, acks: int = -1, version: int | None = None):
        """Produce bytes to partition 0. Returns: what the broker says of it."""
        asked = TopicProduceData(TOPIC, [PartitionProduceData(0, memoryview(records))])
        request = ProduceRequest(acks=acks, timeout_ms=1_000, topic_data=[asked])
        response = await self._ask(request, broker_id=1, version=version)
        return response.responses[0].partition_responses[0]

    @property
    def log(self):
        return self.cluster.brokers[1].broker.partitions.get(TOPIC, 0).log


@pytest.fixture(params=["compact", "compact,delete"])
async def shop(autojump_clock, request):
    """One broker, and a topic to compact. Returns: Shop."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            Producer(cluster.bootstrap, environment=cluster.environment("p")) as producer,
            Admin(cluster.bootstrap, environment=cluster.environment("a")) as admin,
        ):
            await admin.create_topic(NewTopic(TOPIC, 1, 1, {"cleanup.policy": request.param}))
            yield Shop(cluster, producer, admin)


def batch(*keys: bytes | None, **header) -> bytes:
    """Make a batch with a record for each of the keys."""
    return encode_batch([Record(i, 1, key, b"value") for i, key in enumerate(keys)], **header)


@pytest.mark.parametrize("kind", list(Compression))
async def test_records_with_keys_and_tombstones_are_taken(shop, kind):
    records = [
        Record(0, 1, b"k", b"v"),
        Record(1, 1, b"", b"the empty key"),
        Record(2, 1, b"k", None),
    ]

    reply = await shop.produce(encode_batch(records, compression=kind))

    assert (reply.error_code, reply.base_offset) == (ErrorCode.NONE, 0)
    assert shop.log.log_end_offset == 3


@pytest.mark.parametrize("kind", list(Compression))
async def test_every_record_without_a_key_is_named_and_nothing_is_appended(shop, kind):
    reply = await shop.produce(batch(b"a", None, b"c", None, compression=kind))

    assert (reply.error_code, reply.base_offset) == (ErrorCode.INVALID_RECORD, -1)
    assert reply.error_message == f"record 1: {REASON}"
    told = [(e.batch_index, e.batch_index_error_message) for e in reply.record_errors]
    assert told == [(1, REASON), (3, REASON)]
    assert shop.log.log_end_offset == 0


async def test_not_more_records_are_named_than_fit_into_an_answer(shop):
    reply = await shop.produce(batch(*[None] * 700, b"a", *[None] * 700))

    named = [error.batch_index for error in reply.record_errors]
    assert named == [*range(700), *range(701, 1_001)]


async def test_older_answers_say_it_by_their_code_alone(shop):
    reply = await shop.produce(batch(None), version=7)

    assert (reply.error_code, reply.error_message) == (ErrorCode.INVALID_RECORD, None)
    assert reply.record_errors == []


async def test_what_is_damaged_is_refused_as_such(shop):
    damaged = bytearray(batch(b"a", None))
    damaged[-1] ^= 1
    header = read_header(batch(b"a", b"b"))
    lying = make_batch(replace(header, record_count=2), b"nothing that a record is")

    for records in (bytes(damaged), lying):
        reply = await shop.produce(records)
        assert (reply.error_code, reply.record_errors) == (ErrorCode.CORRUPT_MESSAGE, [])
    assert shop.log.log_end_offset == 0


async def test_who_asks_for_no_answer_loses_the_connection_instead(shop):
    with pytest.raises(AssertionError, match="the broker closed the connection"):
        await shop.produce(batch(None), acks=0)
    assert shop.log.log_end_offset == 0


async def test_our_producer_says_why_and_goes_on(shop):
    with pytest.raises(DeliveryFailed, match="it has no key") as failed:
        await shop.producer.send(TOPIC, b"value")

    assert failed.value.cause.code is ErrorCode.INVALID_RECORD
    assert not failed.value.may_be_written
    assert (await shop.producer.send(TOPIC, b"value", key=b"k")).offset == 0


async def test_keys_are_asked_for_only_while_the_topic_is_compacted(shop):
    await shop.admin.alter_configs(ResourceType.TOPIC, TOPIC, {"cleanup.policy": "delete"})
    assert (await shop.producer.send(TOPIC, b"value")).offset == 0

    await shop.admin.alter_configs(ResourceType.TOPIC, TOPIC, {"cleanup.policy": "compact"})
    with pytest.raises(DeliveryFailed, match="it has no key"):
        await shop.producer.send(TOPIC, b"value")


async def test_a_batch_that_carries_a_delete_horizon_is_refused(shop):
    carrying = batch(b"k")
    header = read_header(carrying)
    carrying = make_batch(replace(header, attributes=header.attributes | 0x40), carrying[61:])

    reply = await shop.produce(carrying)

    assert reply.error_code == ErrorCode.INVALID_RECORD
    assert "delete horizon" in reply.error_message
    assert shop.log.log_end_offset == 0
