"""ListOffsets at a new leader: it does not guess, and says so in words that are understood."""

from __future__ import annotations

import pytest

from broker.catching_up import CatchingUp
from broker.handlers.list_offsets import CONSUMER_ID, LATEST, ListOffsetsHandler
from broker.partition import ACKS_ALL
from protocol.api.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from tests.support.leading_broker import TOPIC, LeadingBroker, context


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
