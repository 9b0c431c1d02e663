"""Replicas that were reassigned to others: kept until that is certain, fetched where it is not."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from broker.errors import NotLeader
from coordinator.cluster import ClusterState, PartitionState, TopicState
from tests.broker.hosting import (
    DATA,
    NEXT_TOPIC_ID,
    OUR_EPOCH,
    PEER,
    TOPIC_ID,
    US,
    cluster,
    hide_where_batches_begin,
    replicas_on,
)


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


async def test_a_replica_that_is_listed_again_is_fetched_also_where_the_session_ends_meanwhile(
    disk, fetcher, open_partitions
):
    disk.remove(f"{DATA}/orders-0")
    partitions = open_partitions()
    theirs = PartitionState((PEER,), leader_id=PEER, leader_epoch=5, isr=(PEER,), partition_epoch=2)
    gone = TopicState("orders", TOPIC_ID, {}, (theirs, theirs), version=2)
    await partitions.obey(ClusterState(topics={"orders": gone}), broker_epoch=OUR_EPOCH)
    assert partitions.unlisted == [gone]
    ours = replace(theirs, replicas=(PEER, US), partition_epoch=3)
    again = TopicState("orders", TOPIC_ID, {}, (ours, ours), version=3)

    with trio.CancelScope() as session:
        session.cancel()  # while `orders-0` is about to be made, and before `orders-1`
        await partitions.obey(ClusterState(topics={"orders": again}), broker_epoch=OUR_EPOCH)
    assert session.cancelled_caught
    await partitions.obey(ClusterState(topics={"orders": again}), broker_epoch=OUR_EPOCH + 1)

    assert fetcher.followed == ["orders-0", "orders-1"]
    assert partitions.unlisted == []
