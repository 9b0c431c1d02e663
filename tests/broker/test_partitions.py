"""The replicas of one broker: what becomes of one whose log cannot be opened."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from broker.errors import NotLeader, PartitionOffline, UnknownTopicOrPartition
from broker.log.directory import Checkpoint
from broker.log.errors import DiskFull
from broker.log.metadata import encode_topic_id
from broker.replication.throttle import LEADER_REPLICAS
from coordinator.cluster import ClusterState, PartitionState, TopicState
from tests.broker.hosting import (
    DATA,
    KNOWN,
    NEXT_TOPIC_ID,
    OUR_EPOCH,
    PEER,
    TOPIC_ID,
    US,
    cluster,
    hide_where_batches_begin,
    replicas_on,
)


async def test_a_log_that_cannot_be_opened_takes_its_own_replica_offline_only(
    disk, open_partitions
):
    hide_where_batches_begin(disk, 0)

    with capture_logs() as events:
        partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)

    with pytest.raises(PartitionOffline, match=r"orders-0 is offline on this broker.*is damaged"):
        partitions.get("orders", 0)
    assert partitions.get("orders", 1).is_leader
    assert [p.name for p in partitions.led()] == ["orders-1"]
    told = [e for e in events if e["event"] == "replica_offline"]
    assert [e["partition"] for e in told] == ["orders-0"]


async def test_an_offline_replica_of_an_unknown_topic_is_unknown(disk, open_partitions):
    hide_where_batches_begin(disk, 0)
    partitions = open_partitions()

    with pytest.raises(UnknownTopicOrPartition):
        partitions.get("orders", 0)


async def test_deleting_the_topic_removes_its_offline_replicas(disk, open_partitions):
    hide_where_batches_begin(disk, 0)
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)

    assert await partitions.delete_topics({TOPIC_ID}) == 2

    assert replicas_on(disk) == []
    await partitions.obey(ClusterState(), broker_epoch=OUR_EPOCH)
    with pytest.raises(UnknownTopicOrPartition):
        partitions.get("orders", 0)


async def test_others_go_on_between_the_replicas_that_are_deleted(disk, open_partitions):
    """Whoever takes the first step of each round: with three, it looks at least once between."""
    partitions = open_partitions()
    await partitions.obey(cluster(partitions=3), broker_epoch=OUR_EPOCH)
    left = []

    async def look() -> None:
        while names := [partition.name for partition in partitions]:
            left.append(names)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await partitions.delete_topics({TOPIC_ID})

    assert any(0 < len(names) < 3 for names in left)


async def test_a_deletion_that_was_cut_short_ends_with_the_next_one(
    disk, open_partitions, autojump_clock
):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)
    disk.sync_latency_s = lambda: 1.0
    with trio.move_on_after(0.5):
        await partitions.delete_topics({TOPIC_ID})
    assert [name for name in disk.list(DATA) if name.endswith("-delete")]

    assert await partitions.delete_topics({TOPIC_ID}) == 0

    assert not [name for name in disk.list(DATA) if name.startswith("orders")]


async def test_an_offline_log_gives_way_to_another_topic_of_the_same_name(disk, open_partitions):
    hide_where_batches_begin(disk, 0)
    partitions = open_partitions()

    await partitions.obey(cluster(topic_id=NEXT_TOPIC_ID), broker_epoch=OUR_EPOCH)

    assert partitions.get("orders", 0).log.log_end_offset == 0
    strays = [name for name in disk.list(DATA) if name.endswith("-stray")]
    assert [name.partition(".")[0] for name in strays] == ["orders-0", "orders-1"]


async def test_what_was_known_of_an_offline_log_is_kept_for_its_next_opening(
    disk, directory, open_partitions
):
    await directory.write_checkpoints({("orders", 0): KNOWN, ("orders", 1): KNOWN})
    hide_where_batches_begin(disk, 0)
    before = disk.read_file(f"{DATA}/orders-0/{0:020d}.log")

    await open_partitions(clean=False).close()

    assert disk.read_file(f"{DATA}/orders-0/{0:020d}.log") == before
    assert directory.read_checkpoints()["orders", 0] == KNOWN
    assert not directory.take_clean_marker(), "it was not closed"


async def test_what_a_kill_left_of_a_log_just_being_made_is_removed(disk, open_partitions):
    disk.make_directory(f"{DATA}/orders-2")  # its topic id would have been written next
    disk.remove(f"{DATA}/orders-1/partition.metadata")

    partitions = open_partitions(clean=False)
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)

    left = [name for name in disk.list(DATA) if name.startswith("orders-")]
    kept = [name for name in left if name.startswith("orders-1.") and name.endswith("-stray")]
    assert sorted(left) == sorted(["orders-0", "orders-1", *kept])
    assert len(kept) == 1, "records whose topic is not known are kept"


async def test_a_stop_with_every_log_closed_is_clean(directory, open_partitions):
    await open_partitions(clean=False).close()

    assert directory.take_clean_marker()


def test_a_full_disk_is_no_matter_of_one_log(disk, open_partitions):
    disk.remove(f"{DATA}/orders-0/leader-epoch-checkpoint")
    disk.capacity_bytes = 0

    with pytest.raises(DiskFull):
        open_partitions()


async def test_a_partition_that_is_not_hosted_names_its_leader(open_partitions):
    partitions = open_partitions()
    elsewhere = PartitionState(replicas=(PEER,), leader_id=PEER, leader_epoch=4, isr=(PEER,))
    await partitions.obey(
        ClusterState(topics={"t": TopicState("t", NEXT_TOPIC_ID, {}, (elsewhere,), version=0)}),
        broker_epoch=OUR_EPOCH,
    )

    with pytest.raises(NotLeader) as refusal:
        partitions.get("t", 0)

    assert (refusal.value.leader_id, refusal.value.leader_epoch) == (PEER, 4)


async def test_a_topic_created_anew_is_never_served_from_the_log_of_the_old_one(open_partitions):
    partitions = open_partitions()
    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)
    renewed = cluster(topic_id=NEXT_TOPIC_ID)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(partitions.obey, renewed, broker_epoch=OUR_EPOCH))
        for _ in range(2):  # by now it has seen the news, and is not through with them
            await trio.lowlevel.checkpoint()
        with pytest.raises(NotLeader):
            partitions.get("orders", 1)
    assert partitions.get("orders", 1).topic_id == NEXT_TOPIC_ID


async def test_what_a_topic_holds_back_is_read_once_for_all_its_partitions(open_partitions):
    looked_up = []

    class Config(dict):
        def get(self, key, default=None):
            looked_up.append(key)
            return super().get(key, default)

    topic = replace(cluster(partitions=3).topics["orders"], config=Config({LEADER_REPLICAS: "0:1"}))

    await open_partitions().obey(ClusterState(topics={"orders": topic}), broker_epoch=OUR_EPOCH)

    assert looked_up.count(LEADER_REPLICAS) == 1


async def test_that_a_log_lacks_records_is_known_until_it_does_not(directory, open_partitions):
    longer = Checkpoint(recovery_point=15, high_watermark=15)
    await directory.write_checkpoints({("orders", 0): longer, ("orders", 1): KNOWN})
    partitions = open_partitions(clean=False)
    await partitions.write_checkpoints()

    partitions = open_partitions(clean=False)
    assert [one.losses.any for one in partitions] == [True, False]
    assert [one.high_watermark.value for one in partitions] == [0, 12], "nothing is known of it"
    next(iter(partitions)).losses.none_left()

    with trio.fail_after(1):
        await partitions.checkpoints.wait_due()
    await partitions.write_checkpoints()
    assert not any(one.losses.any for one in open_partitions(clean=False))


async def test_what_a_log_has_deleted_was_committed_also_where_it_lacks_records(
    directory, open_partitions
):
    longer = Checkpoint(recovery_point=15, high_watermark=15, log_start_offset=3)
    await directory.write_checkpoints({("orders", 0): longer})

    partition = next(iter(open_partitions(clean=False)))

    assert partition.losses.any
    assert (partition.log.log_start_offset, partition.high_watermark.value) == (3, 3)


async def test_a_log_that_is_gone_is_lost(disk, directory, open_partitions):
    await open_partitions().write_checkpoints()
    empty = Checkpoint(5, 5, log_start_offset=5, topic_id=NEXT_TOPIC_ID)
    await directory.write_checkpoints({**directory.read_checkpoints(), ("gone", 0): empty})
    disk.remove(f"{DATA}/orders-1")

    assert open_partitions(clean=False).lossy_replicas() == {(TOPIC_ID, 1)}


@pytest.mark.parametrize("written", [encode_topic_id(bytes(16)), b"version: 0\ntopic_i"])
async def test_a_log_that_does_not_say_any_more_whose_it_is_is_lost(disk, open_partitions, written):
    await open_partitions().write_checkpoints()
    disk.write_file(f"{DATA}/orders-1/partition.metadata", written)

    assert open_partitions(clean=False).lossy_replicas() == {(TOPIC_ID, 1)}


async def test_a_log_that_cannot_be_opened_is_whose_was_noted(disk, open_partitions):
    await open_partitions().write_checkpoints()
    hide_where_batches_begin(disk, 1)
    disk.write_file(f"{DATA}/orders-1/partition.metadata", b"")

    assert open_partitions(clean=False).offline_replicas() == {(TOPIC_ID, 1)}


async def test_a_log_of_nobody_is_in_the_way_of_the_one_that_is_to_be_there(disk, open_partitions):
    hide_where_batches_begin(disk, 1)
    disk.write_file(f"{DATA}/orders-1/partition.metadata", b"")
    partitions = open_partitions()
    assert partitions.offline_replicas() == frozenset()

    await partitions.obey(cluster(), broker_epoch=OUR_EPOCH)

    assert partitions.offline_replicas() == {(TOPIC_ID, 1)}
    assert partitions.offline_changed.is_set()


async def test_a_replica_that_copies_lacks_what_it_has_not_got_yet(open_partitions):
    partitions = open_partitions()
    await partitions.obey(cluster(partitions=2), broker_epoch=PEER)
    one = cluster(partitions=3).topics["orders"]
    joining = replace(one.partitions[2], leader_id=PEER, isr=(PEER,), replicas=(PEER, US))
    created = replace(joining, isr=(PEER, US))
    topic = replace(one, partitions=(*one.partitions[:2], joining, created))

    await partitions.obey(ClusterState(topics={"orders": topic}), broker_epoch=PEER)

    assert [one.losses.any for one in partitions] == [False, False, True, False]
    assert partitions.lossy_replicas() == {(TOPIC_ID, 2)}
