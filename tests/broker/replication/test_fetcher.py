"""A follower's loop against a leader that is played by the test."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

import pytest
import trio

from broker.config import ReplicationConfig
from broker.log.config import LogConfig
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition import Partition, PartitionContext
from broker.replication.fetcher import LeaderFetcher
from coordinator.cluster import PartitionState
from protocol.api.fetch import (
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)
from protocol.api.offset_for_leader_epoch import OffsetForLeaderEpochResponse
from protocol.batch import assign
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk

US, LEADER = 1, 2
TOPIC_ID = bytes(range(16))
ASKED_MAX = 1000
"""Requests after which a loop without end is taken for one."""


class Leader:
    """Answers every fetch: `answer(partition index)` after `delay_s`, or the whole long poll."""

    def __init__(self) -> None:
        self.asked: list[FetchRequest] = []
        self.answer = PartitionData
        self.delay_s: float | None = None
        self.before_epochs = lambda: None

    @asynccontextmanager
    async def connect(self, leader_id: int):
        yield self

    async def call(self, request, *, version: int, timeout_s: float):
        if not isinstance(request, FetchRequest):
            await trio.lowlevel.checkpoint()
            self.before_epochs()
            return OffsetForLeaderEpochResponse()
        self.asked.append(request)
        assert len(self.asked) < ASKED_MAX, "asks without end"
        await trio.sleep(request.max_wait_ms / 1000 if self.delay_s is None else self.delay_s)
        return FetchResponse(
            responses=[
                FetchableTopicResponse(
                    topic_id=topic.topic_id,
                    partitions=[self.answer(partition_index=p.partition) for p in topic.partitions],
                )
                for topic in request.topics
            ]
        )


@pytest.fixture
def leader():
    return Leader()


@pytest.fixture
def fetcher(leader):
    return LeaderFetcher(
        LEADER,
        broker_id=US,
        broker_epoch=lambda: 7,
        connect=leader.connect,
        config=ReplicationConfig(),
    )


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(5))
    disk.make_directory("/data")
    return disk


@pytest.fixture
async def flusher(disk, nursery):
    flusher = Flusher(disk)
    nursery.start_soon(flusher.run)
    return flusher


@pytest.fixture
def follower(disk, flusher):
    """Make replicas of `orders` that follow the leader, under epoch 3."""

    def make(index: int = 0) -> Partition:
        log = Log.create(
            disk, f"/data/orders-{index}", LogConfig(), topic_id=TOPIC_ID, wall_ms=lambda: 0
        )
        context = PartitionContext(
            broker_id=US,
            flusher=flusher,
            lease_held=lambda: True,
            storage_failed=lambda error: None,
            isr_due=lambda _: None,
        )
        partition = Partition("orders", index, topic_id=TOPIC_ID, log=log, context=context)
        partition.apply(led_by(LEADER, leader_epoch=3), broker_epoch=7, min_isr=1)
        return partition

    return make


def led_by(leader_id: int, *, leader_epoch: int) -> PartitionState:
    return PartitionState(
        replicas=(US, LEADER, 3),
        leader_id=leader_id,
        leader_epoch=leader_epoch,
        isr=(US, LEADER, 3),
        partition_epoch=leader_epoch,
        leader_broker_epoch=7,
    )


def batch(count: int, *, base_offset: int, leader_epoch: int) -> memoryview:
    data = bytearray(encode_batch([Record(i, 0, None, b"value", ()) for i in range(count)]))
    assign(data, base_offset=base_offset, leader_epoch=leader_epoch)
    return memoryview(data)


async def test_a_pause_that_is_almost_over_is_waited_for_at_the_leader(
    leader, fetcher, follower, nursery, autojump_clock
):
    def refuse_the_second(*, partition_index: int) -> PartitionData:
        refused = partition_index == 1
        return PartitionData(
            partition_index=partition_index,
            error_code=ErrorCode.NOT_LEADER_OR_FOLLOWER if refused else ErrorCode.NONE,
        )

    leader.answer = refuse_the_second
    await trio.sleep(0.7183)
    fetcher.follow(follower(0))
    fetcher.follow(follower(1))
    nursery.start_soon(fetcher.run)
    await trio.sleep(10)

    assert min(request.max_wait_ms for request in leader.asked) > 0


async def test_a_partition_given_up_while_it_is_reconciled_ends_no_loop(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition = follower()
    partition.append_from_leader(batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    leader.before_epochs = lambda: fetcher.forget(partition)
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    fetcher.follow(other := follower(1))
    await trio.sleep(1)

    assert {p.partition for r in leader.asked for t in r.topics for p in t.partitions} == {
        other.index
    }


async def test_one_that_leads_now_acknowledges_nothing_to_the_leader_of_before(
    leader, fetcher, follower, disk, nursery, autojump_clock
):
    moving, staying = follower(0), follower(1)
    for partition in (moving, staying):
        partition.needs_reconciling = False
        fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(0.1)
    disk.sync_latency_s = lambda: 60.0
    moving.append_from_leader(batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    await trio.sleep(1)

    moving.apply(led_by(US, leader_epoch=4), broker_epoch=7, min_isr=1)
    fetcher.forget(moving)
    await trio.sleep(100)

    assert moving.log.log_end_offset == 3
    offsets = [
        p.fetch_offset
        for request in leader.asked
        for topic in request.topics
        for p in topic.partitions
        if p.partition == moving.index
    ]
    assert set(offsets) == {0}


async def test_an_empty_log_that_begins_beyond_the_leaders_begins_anew(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition = follower()
    partition.restart_log(500)

    def known_to_200(*, partition_index: int) -> PartitionData:
        beyond = leader.asked[-1].topics[0].partitions[0].fetch_offset > 200
        code = ErrorCode.OFFSET_OUT_OF_RANGE if beyond else ErrorCode.NONE
        return PartitionData(partition_index=partition_index, error_code=code, log_start_offset=100)

    leader.answer = known_to_200
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    assert partition.log.log_end_offset == 100


async def test_what_a_full_disk_refuses_is_asked_for_less_and_less_often(
    leader, fetcher, follower, disk, nursery, autojump_clock
):
    partition = follower()
    await partition.durable.wait_reached(0)
    leader.delay_s = 0.0
    leader.answer = lambda **asked: PartitionData(
        records=batch(1, base_offset=0, leader_epoch=3), **asked
    )
    disk.capacity_bytes = 0
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(60)

    # A second apart in the end (replica.fetch.backoff.ms), after some quicker tries.
    assert 50 < len(leader.asked) < 75
    assert partition.log.log_end_offset == 0
