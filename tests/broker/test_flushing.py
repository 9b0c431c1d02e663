"""When a replica's log is flushed, though nothing is appended to it."""

from __future__ import annotations

import random

import pytest
import trio
from msgspec.structs import replace

from broker.log.config import LogConfig
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.partition import Partition
from broker.replication.following import append_from_leader, truncate
from coordinator.cluster import PartitionState
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk
from tests.broker.contexts import sound_context

US, PEER = 1, 2
OUR_EPOCH, PEER_EPOCH = 10, 20
TOPIC_ID = bytes(range(16))
TO_THE_SYSTEM = LogConfig(flush="os")
ON_COMMIT = LogConfig(flush="commit")
LED = PartitionState((US, PEER), US, 1, (US, PEER), leader_broker_epoch=OUR_EPOCH)
FOLLOWED = PartitionState((US, PEER), PEER, 1, (US, PEER), leader_broker_epoch=PEER_EPOCH)


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(5))
    disk.make_directory("/data")
    return disk


@pytest.fixture
async def replica(disk, nursery):
    """Make a replica in the role that a state gives it, with these settings."""
    flusher = Flusher(disk)
    nursery.start_soon(flusher.run)

    def make(state: PartitionState, config: LogConfig) -> Partition:
        log = Log.create(disk, "/data/t-0", config, topic_id=TOPIC_ID, wall_ms=lambda: 10**12)
        partition = Partition(
            "t", 0, topic_id=TOPIC_ID, log=log, context=sound_context(US, flusher)
        )
        partition.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
        return partition

    return make


def batch(count: int, *, base_offset: int = 0) -> memoryview:
    records = [Record(base_offset + i, 10**12, None, b"v", ()) for i in range(count)]
    return memoryview(encode_batch(records, base_offset=base_offset, leader_epoch=1))


async def test_what_was_left_to_the_system_is_committed_once_it_must_last(replica, autojump_clock):
    leader = replica(LED, TO_THE_SYSTEM)
    leader.append(batch(5), acks=-1)
    await trio.sleep(1)

    leader.reconfigure(ON_COMMIT)
    leader.follower_fetched(PEER, 5, broker_epoch=PEER_EPOCH)
    with trio.fail_after(10):
        await leader.wait_committed(5, leader_epoch=1)

    assert leader.log.durable_end_offset == 5


async def test_a_follower_that_was_cut_becomes_durable_to_its_end(replica, autojump_clock):
    follower = replica(FOLLOWED, TO_THE_SYSTEM)
    append_from_leader(follower, batch(5), leader_epoch=1)
    append_from_leader(follower, batch(5, base_offset=5), leader_epoch=1)
    await trio.sleep(1)
    follower.log.reconfigure(ON_COMMIT)

    truncate(follower, 5)
    with trio.fail_after(10):
        await follower.durable.wait_reached(5)


async def test_what_retention_has_begun_anew_lasts(disk, replica, autojump_clock):
    leader = replica(LED, LogConfig(retention_bytes=0))
    leader.append(batch(5), acks=-1)
    leader.follower_fetched(PEER, 5, broker_epoch=PEER_EPOCH)
    await trio.sleep(1)
    assert leader.high_watermark.value == 5

    assert leader.apply_retention()
    await trio.sleep(1)

    assert f"data/t-0/{5:020d}.snapshot" in disk.durable_files()


async def test_retention_removes_one_segment_at_a_time(replica, autojump_clock):
    leader = replica(LED, LogConfig(segment_bytes=200, retention_bytes=0))
    for _ in range(10):
        leader.append(batch(3), acks=-1)
    leader.follower_fetched(PEER, 30, broker_epoch=PEER_EPOCH)
    await trio.sleep(1)
    counts = [len(leader.log.segments)]
    while leader.apply_retention():
        counts.append(len(leader.log.segments))

    assert counts == [*range(counts[0], 0, -1), 1]
    assert leader.log.log_start_offset == 30


async def test_a_log_that_changes_hands_opens_nothing_for_the_flush_to_come(
    disk, replica, autojump_clock, monkeypatch
):
    """It may wait for ever: an epoch without a record may be forgotten."""
    opened = []
    open_file = disk.open

    def count(path, *, create=False):
        opened.append(path)
        return open_file(path, create=create)

    monkeypatch.setattr(disk, "open", count)
    partition = replica(LED, ON_COMMIT)
    await trio.sleep(1)
    opened.clear()
    for epoch in range(2, 50):
        leader_id = (US, PEER)[epoch % 2]
        state = replace(LED, leader_id=leader_id, leader_epoch=epoch, partition_epoch=epoch)
        partition.apply(state, broker_epoch=OUR_EPOCH, min_isr=1)
        truncate(partition, 0)

    assert opened == []
    partition.flush_soon()
    await trio.sleep(1)
    assert opened == ["/data/t-0/partition.metadata", "/data/t-0/leader-epoch-checkpoint"]
