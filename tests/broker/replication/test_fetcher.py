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
from broker.partition import Partition
from broker.partition_context import PartitionContext
from broker.replication.fetcher import LeaderFetcher
from broker.replication.following import append_from_leader, restart_log
from broker.replication.throttle import Throttle, Throttles
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
    """Answers every fetch: `answer(partition index)` after `delay_s`, or the whole long poll.

    With `grants_sessions` it remembers what it was asked for, and answers for all of it.
    """

    def __init__(self) -> None:
        self.asked: list[FetchRequest] = []
        self.answer = PartitionData
        self.delay_s: float | None = None
        self.before_epochs = lambda: None
        self.grants_sessions = False
        self.refusals: list[ErrorCode] = []
        self.sessions_begun = 0
        self.session: dict[tuple[bytes, int], int] = {}
        """The offset of each partition in the session."""

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
        if request.session_epoch == 0:
            self.session.clear()
        for topic in request.topics:
            for asked in topic.partitions:
                self.session[topic.topic_id, asked.partition] = asked.fetch_offset
        for topic in request.forgotten_topics_data:
            for index in topic.partitions:
                del self.session[topic.topic_id, index]
        await trio.sleep(request.max_wait_ms / 1000 if self.delay_s is None else self.delay_s)
        if self.refusals:
            return FetchResponse(error_code=self.refusals.pop(0))
        if request.session_epoch == 0 and self.grants_sessions:
            self.sessions_begun += 1
        return FetchResponse(
            session_id=self.sessions_begun,
            responses=[
                FetchableTopicResponse(
                    topic_id=topic_id, partitions=[self.answer(partition_index=index)]
                )
                for topic_id, index in self.session
                if self.answer is not PartitionData or request.session_epoch == 0
            ],
        )

    def named(self) -> list[dict[int, int]]:
        """Give the partitions that each request named, with their offsets."""
        return [
            {p.partition: p.fetch_offset for t in request.topics for p in t.partitions}
            for request in self.asked
        ]

    def forgotten(self) -> list[list[int]]:
        """Give the partitions that each request forgot."""
        return [
            [index for topic in request.forgotten_topics_data for index in topic.partitions]
            for request in self.asked
        ]


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
            throttles=Throttles(),
            isr_due=lambda _: None,
        )
        partition = Partition("orders", index, topic_id=TOPIC_ID, log=log, context=context)
        partition.apply(led_by(LEADER, leader_epoch=3), broker_epoch=7, min_isr=1)
        return partition

    return make


