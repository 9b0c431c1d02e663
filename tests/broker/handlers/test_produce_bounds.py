"""What one Produce may hold, and how much its answer says."""

from __future__ import annotations

import pytest

from broker.errors import RefusedRecords
from broker.handlers import produce as produce_module
from broker.handlers.delayed_produce import refuse_partition
from protocol.api.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from protocol.codec import decode, encode_bytes
from protocol.errors import ErrorCode, ProtocolError
from protocol.records import Record, encode_batch
from tests.support.leading_broker import TOPIC, LeadingBroker, context

VERSION = 12
BATCH = memoryview(encode_batch([Record(0, 0, None, b"value", ())]))
LONGEST = "\u20ac" * (0x7FFF // 3)


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=4)
    await broker.obey()
    return broker


def asking(**topics: int) -> ProduceRequest:
    """Ask to have one batch appended to each of so many partitions."""
    data = [
        TopicProduceData(name, [PartitionProduceData(index, BATCH) for index in range(count)])
        for name, count in topics.items()
    ]
    return ProduceRequest(acks=1, topic_data=data)


def written(response: ProduceResponse) -> ProduceResponse:
    return decode(ProduceResponse, VERSION, encode_bytes(response, VERSION))


async def test_a_request_of_too_many_batches_is_refused_before_any_is_appended(broker, monkeypatch):
    monkeypatch.setattr(produce_module, "BATCHES_MAX", 5)
    handler = broker.new_produce_handler()

    with pytest.raises(ProtocolError, match="6 batches came, 5 are accepted"):
        handler(asking(**{TOPIC: 3, "others": 3}), context())

    assert [broker.partition(index).log.log_end_offset for index in range(4)] == [0] * 4
    handler(asking(**{TOPIC: 3, "others": 2}), context())
    assert [broker.partition(index).log.log_end_offset for index in range(4)] == [1, 1, 1, 0]


async def test_a_topic_of_the_longest_name_does_not_cost_the_answer_of_the_others(broker):
    outcome = broker.new_produce_handler()(asking(**{TOPIC: 1, LONGEST: 1}), context())
    await broker.commit(0)

    answer = written(outcome.response())

    told = {topic.name: topic.partition_responses[0] for topic in answer.responses}
    assert told[TOPIC].error_code == ErrorCode.NONE
    assert told[LONGEST].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert told[LONGEST].error_message.startswith("there is no partition \u20ac")
    assert "\u20ac...\u20ac" in told[LONGEST].error_message


def test_a_records_reason_that_is_longer_than_a_string_is_cut():
    reply = PartitionProduceResponse()
    refuse_partition(reply, RefusedRecords("record 3: refused", {3: LONGEST + LONGEST}))

    answer = written(ProduceResponse([TopicProduceResponse(TOPIC, [reply])]))

    ((told,),) = ([r.record_errors for r in t.partition_responses] for t in answer.responses)
    assert [each.batch_index for each in told] == [3]
    assert "\u20ac...\u20ac" in told[0].batch_index_error_message
