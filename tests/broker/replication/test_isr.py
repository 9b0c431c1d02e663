"""What is proposed to the controller, and what its answers change."""

from __future__ import annotations

import random

import pytest
import trio
from msgspec.structs import replace

from broker.errors import NotLeader
from broker.leadership import RESIGNATION_S, SUCCESSION_AGAIN_S, SUCCESSION_S
from broker.log.config import LogConfig
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition import Partition
from broker.replication.isr import IsrKeeper
from broker.shutdown import DRAIN_S, wait_replicated
from coordinator.cluster import NO_LEADER, PartitionState
from protocol.api.alter_partition import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    PartitionResult,
    TopicResult,
)
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk
from tests.broker.contexts import sound_context

US, PEER, OTHER = 1, 2, 3
OUR_EPOCH, PEER_EPOCH, OTHER_EPOCH = 10, 20, 30
TOPIC_ID = bytes(range(16))
LAG_TIME_MAX_S = 10.0


class Office:
    """A controller: keeps what it is asked, agrees or does not answer."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[int, int]]] = []
        self.answers = True
        self.refuses: ErrorCode | None = None

    async def __call__(self, request: AlterPartitionRequest) -> AlterPartitionResponse:
        await trio.lowlevel.checkpoint()
        (topic,) = request.topics
        (asked,) = topic.partitions
        members = [(m.broker_id, m.broker_epoch) for m in asked.new_isr_with_epochs]
        self.asked.append(members)
        if not self.answers:
            raise OSError("the connection broke")
        if self.refuses is not None:
            refused = PartitionResult(error_code=self.refuses)
            return AlterPartitionResponse(
                topics=[TopicResult(topic_id=topic.topic_id, partitions=[refused])]
            )
        result = PartitionResult(
            leader_id=US,
            leader_epoch=asked.leader_epoch,
            isr=[broker_id for broker_id, _ in members],
            partition_epoch=asked.partition_epoch + 1,
        )
        return AlterPartitionResponse(
            topics=[TopicResult(topic_id=topic.topic_id, partitions=[result])]
        )


@pytest.fixture
def office():
    return Office()


@pytest.fixture
async def leader(nursery):
    """Lead a partition of three replicas, all in sync but the other one."""
    disk = MemoryDisk(random.Random(5))
    disk.make_directory("/data")
    flusher = Flusher(disk)
    nursery.start_soon(flusher.run)
    log = Log.create(disk, "/data/orders-0", LogConfig(), topic_id=TOPIC_ID, wall_ms=lambda: 0)
    partition = Partition(
        "orders", 0, topic_id=TOPIC_ID, log=log, context=sound_context(US, flusher)
    )
    state = PartitionState(
        replicas=(US, PEER, OTHER),
        leader_id=US,
        leader_epoch=1,
        isr=(US, PEER),
        partition_epoch=1,
        leader_broker_epoch=OUR_EPOCH,
    )
    partition.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    append(partition, 10)
    await partition.durable.wait_reached(10)
    partition.follower_fetched(PEER, 10, broker_epoch=PEER_EPOCH)
    assert partition.high_watermark.value == 10
    return partition


@pytest.fixture
def keeper(leader, office, nursery):
    keeper = IsrKeeper(
        broker_id=US,
        broker_epoch=lambda: OUR_EPOCH,
        eligible=lambda _broker_id, _broker_epoch: True,
        led=lambda: [leader],
        call_controller=office,
        lag_time_max_s=LAG_TIME_MAX_S,
    )
    nursery.start_soon(keeper.run)
    return keeper


def append(partition: Partition, count: int) -> None:
    batch = encode_batch([Record(i, 0, None, b"value", ()) for i in range(count)])
    partition.append(memoryview(batch), acks=-1)


async def test_a_proposal_names_the_incarnation_that_had_caught_up_however_often_it_is_sent(
    leader, keeper, office, autojump_clock
):
    office.answers = False
    leader.follower_fetched(OTHER, 10, broker_epoch=OTHER_EPOCH)
    keeper.follower_fetched(leader, OTHER)
    await trio.sleep(0.05)

    leader.follower_fetched(OTHER, 0, broker_epoch=OTHER_EPOCH + 1)  # its disk is a new one
    await trio.sleep(1)

    proposal = [(US, OUR_EPOCH), (PEER, PEER_EPOCH), (OTHER, OTHER_EPOCH)]
    assert len(office.asked) > 2
    assert all(asked == proposal for asked in office.asked)


async def test_an_isr_is_obeyed_together_with_the_minimum_that_it_was_decided_by(
    leader, keeper, office, autojump_clock
):
    append(leader, 5)
    await trio.sleep(2 * LAG_TIME_MAX_S)
    assert office.asked[-1] == [(US, OUR_EPOCH)]
    # The controller has agreed, but by a minimum of two of which this leader has not heard: the
    # one who left stays eligible, and so nothing may be committed without it.
    assert leader.isr == (US, PEER)
    assert leader.high_watermark.value == 10

    state = replace(leader.state, isr=(US,), elr=(PEER,), partition_epoch=2)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=2)

    assert leader.pending_isr is None
    assert leader.high_watermark.value == 10


SURELY_REFUSED = {ErrorCode.INELIGIBLE_REPLICA, ErrorCode.INVALID_REQUEST}


async def _high_watermark_without_whom_it_proposed(leader, keeper, office, code):
    """Propose OTHER, have that refused with a code, and append what only US and PEER have."""
    leader.follower_fetched(OTHER, 10, broker_epoch=OTHER_EPOCH)
    office.answers = False  # it may have agreed all the same, and elected one of them since
    keeper.follower_fetched(leader, OTHER)
    await trio.sleep(0.05)
    office.answers, office.refuses = True, code
    await trio.sleep(1)

    append(leader, 5)
    await leader.durable.wait_reached(15)
    leader.follower_fetched(PEER, 15, broker_epoch=PEER_EPOCH)
    return leader.high_watermark.value


@pytest.mark.parametrize(
    "code",
    sorted(set(ErrorCode) - SURELY_REFUSED - {ErrorCode.NONE}),
    ids=lambda code: code.name,
)
async def test_who_was_proposed_is_counted_with_until_the_state_says_otherwise(
    leader, keeper, office, code, autojump_clock
):
    assert await _high_watermark_without_whom_it_proposed(leader, keeper, office, code) == 10


@pytest.mark.parametrize("code", sorted(SURELY_REFUSED), ids=lambda code: code.name)
async def test_who_was_refused_on_the_state_that_holds_is_not_waited_for(
    leader, keeper, office, code, autojump_clock
):
    assert await _high_watermark_without_whom_it_proposed(leader, keeper, office, code) == 15


async def test_an_offset_beyond_the_leaders_log_acknowledges_nothing(leader):
    leader.follower_fetched(OTHER, 500, broker_epoch=OTHER_EPOCH)

    assert not leader.leadership.may_join_isr(
        OTHER, lag_time_max_s=LAG_TIME_MAX_S, eligible=lambda _broker_id, _broker_epoch: True
    )


async def test_a_follower_that_would_leave_the_isr_at_once_does_not_join(
    leader, keeper, office, autojump_clock
):
    append(leader, 5)
    await trio.sleep(2 * LAG_TIME_MAX_S - 1)  # between two looks of the keeper
    alone = replace(leader.state, isr=(US,), elr=(PEER,), partition_epoch=2)
    leader.apply(alone, broker_epoch=OUR_EPOCH, min_isr=2)  # so the high watermark stands still
    asked = list(office.asked)

    for _ in range(100):  # a slow disk: what it has fetched it has not synced
        leader.follower_fetched(OTHER, 10, broker_epoch=OTHER_EPOCH)
        keeper.follower_fetched(leader, OTHER)
        await trio.sleep(0.3)
    assert office.asked == asked

    leader.follower_fetched(OTHER, 15, broker_epoch=OTHER_EPOCH)
    keeper.follower_fetched(leader, OTHER)
    await trio.sleep(0.05)
    assert office.asked[len(asked)] == [(US, OUR_EPOCH), (OTHER, OTHER_EPOCH)]


@pytest.mark.parametrize(("behind_s", "joins"), [(4, True), (6, False)])
async def test_who_joins_could_stay_for_half_of_the_time_that_it_may_lag(
    leader, behind_s, joins, autojump_clock
):
    leader.follower_fetched(OTHER, 10, broker_epoch=OTHER_EPOCH)
    append(leader, 5)
    await trio.sleep(behind_s)
    leader.follower_fetched(OTHER, 10, broker_epoch=OTHER_EPOCH)

    assert joins is leader.leadership.may_join_isr(
        OTHER, lag_time_max_s=LAG_TIME_MAX_S, eligible=lambda _broker_id, _broker_epoch: True
    )


# Handing over.


@pytest.fixture
def named(leader):
    """Have the leader told that its peer is to follow it."""
    leader.apply(
        replace(leader.state, successor_id=PEER, partition_epoch=2),
        broker_epoch=OUR_EPOCH,
        min_isr=1,
    )
    return leader


async def test_a_leader_whose_successor_has_everything_resigns_at_once(
    named, keeper, office, autojump_clock
):
    keeper.look_at(named)
    await trio.sleep(0.01)

    assert office.asked == [[(PEER, PEER_EPOCH)]]
    with pytest.raises(NotLeader):
        append(named, 1)


async def test_a_leader_waits_for_its_successor_and_appends_nothing_meanwhile(
    leader, keeper, office, autojump_clock
):
    append(leader, 5)
    state = replace(leader.state, successor_id=PEER, partition_epoch=2)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    with pytest.raises(NotLeader):
        append(leader, 1)
    leader.follower_fetched(PEER, 14, broker_epoch=PEER_EPOCH)
    keeper.follower_fetched(leader, PEER)
    await trio.sleep(0.01)
    assert office.asked == []

    leader.follower_fetched(PEER, 15, broker_epoch=PEER_EPOCH)
    keeper.follower_fetched(leader, PEER)
    await trio.sleep(0.01)

    assert office.asked == [[(PEER, PEER_EPOCH)]]


async def test_a_leader_goes_on_when_its_successor_takes_too_long_and_resigns_when_it_is_there(
    leader, keeper, office, autojump_clock
):
    append(leader, 5)
    state = replace(leader.state, successor_id=PEER, partition_epoch=2)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    await trio.sleep(SUCCESSION_S)

    append(leader, 5)
    leader.follower_fetched(PEER, 20, broker_epoch=PEER_EPOCH)
    keeper.follower_fetched(leader, PEER)

    with pytest.raises(NotLeader):
        append(leader, 1)
    await trio.sleep(0.01)
    assert office.asked == [[(PEER, PEER_EPOCH)]]


async def test_a_leader_waits_for_its_successor_again_where_that_is_never_quite_there(
    leader, keeper, office, autojump_clock
):
    """Under a steady load it may always be one fetch behind: only a pause lets it have all."""
    state = replace(leader.state, successor_id=PEER, partition_epoch=2)
    append(leader, 5)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    await trio.sleep(SUCCESSION_S)
    with trio.fail_after(3 * SUCCESSION_AGAIN_S):
        while not leader.leadership.is_handing_over:
            append(leader, 1)
            leader.follower_fetched(PEER, leader.log.log_end_offset - 1, broker_epoch=PEER_EPOCH)
            keeper.follower_fetched(leader, PEER)
            await trio.sleep(0.1)
    assert office.asked == []

    leader.follower_fetched(PEER, leader.log.log_end_offset, broker_epoch=PEER_EPOCH)
    keeper.follower_fetched(leader, PEER)
    await trio.sleep(0.01)
    assert office.asked == [[(PEER, PEER_EPOCH)]]


async def test_a_leader_does_not_wait_again_for_a_successor_that_fell_out_of_sync(
    leader, keeper, autojump_clock
):
    append(leader, 5)
    state = replace(leader.state, successor_id=PEER, isr=(US,), partition_epoch=2)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    await trio.sleep(SUCCESSION_S)

    for _ in range(30):
        await trio.sleep(SUCCESSION_AGAIN_S / 10)
        append(leader, 1)


async def test_a_leader_whose_successor_was_taken_back_goes_on(named, autojump_clock):
    named.apply(
        replace(named.state, successor_id=NO_LEADER, partition_epoch=3),
        broker_epoch=OUR_EPOCH,
        min_isr=1,
    )

    append(named, 1)


async def test_a_resignation_that_nobody_answers_is_repeated_and_ends(
    named, keeper, office, autojump_clock
):
    office.answers = False
    keeper.look_at(named)
    await trio.sleep(RESIGNATION_S - 0.1)
    with pytest.raises(NotLeader):
        append(named, 1)
    assert len(office.asked) > 2

    await trio.sleep(0.2)

    append(named, 1)


async def test_a_leader_that_is_to_stop_waits_for_in_sync_replicas_into_its_next_epoch(
    leader, nursery, autojump_clock
):
    """A reassignment, say, begins a new epoch under the same leader: nobody has taken over yet."""
    append(leader, 5)
    await leader.durable.wait_reached(15)
    leader.hand_over()
    replicated = trio.Event()

    async def wait() -> None:
        await wait_replicated(leader, trio.CancelScope())
        replicated.set()

    nursery.start_soon(wait)
    await trio.sleep(0.1)
    state = replace(leader.state, successor_id=PEER, leader_epoch=2, partition_epoch=2)
    leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
    await trio.sleep(0.1)
    assert not replicated.is_set()

    leader.follower_fetched(PEER, 15, broker_epoch=PEER_EPOCH)
    await trio.sleep(0.1)
    assert replicated.is_set()


async def test_a_leader_that_is_to_stop_waits_no_longer_once_another_one_leads(
    leader, autojump_clock
):
    append(leader, 5)
    await leader.durable.wait_reached(15)
    leader.hand_over()
    async with trio.open_nursery() as waiting:
        waiting.start_soon(wait_replicated, leader, trio.CancelScope())
        await trio.sleep(0.1)
        state = replace(leader.state, leader_id=PEER, leader_epoch=2, partition_epoch=2)
        leader.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)

    assert not leader.is_leader


async def test_a_leader_that_is_to_stop_waits_for_as_long_as_a_replica_gets_nearer(
    leader, nursery, autojump_clock
):
    append(leader, 5)
    await leader.durable.wait_reached(15)
    leader.hand_over()
    with trio.move_on_after(DRAIN_S) as patience:
        nursery.start_soon(_catch_up_slowly, leader)
        await wait_replicated(leader, patience)

    assert leader.high_watermark.value == 15


async def _catch_up_slowly(leader) -> None:
    for offset in range(11, 16):
        await trio.sleep(DRAIN_S - 0.1)
        leader.follower_fetched(PEER, offset, broker_epoch=PEER_EPOCH)


async def test_a_leader_that_is_to_stop_waits_no_longer_for_a_replica_that_gets_no_nearer(
    leader, autojump_clock
):
    append(leader, 5)
    await leader.durable.wait_reached(15)
    leader.hand_over()
    leader.follower_fetched(PEER, 12, broker_epoch=PEER_EPOCH)
    with trio.move_on_after(DRAIN_S) as patience:
        await wait_replicated(leader, patience)

    assert patience.cancelled_caught