def led_by(
    leader_id: int, *, leader_epoch: int, isr: tuple[int, ...] = (US, LEADER, 3)
) -> PartitionState:
    return PartitionState(
        replicas=(US, LEADER, 3),
        leader_id=leader_id,
        leader_epoch=leader_epoch,
        isr=isr,
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
    append_from_leader(partition, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
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
    append_from_leader(moving, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
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
    restart_log(partition, 500)

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


# Sessions.


@pytest.fixture
def leader_with_sessions(leader):
    leader.grants_sessions = True
    return leader


async def test_only_the_first_fetch_of_a_session_names_what_does_not_change(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    for index in range(3):
        fetcher.follow(follower(index))
    nursery.start_soon(fetcher.run)
    await trio.sleep(5)

    assert leader_with_sessions.named()[0] == {0: 0, 1: 0, 2: 0}
    assert not any(leader_with_sessions.named()[1:])
    assert [r.session_epoch for r in leader_with_sessions.asked] == list(
        range(len(leader_with_sessions.asked))
    )


async def test_a_fetch_names_what_was_appended_since_once_it_is_durable(
    leader_with_sessions, fetcher, follower, disk, nursery, autojump_clock
):
    leader = leader_with_sessions
    partitions = [follower(index) for index in range(3)]
    for partition in partitions:
        fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    disk.sync_latency_s = lambda: 3.0

    def one_batch(*, partition_index: int) -> PartitionData:
        first = partition_index == 1 and partitions[1].log.log_end_offset == 0
        records = batch(3, base_offset=0, leader_epoch=3) if first else b""
        return PartitionData(partition_index=partition_index, records=records)

    leader.answer = one_batch
    await trio.sleep(1)
    appended_after = len(leader.asked)
    leader.answer = PartitionData
    await trio.sleep(2)
    assert len(leader.asked) == appended_after, "asked before it was durable"
    await trio.sleep(2)

    assert leader.named()[appended_after] == {1: 3}
    assert leader.session[TOPIC_ID, 1] == 3


async def test_a_partition_that_is_no_longer_followed_is_forgotten(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    staying, leaving = follower(0), follower(1)
    fetcher.follow(staying)
    fetcher.follow(leaving)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    fetcher.forget(leaving)
    await trio.sleep(1)

    assert [1] in leader_with_sessions.forgotten()
    assert list(leader_with_sessions.session) == [(TOPIC_ID, 0)]


async def test_a_partition_that_pauses_is_forgotten_and_named_again(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    leader = leader_with_sessions
    refused = [1]

    def refuse_once(*, partition_index: int) -> PartitionData:
        error = ErrorCode.NOT_LEADER_OR_FOLLOWER if partition_index in refused else ErrorCode.NONE
        refused.clear()
        return PartitionData(partition_index=partition_index, error_code=error)

    leader.answer = lambda **asked: (
        refuse_once(**asked) if asked["partition_index"] else (PartitionData(**asked))
    )
    fetcher.follow(follower(0))
    fetcher.follow(follower(1))
    nursery.start_soon(fetcher.run)
    await trio.sleep(3)

    assert leader.forgotten()[1] == [1]
    assert {1: 0} in leader.named()[1:]
    assert set(leader.session) == {(TOPIC_ID, 0), (TOPIC_ID, 1)}


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    ],
)
async def test_when_its_session_is_gone_a_fetcher_begins_another_at_once(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock, code
):
    leader = leader_with_sessions
    for index in range(2):
        fetcher.follow(follower(index))
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    leader.refusals = [code]
    await trio.sleep(2)

    refused_at = next(i for i, r in enumerate(leader.asked) if i and r.session_epoch == 0) - 1
    renewed = leader.asked[refused_at + 1]
    assert leader.named()[refused_at + 1] == {0: 0, 1: 0}
    ended = 0 if code is ErrorCode.FETCH_SESSION_ID_NOT_FOUND else 1
    assert renewed.session_id == ended, "what may still be there is ended"
    assert leader.asked[-1].session_epoch > 0


async def test_a_new_leader_epoch_is_named_in_full_on_a_new_connection(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    leader = leader_with_sessions
    moving, staying = follower(0), follower(1)
    fetcher.follow(moving)
    fetcher.follow(staying)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    moving.apply(led_by(LEADER, leader_epoch=4), broker_epoch=7, min_isr=1)
    fetcher.follow(moving)
    await trio.sleep(1)

    in_full = [r for r in leader.asked if r.session_epoch == 0]
    assert len(in_full) == 2
    epochs = {p.partition: p.current_leader_epoch for p in in_full[-1].topics[0].partitions}
    assert epochs == {0: 4, 1: 3}


async def test_one_that_leads_now_is_not_left_in_the_session_of_the_leader_of_before(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    moving, staying = follower(0), follower(1)
    fetcher.follow(moving)
    fetcher.follow(staying)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    moving.apply(led_by(US, leader_epoch=4), broker_epoch=7, min_isr=1)
    fetcher.forget(moving)
    await trio.sleep(1)

    assert list(leader_with_sessions.session) == [(TOPIC_ID, 1)]


async def test_where_a_log_starts_is_told_again_once_it_is_noted(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    partition, other = follower(0), follower(1)
    restart_log(partition, 5)
    fetcher.follow(partition)
    fetcher.follow(other)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    began_with = len(leader_with_sessions.asked)

    assert partition.log_start_noted(5)
    fetcher.touch(partition)
    await trio.sleep(1.2)

    (told,) = [
        p
        for request in leader_with_sessions.asked[began_with:]
        for topic in request.topics
        for p in topic.partitions
    ]
    assert (told.partition, told.fetch_offset, told.log_start_offset) == (0, 5, 5)


# Throttles.


@pytest.fixture
def catching_up(follower):
    """Make a replica that is out of sync, and held back by a throttle."""

    def make(index: int, throttle: Throttle) -> Partition:
        partition = follower(index)
        out_of_sync = led_by(LEADER, leader_epoch=4, isr=(LEADER, 3))
        partition.apply(out_of_sync, broker_epoch=7, min_isr=1)
        partition.needs_reconciling = False
        partition.throttles = Throttles(follower=throttle)
        return partition

    return make


async def test_a_replica_that_is_held_back_is_left_out_for_as_long_and_named_again(
    leader_with_sessions, fetcher, follower, catching_up, nursery, autojump_clock
):
    leader = leader_with_sessions
    size = len(batch(1, base_offset=0, leader_epoch=4))
    slow, quick = catching_up(0, Throttle(lambda: size // 2)), follower(1)

    def next_batch(*, partition_index: int) -> PartitionData:
        offset = leader.session[TOPIC_ID, partition_index]
        records = batch(1, base_offset=offset, leader_epoch=4) if partition_index == 0 else b""
        return PartitionData(partition_index=partition_index, records=records)

    leader.answer, leader.delay_s = next_batch, 0.1
    fetcher.follow(slow)
    fetcher.follow(quick)
    nursery.start_soon(fetcher.run)
    await trio.sleep(40)

    # Two seconds for each, and never longer however often it was held back.
    assert 18 <= slow.log.log_end_offset <= 21
    asked_last = max(i for i, named in enumerate(leader.named()) if 0 in named)
    assert leader.named()[asked_last][0] >= slow.log.log_end_offset - 1
    assert sum(1 in named for named in leader.named()) == 1, "the session went on with the other"


async def test_what_else_catches_up_waits_for_the_same_throttle(
    leader_with_sessions, fetcher, follower, catching_up, nursery, autojump_clock
):
    leader = leader_with_sessions
    throttle = Throttle(lambda: 1_000)
    for index in range(2):
        fetcher.follow(catching_up(index, throttle))
    fetcher.follow(follower(2))
    leader.delay_s = 0.1
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)
    assert len(leader.session) == 3

    throttle.count(3_000, now=trio.current_time())
    await trio.sleep(0.5)
    assert list(leader.session) == [(TOPIC_ID, 2)]
    await trio.sleep(5)

    assert len(leader.session) == 3
