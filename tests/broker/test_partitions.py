"""The replicas of one broker: what becomes of one whose log cannot be opened."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from broker.errors import NotLeader, PartitionOffline, UnknownTopicOrPartition
from broker.log.config import LogConfig
from broker.log.directory import Checkpoint, DataDirectory
from broker.log.errors import DiskFull
from broker.log.flush import Flusher
from broker.log.log import Log
from broker.log.metadata import encode_topic_id
from broker.partition_context import PartitionContext
from broker.partitions import Partitions
from broker.replication.fetchers import Fetchers
from broker.replication.following import append_from_leader, follow_watermarks, truncate
from broker.replication.throttle import Throttles
from coordinator.cluster import ClusterState, PartitionState, TopicState
from protocol.batch import assign
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk

US, PEER = 1, 2
OUR_EPOCH = 70
TOPIC_ID = bytes(range(16))
NEXT_TOPIC_ID = bytes(range(1, 17))
DATA = "/data"
SEGMENT_BYTES = 300
KNOWN = Checkpoint(recovery_point=12, high_watermark=12)


def replicas_on(disk) -> list[str]:
    """Give the directories of replicas."""
    return [name for name in disk.list(DATA) if not name.startswith(".")]


@pytest.fixture
def disk():
    """Holds `orders-0` and `orders-1`, of several segments each, after a clean stop."""
    disk = MemoryDisk(random.Random(3))
    disk.make_directory(DATA)
    for index in range(2):
        log = Log.create(
            disk,
            f"{DATA}/orders-{index}",
            LogConfig(segment_bytes=SEGMENT_BYTES),
            topic_id=TOPIC_ID,
            wall_ms=lambda: 0,
        )
        while log.log_end_offset < 12:
            records = [Record(i, 0, None, b"value", ()) for i in range(3)]
            log.append_as_leader(encode_batch(records), leader_epoch=0)
        assert len(log.segments) > 1
        log.close()
    return disk


@pytest.fixture
def directory(disk):
    return DataDirectory(disk, DATA)


class Fetcher:
    """A fetcher that only notes what it is given."""

    def __init__(self) -> None:
        self.followed: list[str] = []

    def follow(self, partition) -> None:
        self.followed.append(partition.name)

    def forget(self, partition) -> bool:
        if partition.name not in self.followed:
            return False
        self.followed.remove(partition.name)
        return True


@pytest.fixture
def fetcher():
    return Fetcher()


@pytest.fixture
def open_partitions(disk, directory, fetcher):
    def open_again(*, clean: bool = True) -> Partitions:
        context = PartitionContext(
            broker_id=US,
            flusher=Flusher(disk),
            lease_held=lambda: True,
            storage_failed=lambda error: pytest.fail(str(error)),
            throttles=Throttles(),
            isr_due=lambda _: None,
            checkpoint_due=lambda: partitions.checkpoints.write_soon(),  # noqa: PLW0108 - made below
        )
        partitions = Partitions(
            disk=disk,
            directory=directory,
            context=context,
            fetchers=Fetchers(lambda _: fetcher),
            topic_defaults={"segment.bytes": str(1 << 20)},
            wall_ms=lambda: 0,
        )
        partitions.load(clean=clean)
        return partitions

    return open_again


def hide_where_batches_begin(disk: MemoryDisk, index: int) -> None:
    """Damage the first batch's length, and what spares the log from reading it when it opens."""
    disk.flip_bit(f"{DATA}/orders-{index}/{0:020d}.log", 8, 4)
    disk.flip_bit(f"{DATA}/orders-{index}/leader-epoch-checkpoint", 0, 7)


def cluster(*, topic_id: bytes = TOPIC_ID, partitions: int = 2) -> ClusterState:
    led_by_us = PartitionState(
        replicas=(US, PEER), leader_id=US, leader_epoch=1, isr=(US,), leader_broker_epoch=OUR_EPOCH
    )
    topic = TopicState("orders", topic_id, {}, (led_by_us,) * partitions, version=0)
    return ClusterState(topics={"orders": topic})


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


# Replicas that were reassigned to others.


def moved(*replicas: int, partition_epoch: int, leader_epoch: int = 5) -> ClusterState:
    """Have a peer lead `orders-0` on these replicas; we keep the other one."""
    (_, ours) = cluster().topics["orders"].partitions
    theirs = PartitionState(
        replicas=replicas,
        leader_id=PEER,
        leader_epoch=leader_epoch,
        isr=(PEER,),
        partition_epoch=partition_epoch,
    )
    topic = TopicState("orders", TOPIC_ID, {}, (theirs, ours), version=partition_epoch)
    return ClusterState(topics={"orders": topic})


async def test_a_replica_that_is_not_listed_any_more_serves_nobody_and_stays_until_it_is_dropped(
    disk, fetcher, open_partitions
):
    partitions = open_partitions()
    await partitions.obey(moved(US, PEER, partition_epoch=1), broker_epoch=OUR_EPOCH)
    assert fetcher.followed == ["orders-0"]
    gone = moved(PEER, partition_epoch=2)

    await partitions.obey(gone, broker_epoch=OUR_EPOCH)

    assert fetcher.followed == []
    with pytest.raises(NotLeader):
        partitions.get("orders", 0).require_leader()
    assert partitions.unlisted == [gone.topics["orders"]]
    assert disk.exists(f"{DATA}/orders-0")

    await partitions.drop_unlisted(gone.topics["orders"])

    assert replicas_on(disk) == ["orders-1"]
    assert partitions.unlisted == []
    with pytest.raises(NotLeader) as refusal:
        partitions.get("orders", 0)
    assert refusal.value.leader_id == PEER


async def test_a_replica_that_is_listed_again_is_fetched_again_and_not_dropped(
    disk, fetcher, open_partitions
):
    partitions = open_partitions()
    gone = moved(PEER, partition_epoch=2)
    await partitions.obey(gone, broker_epoch=OUR_EPOCH)
    await partitions.obey(moved(PEER, US, partition_epoch=3), broker_epoch=OUR_EPOCH)

    await partitions.drop_unlisted(gone.topics["orders"])

    assert partitions.get("orders", 0).log.log_end_offset == 12
    assert fetcher.followed == ["orders-0"]


async def test_news_older_than_what_a_replica_has_obeyed_does_not_unlist_it(
    fetcher, open_partitions
):
    partitions = open_partitions()
    await partitions.obey(moved(US, PEER, partition_epoch=3), broker_epoch=OUR_EPOCH)

    await partitions.obey(moved(PEER, partition_epoch=2), broker_epoch=OUR_EPOCH)

    assert partitions.unlisted == []


async def test_a_replica_of_another_topic_of_that_name_is_not_unlisted(disk, open_partitions):
    partitions = open_partitions()
    (theirs, _) = moved(PEER, partition_epoch=2).topics["orders"].partitions
    topic = TopicState("orders", NEXT_TOPIC_ID, {}, (theirs, theirs), version=2)

    await partitions.obey(ClusterState(topics={"orders": topic}), broker_epoch=OUR_EPOCH)

    assert partitions.unlisted == []
    assert replicas_on(disk) == ["orders-0", "orders-1"]


async def test_an_offline_replica_that_is_not_listed_is_dropped_as_well(disk, open_partitions):
    hide_where_batches_begin(disk, 0)
    partitions = open_partitions()
    gone = moved(PEER, partition_epoch=2)
    await partitions.obey(gone, broker_epoch=OUR_EPOCH)

    await partitions.drop_unlisted(gone.topics["orders"])

    assert replicas_on(disk) == ["orders-1"]


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
