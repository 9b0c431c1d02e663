"""ListOffsets: a new leader does not guess, look-ups by time give others their turn."""

from __future__ import annotations

import pytest

from broker.catching_up import CatchingUp
from broker.handlers.list_offsets import CONSUMER_ID, LATEST, MAX_TIMESTAMP, ListOffsetsHandler
from broker.partition import ACKS_ALL
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from tests.support.leading_broker import TOPIC, LeadingBroker, context
from tests.support.turns import taking_turns


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (1, ErrorCode.LEADER_NOT_AVAILABLE),
        (4, ErrorCode.LEADER_NOT_AVAILABLE),
        (5, ErrorCode.OFFSET_NOT_AVAILABLE),
        (10, ErrorCode.OFFSET_NOT_AVAILABLE),
    ],
)
async def test_a_leader_that_knows_no_end_says_so_in_words_of_the_version(version, code):
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    batch = encode_batch([Record(0, 0, None, b"not committed yet", ())])
    broker.partitions.get(TOPIC, 0).append(memoryview(batch), acks=ACKS_ALL)
    await broker.elect(0)
    asked = ListOffsetsPartition(partition_index=0, timestamp=LATEST)
    request = ListOffsetsRequest(replica_id=CONSUMER_ID, topics=[ListOffsetsTopic(TOPIC, [asked])])

    response = ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))(
        request, context(version)
    )

    assert response.topics[0].partitions[0].error_code == code


@pytest.mark.parametrize("timestamp", [0, MAX_TIMESTAMP])
async def test_look_ups_by_time_give_others_their_turn_after_each_partition(timestamp):
    broker = LeadingBroker(partitions=20)
    await broker.obey()
    for index in range(20):
        await broker.write(index)
    asked = [
        ListOffsetsPartition(partition_index=index, timestamp=timestamp) for index in range(20)
    ]
    request = ListOffsetsRequest(replica_id=CONSUMER_ID, topics=[ListOffsetsTopic(TOPIC, asked)])

    async with taking_turns() as turns:
        response = await ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))(
            request, context(7)
        )

    assert [found.offset for found in response.topics[0].partitions] == [0] * 20
    assert turns.count >= 18


async def test_where_logs_end_is_told_at_once():
    broker = LeadingBroker(partitions=2)
    await broker.obey()
    asked = [ListOffsetsPartition(partition_index=index, timestamp=LATEST) for index in range(2)]
    request = ListOffsetsRequest(replica_id=CONSUMER_ID, topics=[ListOffsetsTopic(TOPIC, asked)])

    response = ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))(request, context(7))

    assert isinstance(response, ListOffsetsResponse)


@pytest.mark.parametrize("timestamps", [(LATEST, LATEST), (LATEST, 0), (0, 0)])
async def test_a_partition_that_is_named_twice_is_refused_once_and_the_others_are_answered(
    timestamps,
):
    broker = LeadingBroker(partitions=2)
    await broker.obey()
    for index in range(2):
        await broker.write(index)
    once = ListOffsetsPartition(partition_index=1, timestamp=0)
    first, again = (ListOffsetsPartition(partition_index=0, timestamp=t) for t in timestamps)
    request = ListOffsetsRequest(
        replica_id=CONSUMER_ID,
        topics=[ListOffsetsTopic(TOPIC, [first, once]), ListOffsetsTopic(TOPIC, [again])],
    )

    response = await ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))(
        request, context(7)
    )

    told = [(found.partition_index, found.error_code) for found in response.topics[0].partitions]
    assert told == [(0, ErrorCode.INVALID_REQUEST), (1, ErrorCode.NONE)]
    assert not response.topics[1].partitions
