"""A follower's loop against a leader that is played by the test."""

from __future__ import annotations

import pytest
import trio

from broker.log.errors import LogDamaged
from broker.partition import Partition
from broker.replication.following import append_from_leader, restart_log, truncate
from broker.replication.throttle import Throttle, Throttles
from protocol.api.fetch import PartitionData
from protocol.errors import ErrorCode
from tests.broker.replication.played_leader import LEADER, TOPIC_ID, US, batch, led_by


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


async def test_a_pause_that_ended_long_ago_is_not_waited_for(
    leader, fetcher, follower, disk, nursery, autojump_clock
):
    slow, refused = follower(0), follower(1)

    def one_batch_and_a_refusal(*, partition_index: int) -> PartitionData:
        if partition_index == refused.index:
            return PartitionData(partition_index, error_code=ErrorCode.NOT_LEADER_OR_FOLLOWER)
        wanted = leader.session[TOPIC_ID, partition_index]
        data = batch(3, base_offset=0, leader_epoch=3) if wanted == 0 else None
        return PartitionData(partition_index, records=data)

    leader.answer, leader.delay_s = one_batch_and_a_refusal, 0.1
    disk.sync_latency_s = lambda: 20.0
    for partition in (slow, refused):
        partition.needs_reconciling = False
        fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(60)

    assert slow.log.durable_end_offset == 3


async def test_a_replica_that_is_deleted_while_another_is_made_durable_is_not_waited_for(
    leader, fetcher, follower, disk, nursery, autojump_clock
):
    kept, deleted, busy = follower(0), follower(1), follower(2)

    def one_record_more(*, partition_index: int) -> PartitionData:
        offset = leader.session[TOPIC_ID, partition_index]
        return PartitionData(partition_index, records=batch(1, base_offset=offset, leader_epoch=3))

    leader.answer, leader.delay_s, leader.grants_sessions = one_record_more, 0.1, True
    for partition in (kept, deleted):
        partition.needs_reconciling = False
        fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(0.05)
    disk.sync_latency_s = lambda: 0.2
    append_from_leader(busy, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    await trio.sleep(0.1)
    assert kept.durable.value < kept.log.log_end_offset, "the sync of before goes on"
    fetcher.forget(deleted)
    deleted.close()
    await disk.discard([deleted.log.begin_delete()])
    end = kept.log.log_end_offset
    await trio.sleep(10)

    assert kept.log.log_end_offset > end


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


async def test_what_only_this_replica_has_of_deleted_records_is_in_nobodys_way(
    leader, fetcher, follower, nursery, autojump_clock
):
    """The leader begins within a batch, and knows of no epoch before that batch's any more."""
    partition = follower()
    for base_offset in (0, 50, 60):
        count = 50 if not base_offset else 10
        partition.log.append_as_follower(batch(count, base_offset=base_offset, leader_epoch=1))
    leader.epochs_end = 60

    def within_a_batch(*, partition_index: int) -> PartitionData:
        offset = leader.asked[-1].topics[0].partitions[0].fetch_offset
        sent = batch(20, base_offset=50, leader_epoch=2) if offset < 70 else b""
        return PartitionData(partition_index, records=sent, high_watermark=70, log_start_offset=60)

    leader.answer, leader.delay_s = within_a_batch, 0.1
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(5)

    log = partition.log
    assert (log.log_start_offset, log.log_end_offset) == (60, 70)
    assert [segment.base_offset for segment in log.segments] == [50]


async def test_a_log_of_an_epoch_that_is_still_to_come_is_damaged(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition = follower()
    partition.log.append_as_follower(batch(3, base_offset=0, leader_epoch=4099))
    leader.epochs_end = 3
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    assert isinstance(partition.offline, LogDamaged)
    assert "leader epoch 4099" in str(partition.offline)
    assert leader.asked == []


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


async def test_what_every_replica_has_is_known_for_as_long_as_the_leader_leads(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition = follower()
    leader.answer = lambda **asked: PartitionData(replicated_end_offset=5, **asked)
    assert partition.replicated_end_offset == -1
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    assert partition.replicated_end_offset == 5
    partition.apply(led_by(LEADER, leader_epoch=4), broker_epoch=7, min_isr=1)
    assert partition.replicated_end_offset == -1


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


async def test_the_leader_hears_at_once_that_the_start_of_a_log_was_noted(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition = follower(0)
    append_from_leader(partition, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    starts = [0]

    def start_later(*, partition_index: int) -> PartitionData:
        start = starts.pop(0) if starts else 2
        return PartitionData(partition_index, high_watermark=3, log_start_offset=start)

    leader.answer = start_later
    partition.needs_reconciling = False
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.1)
    assert partition.log.log_start_offset == 2
    waits_ms = [request.max_wait_ms for request in leader.asked]
    assert set(waits_ms) == {500, 50}, "it asks again soon for as long as that is not noted"
    assert waits_ms[-1] == 50

    partition.log_start_noted(2)
    fetcher.touch(partition)
    await trio.sleep(2)
    assert leader.asked[-1].max_wait_ms == 500


async def test_a_log_cut_below_its_start_is_not_asked_for_before_that_is_noted(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition, other = follower(0), follower(1)
    append_from_leader(partition, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    partition.start_log_at(2)
    truncate(partition, 0)
    leader.delay_s = 0.1
    for one in (partition, other):
        one.needs_reconciling = False
        fetcher.follow(one)
    nursery.start_soon(fetcher.run)
    await trio.sleep(5)
    assert list(leader.session) == [(TOPIC_ID, 1)]

    partition.log_start_noted(0)
    await trio.sleep(1)

    assert leader.session == {(TOPIC_ID, 0): 0, (TOPIC_ID, 1): 0}


async def test_who_begins_to_lead_syncs_what_it_has_appended_and_nothing_else(
    follower, disk, autojump_clock
):
    idle, busy = follower(0), follower(1)
    append_from_leader(idle, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    await trio.sleep(1)
    syncs = disk.syncs

    idle.apply(led_by(US, leader_epoch=4), broker_epoch=7, min_isr=1)
    await trio.sleep(1)
    assert disk.syncs == syncs, "hundreds of idle partitions change leaders at once"

    append_from_leader(busy, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
    busy.apply(led_by(US, leader_epoch=4), broker_epoch=7, min_isr=1)
    await trio.sleep(1)
    assert busy.log.durable_end_offset == busy.durable.value == 3
