"""What one request may have unfolded: so many records and bytes; what is beyond comes again."""

from __future__ import annotations

import pytest

from broker.log.admission import OPENED_RECORDS_MAX
from broker.log.config import LogConfig
from broker.opening import OPENED_BYTES_MAX, OpenedEnough, Opening
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.batch import make_batch, read_header
from protocol.compression import Compression
from protocol.errors import CorruptBatch, ErrorCode
from protocol.records import Record, encode_batch
from tests.support.leading_broker import TOPIC, LeadingBroker, context

PARTITIONS = 4
BIG = encode_batch(
    [Record(0, 0, b"key", bytes(OPENED_BYTES_MAX // 2), ())], compression=Compression.ZSTD
)
SMALL = encode_batch([Record(n, 0, b"key", b"", ()) for n in range(3)])


@pytest.fixture
async def produce():
    """Have batches appended, one for each partition of a compacted topic. Gives: the codes."""
    broker = LeadingBroker(partitions=PARTITIONS)
    await broker.obey()
    for index in range(PARTITIONS):
        broker.partition(index).log.reconfigure(LogConfig.of({"cleanup.policy": "compact"}))
    handler = broker.new_produce_handler()

    def produce(**batches: bytes) -> list[ErrorCode]:
        data = [
            PartitionProduceData(int(name[1:]), memoryview(batch))
            for name, batch in batches.items()
        ]
        request = ProduceRequest(acks=1, topic_data=[TopicProduceData(TOPIC, data)])
        (topic,) = handler(request, context()).response().responses
        return [ErrorCode(reply.error_code) for reply in topic.partition_responses]

    return produce


def test_records_are_counted_over_the_whole_request():
    batch = memoryview(SMALL)
    fits = Opening(records=OPENED_RECORDS_MAX - 3)

    assert fits.data_of(read_header(batch), batch)
    with pytest.raises(OpenedEnough):
        Opening(records=OPENED_RECORDS_MAX - 2).data_of(read_header(batch), batch)


def test_a_batch_that_is_looked_into_for_several_reasons_counts_once():
    opening, batch = Opening(), memoryview(SMALL)

    first = opening.data_of(read_header(batch), batch)

    assert opening.data_of(read_header(batch), batch) is first
    assert (opening.records, opening.size_bytes) == (3, len(first))


def test_what_fails_to_unfold_counts_as_the_most_that_it_may_have_become():
    opening = Opening()
    header = read_header(encode_batch([Record(0, 0, None, None, ())], compression=Compression.ZSTD))
    damaged = memoryview(make_batch(header, b"no zstd"))
    with pytest.raises(CorruptBatch):
        opening.data_of(read_header(damaged), damaged)

    with pytest.raises(OpenedEnough):
        opening.data_of(read_header(SMALL), memoryview(SMALL))


async def test_what_is_beyond_comes_again_in_another_request(produce):
    assert produce(p0=BIG, p1=BIG, p2=SMALL, p3=SMALL) == [
        ErrorCode.NONE,
        ErrorCode.NONE,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.LEADER_NOT_AVAILABLE,
    ]
    assert produce(p2=SMALL, p3=SMALL) == [ErrorCode.NONE] * 2


async def test_a_producer_keeps_its_order_where_some_of_it_comes_again(produce):
    said = {"producer_id": 4711, "producer_epoch": 0}
    records = [Record(0, 0, b"key", b"", ())]
    first, second = (encode_batch(records, base_sequence=n, **said) for n in range(2))
    again = ErrorCode.LEADER_NOT_AVAILABLE

    assert produce(p0=BIG, p1=BIG, p2=first)[2] is again
    assert produce(p2=second) == [again]
    assert produce(p2=first) == produce(p2=second) == [ErrorCode.NONE]
