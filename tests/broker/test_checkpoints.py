"""What is noted of how far logs last, and what may be done once it is."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from broker.log.directory import Checkpoint
from broker.log.flush import Flusher
from broker.replication.fetcher import Followed
from broker.replication.following import append_from_leader, follow_watermarks, truncate
from coordinator.cluster import ClusterState
from protocol.batch import assign
from protocol.records import Record, encode_batch
from tests.broker.hosting import NEXT_TOPIC_ID, OUR_EPOCH, PEER, cluster


def from_leader(offset: int, count: int = 3) -> memoryview:
    batch = bytearray(encode_batch([Record(i, 0, None, b"value", ()) for i in range(count)]))
    assign(batch, base_offset=offset, leader_epoch=1)
    return memoryview(batch)


@pytest.fixture
async def follower(open_partitions):
    """`orders-0`, which a peer leads, with the partitions that host it."""
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=PEER)
    return partitions.get("orders", 0), partitions


async def test_what_is_noted_as_committed_is_durable_here(
    directory, open_partitions, autojump_clock
):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=PEER)
    follower = partitions.get("orders", 0)
    batch = bytearray(encode_batch([Record(0, 0, None, b"value", ())]))
    assign(batch, base_offset=12, leader_epoch=1)
    append_from_leader(follower, memoryview(batch), leader_epoch=1)
    follow_watermarks(follower, high_watermark=13, log_start_offset=0)

    await partitions.write_checkpoints()

    assert follower.high_watermark.value == 13
    assert directory.read_checkpoints()["orders", 0].high_watermark == 12


async def test_a_start_after_a_kill_reads_nothing_that_was_checkpointed_after_a_cut(
    disk, open_partitions, autojump_clock
):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=PEER)
    follower = partitions.get("orders", 0)
    end = follower.log.log_end_offset
    truncate(follower, end - 1)
    for number in range(200):
        append_from_leader(follower, from_leader(end - 1 + 3 * number), leader_epoch=1)
    await Flusher(disk).flush([follower])
    await partitions.write_checkpoints()

    (reopened, _) = open_partitions(clean=False)

    assert reopened.log.log_end_offset == follower.log.log_end_offset
    assert reopened.log.recovery.recovery_point == follower.log.log_end_offset


async def test_a_log_found_shorter_than_it_should_start_is_noted_before_it_is_appended_to(
    directory, open_partitions
):
    checkpoint = Checkpoint(recovery_point=12, high_watermark=12, log_start_offset=20)
    await directory.write_checkpoints({("orders", 0): checkpoint})
    partitions = open_partitions(clean=False)
    assert directory.read_checkpoints()["orders", 0] == checkpoint, "nobody knows of it yet"

    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)

    start = partitions.get("orders", 0).log.log_start_offset
    assert start == 12
    assert directory.read_checkpoints()["orders", 0].log_start_offset == start


async def test_a_log_cut_below_its_start_is_noted_soon(directory, open_partitions, autojump_clock):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=PEER)
    follower = partitions.get("orders", 0)
    follower.start_log_at(12)
    await partitions.write_checkpoints()

    truncate(follower, 9)

    with trio.fail_after(1):
        await partitions.checkpoints.wait_due()
    await partitions.write_checkpoints()
    assert directory.read_checkpoints()["orders", 0].log_start_offset == 9


async def test_checkpoints_that_become_due_after_others_were_written_are_heard_of(
    open_partitions, autojump_clock
):
    partitions = open_partitions()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partitions.checkpoints.wait_due)
        await trio.testing.wait_all_tasks_blocked()
        await partitions.write_checkpoints()
        partitions.checkpoints.write_soon()
        with trio.fail_after(1):
            await partitions.checkpoints.wait_due()
        nursery.cancel_scope.deadline = trio.current_time() + 1
    assert not nursery.cancel_scope.cancelled_caught


async def test_a_checkpoint_under_way_is_not_believed_of_a_topic_created_anew(
    disk, open_partitions, autojump_clock
):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)
    for partition in partitions:
        partition.start_log_at(9)
    disk.sync_latency_s = lambda: 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partitions.write_checkpoints)
        await trio.testing.wait_all_tasks_blocked()
        await partitions.obey(cluster(topic_id=NEXT_TOPIC_ID), broker_epoch=OUR_EPOCH)
        renewed = partitions.get("orders", 0)
        renewed.append(from_leader(0, 6), acks=1)
        await Flusher(disk).flush([renewed])

    found = next(iter(open_partitions(clean=False)))  # killed

    assert (found.name, found.topic_id) == ("orders-0", NEXT_TOPIC_ID)
    assert (found.log.log_start_offset, found.log.log_end_offset) == (0, 6)
    assert not found.losses.any


async def test_a_log_cut_below_its_start_is_fetched_once_that_is_noted(follower):
    replica, partitions = follower
    replica.start_log_at(12)
    await partitions.write_checkpoints()
    truncate(replica, 9)
    replica.needs_reconciling = False
    followed = Followed(partition=replica, leader_epoch=1)

    assert not followed.may_be_fetched, "after a crash it would start at 12"
    await partitions.write_checkpoints()

    assert followed.may_be_fetched


@pytest.mark.parametrize("noted", [0, 12])
async def test_a_log_cut_below_a_start_that_is_being_noted_waits_for_the_next_checkpoint(
    disk, directory, follower, autojump_clock, noted
):
    replica, partitions = follower
    replica.start_log_at(12)
    if noted:
        await partitions.write_checkpoints()
        replica.losses.found()  # something else to note
    disk.sync_latency_s = lambda: 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partitions.write_checkpoints)
        await trio.testing.wait_all_tasks_blocked()
        truncate(replica, 9)
    assert directory.read_checkpoints()["orders", 0].log_start_offset == 12
    assert (replica.noted_start.offset, replica.noted_start.is_safe) == (min(9, noted), False)

    await partitions.write_checkpoints()

    assert directory.read_checkpoints()["orders", 0].log_start_offset == 9
    assert (replica.noted_start.offset, replica.noted_start.is_safe) == (9, True)


async def test_a_log_cut_below_its_start_is_noted_before_it_is_led(directory, follower):
    replica, partitions = follower
    replica.start_log_at(12)
    await partitions.write_checkpoints()
    truncate(replica, 9)
    topic = cluster().topics["orders"]
    elected = replace(topic.partitions[0], leader_epoch=2, partition_epoch=1)
    topic = replace(topic, partitions=(elected, topic.partitions[1]), version=1)

    await partitions.obey(ClusterState(topics={"orders": topic}), broker_epoch=OUR_EPOCH)

    assert replica.is_leader
    assert directory.read_checkpoints()["orders", 0].log_start_offset == 9
