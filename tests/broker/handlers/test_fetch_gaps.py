"""Fetching from a log that was compacted: nobody waits for what is missing."""

from __future__ import annotations

import pytest
import trio

from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from protocol.batch import split_batches
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from tests.support.compacted import keep_only
from tests.support.leading_broker import PEER, PEER_EPOCH, TOPIC, US, LeadingBroker

SIZE = 5
END = 30
BASES = (0, 5, 10, 20, 25)
"""Where batches begin that are left; [15, 20) is gone, and all but 3 and 22 are empty."""


@pytest.fixture
async def broker():
    """Leads a compacted log, all of it committed; it ends with an empty batch."""
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    await broker.elect(0, PEER)
    for base in BASES:
        records = [Record(base + i, 0, b"k", b"v") for i in range(SIZE)]
        made = encode_batch(records, base_offset=base, leader_epoch=1)
        broker.partition(0).log.append_as_follower(keep_only(made, (3, 22)))
    await broker.elect(0, US)
    await broker.commit(0)
    assert broker.partition(0).high_watermark.value == END
    return broker


def request(broker, offset: int, *, follower=False, wait_ms=0, bytes_max=1 << 20) -> FetchRequest:
    asked = FetchPartition(
        partition=0,
        current_leader_epoch=broker.topic.partitions[0].leader_epoch,
        fetch_offset=offset,
        partition_max_bytes=bytes_max,
    )
    return FetchRequest(
        replica_state=ReplicaState(PEER, PEER_EPOCH) if follower else None,
        max_wait_ms=wait_ms,
        min_bytes=1,
        session_epoch=-1,
        topics=[FetchTopic(topic_id=broker.topic.topic_id, partitions=[asked])],
    )


async def fetch(broker, offset: int, **how):
    response = await broker.fetch(request(broker, offset, **how))
    (found,) = response.responses[0].partitions
    assert found.error_code == ErrorCode.NONE
    batches = split_batches(found.records.read_bytes(), check_crc=True) if found.records else []
    return [header for header, _ in batches]


@pytest.mark.parametrize("follower", [False, True])
async def test_whatever_offset_is_asked_for_the_next_batch_there_is_comes(broker, follower):
    for offset in range(END):
        (header,) = await fetch(broker, offset, follower=follower, bytes_max=1)
        assert header.base_offset == next(base for base in BASES if base + SIZE > offset)


@pytest.mark.parametrize("follower", [False, True])
async def test_reading_on_behind_each_batch_comes_to_the_end(broker, follower):
    offset, seen = 0, []
    while headers := await fetch(broker, offset, follower=follower, bytes_max=70):
        seen += [header.base_offset for header in headers]
        offset = headers[-1].next_offset

    assert (tuple(seen), offset) == (BASES, END)


async def test_behind_an_empty_last_batch_a_consumer_waits_for_news(broker, autojump_clock):
    assert await fetch(broker, 25, wait_ms=500) != []
    assert trio.current_time() == 0

    assert await fetch(broker, END, wait_ms=500) == []
    assert trio.current_time() == pytest.approx(0.5)


async def test_a_gap_below_the_high_watermark_is_no_reason_to_refuse(broker):
    response = await broker.fetch(request(broker, END + 1))
    assert response.responses[0].partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE

    broker.trim(0, 17)  # in the middle of what is gone
    (header, *_) = await fetch(broker, 17)
    assert header.base_offset == 20
    assert broker.partition(0).log.log_start_offset == 17
    assert broker.partitions.get(TOPIC, 0).high_watermark.value == END
