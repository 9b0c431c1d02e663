"""Batches that are stored as their topic asks to have them compressed."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from broker.log.admission import OPENED_RECORDS_MAX
from broker.log.config import COMPRESSION_TYPES, PRODUCER, LogConfig
from broker.opening import Opening
from broker.recompression import KINDS, recompress
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.batch import make_batch, read_header, split_batches
from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode
from protocol.records import Record, decode_batch, encode_batch
from tests.support.leading_broker import PEER, TOPIC, LeadingBroker, context

RECORDS = [
    Record(0, 1_000, b"key", b"value " * 100, (("header", b"1"),)),
    Record(1, 1_003, None, None, ()),
    Record(2, 1_001, b"", b"", (("header", None),)),
]


def batch(kind: Compression, **said: int) -> bytes:
    return encode_batch(RECORDS, compression=kind, **said)


def stored(broker: LeadingBroker) -> list[Compression]:
    log = broker.partition(0).log
    data = log.read(0, bytes_max=1 << 20, end_offset=log.log_end_offset).read_bytes()
    return [header.compression for header, _ in split_batches(data)]


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    return broker


@pytest.fixture
def produce(broker):
    handler = broker.new_produce_handler()

    def produce(records: bytes) -> ErrorCode:
        data = TopicProduceData(TOPIC, [PartitionProduceData(0, memoryview(records))])
        outcome = handler(ProduceRequest(acks=1, topic_data=[data]), context())
        return ErrorCode(outcome.response().responses[0].partition_responses[0].error_code)

    return produce


def test_every_value_but_one_stands_for_a_compression():
    assert KINDS.keys() == set(COMPRESSION_TYPES) - {PRODUCER}
    assert set(KINDS.values()) == set(Compression)


@pytest.mark.parametrize(("wanted", "sent"), list(product(sorted(KINDS), Compression)))
def test_records_and_all_that_the_header_says_stay(wanted, sent):
    said = {"producer_id": 4711, "producer_epoch": 3, "base_sequence": 8}
    sent_batch = batch(sent, **said)

    ((header, got),) = split_batches(
        recompress(memoryview(sent_batch), wanted, Opening()), check_crc=True
    )

    assert header.compression is KINDS[wanted]
    assert decode_batch(got) == RECORDS
    before = read_header(sent_batch)
    for name in (*said, "base_timestamp", "max_timestamp", "last_offset_delta", "record_count"):
        assert getattr(header, name) == getattr(before, name), name
    assert header.timestamp_type is before.timestamp_type


def test_what_is_compressed_so_already_is_not_touched():
    sent = memoryview(batch(Compression.LZ4))
    assert recompress(sent, "lz4", Opening()) is sent


@pytest.mark.parametrize("position", [30, 70])
def test_damage_is_not_given_a_new_checksum(position):
    damaged = bytearray(batch(Compression.GZIP))
    damaged[position] ^= 1
    with pytest.raises(CorruptBatch):
        recompress(memoryview(damaged), "zstd", Opening())


async def test_a_produced_batch_is_stored_as_the_topic_asks(broker, produce):
    assert produce(batch(Compression.GZIP)) is ErrorCode.NONE
    broker.partition(0).log.reconfigure(LogConfig.of({"compression.type": "lz4"}))
    assert produce(batch(Compression.GZIP)) is ErrorCode.NONE
    await broker.flusher.flush([broker.partition(0)])

    assert stored(broker) == [Compression.GZIP, Compression.LZ4]


async def test_the_size_that_counts_is_that_on_disk_as_well(broker, produce):
    sent = batch(Compression.GZIP)
    config = {"compression.type": "uncompressed", "max.message.bytes": str(len(sent))}
    broker.partition(0).log.reconfigure(LogConfig.of(config))

    assert produce(sent) is ErrorCode.MESSAGE_TOO_LARGE
    assert broker.partition(0).log.log_end_offset == 0


async def test_whoever_does_not_lead_has_nothing_to_say_of_records(broker, produce):
    broker.partition(0).log.reconfigure(LogConfig.of({"compression.type": "zstd"}))
    await broker.elect(0, PEER)
    damaged = bytearray(batch(Compression.GZIP))
    damaged[-1] ^= 1

    assert produce(bytes(damaged)) is ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        ({"max.message.bytes": "100"}, ErrorCode.MESSAGE_TOO_LARGE),
        ({"segment.bytes": "100"}, ErrorCode.RECORD_LIST_TOO_LARGE),
        ({}, ErrorCode.INVALID_RECORD),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "opens", [{"compression.type": "uncompressed"}, {"cleanup.policy": "compact"}], ids=str
)
async def test_what_its_header_refuses_is_not_unfolded(broker, produce, config, opens, refusal):
    broker.partition(0).log.reconfigure(LogConfig.of({**opens, **config}))
    header = replace(
        read_header(batch(Compression.GZIP)),
        record_count=OPENED_RECORDS_MAX + 1,
        last_offset_delta=OPENED_RECORDS_MAX,
    )

    assert produce(make_batch(header, b"nothing that unfolds" * 10)) is refusal


async def test_several_batches_are_refused_before_they_are_unfolded(broker, produce):
    broker.partition(0).log.reconfigure(LogConfig.of({"compression.type": "zstd"}))

    assert produce(batch(Compression.GZIP) * 2) is ErrorCode.INVALID_RECORD
