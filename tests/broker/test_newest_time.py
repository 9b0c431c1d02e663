"""Batches whose header may be wrong about their newest record's time: they are given it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from broker.catching_up import CatchingUp
from broker.handlers.list_offsets import CONSUMER_ID, MAX_TIMESTAMP, ListOffsetsHandler
from broker.log.config import LogConfig
from broker.newest_time import set_newest_time
from broker.opening import Opening
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.batch import HEADER_BYTES, make_batch, read_header, split_batches
from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode
from protocol.records import Record, data_of, decode_batch, encode_batch
from tests.support.leading_broker import TOPIC, LeadingBroker, context

DAY_MS = 24 * 3600 * 1000


NOW_MS = 100 * DAY_MS
OLD, NEW = 8, 9
"""Versions of Produce: before it was flexible, and since."""


def timeless(
    *times_ms: int, kind: Compression = Compression.NONE, newest_ms: int = -1, **said: int
) -> bytes:
    """Encode records of these times; the header has another one for the newest."""
    records = [Record(n, time_ms, b"key", b"value", ()) for n, time_ms in enumerate(times_ms)]
    batch = encode_batch(records, compression=kind, **said)
    return make_batch(replace(read_header(batch), max_timestamp=newest_ms), batch[HEADER_BYTES:])


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    return broker


@pytest.fixture
def produce(broker):
    handler = broker.new_produce_handler()

    async def produce(batch: bytes, *, version: int = NEW) -> ErrorCode:
        data = TopicProduceData(TOPIC, [PartitionProduceData(0, memoryview(batch))])
        outcome = handler(ProduceRequest(acks=1, topic_data=[data]), context(version))
        await broker.commit(0)
        return ErrorCode(outcome.response().responses[0].partition_responses[0].error_code)

    return produce


@pytest.fixture
def opened_batches(monkeypatch):
    unfolded = []
    monkeypatch.setattr(
        "broker.opening.data_of",
        lambda header, batch: unfolded.append(batch) or data_of(header, batch),
    )
    return unfolded


async def look_up(broker: LeadingBroker, timestamp: int) -> tuple[int, int]:
    asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
    request = ListOffsetsRequest(replica_id=CONSUMER_ID, topics=[ListOffsetsTopic(TOPIC, [asked])])
    handler = ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))
    found = (await handler(request, context(7))).topics[0].partitions[0]
    return found.offset, found.timestamp


@pytest.mark.parametrize("kind", Compression)
def test_records_and_all_else_that_the_header_says_stay(kind):
    said = {"producer_id": 4711, "producer_epoch": 3, "base_sequence": 8}
    sent = timeless(1_000, 1_005, 1_003, kind=kind, **said)

    ((header, got),) = split_batches(set_newest_time(memoryview(sent), Opening()), check_crc=True)

    assert replace(header, max_timestamp=-1, crc=0) == replace(read_header(sent), crc=0)
    assert header.max_timestamp == 1_005
    assert decode_batch(got) == decode_batch(sent)


@pytest.mark.parametrize("position", [30, 70])
def test_damage_is_not_given_a_new_checksum(position):
    damaged = bytearray(timeless(1_000))
    damaged[position] ^= 1

    with pytest.raises(CorruptBatch):
        set_newest_time(memoryview(damaged), Opening())


@pytest.mark.parametrize("kind", Compression)
async def test_its_records_are_found_by_time(broker, produce, kind):
    assert await produce(timeless(1_000, 1_005, 1_003, kind=kind)) is ErrorCode.NONE
    assert await produce(timeless(1_010, kind=kind)) is ErrorCode.NONE

    assert await look_up(broker, 1_000) == (0, 1_000)
    assert await look_up(broker, 1_004) == (1, 1_005)
    assert await look_up(broker, 1_006) == (3, 1_010)
    assert await look_up(broker, MAX_TIMESTAMP) == (3, 1_010)


async def test_young_records_outlive_an_old_one_in_their_segment(broker, produce):
    assert await produce(encode_batch([Record(0, 0, None, b"of another client", ())])) is (
        ErrorCode.NONE
    )
    for day in range(1, 9):  # retention.ms is seven days
        broker.wall_ms = day * DAY_MS
        assert await produce(timeless(broker.wall_ms)) is ErrorCode.NONE

    broker.partition(0).apply_retention()

    assert broker.partition(0).log.log_start_offset == 0


async def test_records_without_a_time_of_their_own_outlive_those_that_had_one(broker, produce):
    broker.wall_ms = NOW_MS
    old_ms = NOW_MS - 8 * DAY_MS  # retention.ms is seven days
    sent = timeless(old_ms, NOW_MS, NOW_MS, newest_ms=old_ms)  # as kafkajs sends it
    assert await produce(sent, version=OLD) is ErrorCode.NONE

    broker.partition(0).apply_retention()

    assert broker.partition(0).log.log_start_offset == 0
    assert await look_up(broker, NOW_MS - 1) == (1, NOW_MS)


async def test_the_time_that_is_set_is_held_against_the_clock(produce):
    assert await produce(timeless(0, 2 * DAY_MS)) is ErrorCode.INVALID_TIMESTAMP


@pytest.mark.parametrize(
    ("version", "ago_ms", "opened"),
    [(OLD, 60_000, 1), (OLD, 4_000, 0), (NEW, 60_000, 0)],
    ids=["old-and-past", "old-and-present", "new"],
)
async def test_old_clients_are_believed_of_the_present_only(
    broker, produce, opened_batches, version, ago_ms, opened
):
    broker.wall_ms = NOW_MS
    then_ms = NOW_MS - ago_ms

    assert await produce(timeless(then_ms - 9, then_ms, newest_ms=then_ms), version=version) is (
        ErrorCode.NONE
    )
    assert len(opened_batches) == opened


async def test_a_single_record_is_not_looked_at_where_it_is_the_newest(
    broker, produce, opened_batches
):
    broker.wall_ms = NOW_MS

    assert await produce(timeless(1_000, newest_ms=1_000), version=OLD) is ErrorCode.NONE
    assert await produce(timeless(1_000, newest_ms=1_007), version=OLD) is ErrorCode.NONE

    assert len(opened_batches) == 1
    assert await look_up(broker, MAX_TIMESTAMP) == (0, 1_000)


@pytest.mark.parametrize(
    ("config", "batch", "opened"),
    [
        ({}, timeless(1_000, 1_001), 1),
        ({}, timeless(1_000, 1_001, newest_ms=999), 1),
        ({"cleanup.policy": "compact", "compression.type": "lz4"}, timeless(1_000), 1),
        ({}, timeless(1_000, 1_001, newest_ms=1_001), 0),
        ({}, timeless(-1), 0),
        ({"message.timestamp.type": "LogAppendTime"}, timeless(1_000), 0),
    ],
    ids=["unset", "before-the-first", "opened-anyway", "set", "without-times", "stamped-here"],
)
async def test_a_batch_is_opened_once_and_only_where_its_time_is_missing(
    broker, produce, opened_batches, config, batch, opened
):
    broker.partition(0).log.reconfigure(LogConfig.of(config))

    assert await produce(batch) is ErrorCode.NONE
    assert len(opened_batches) == opened
