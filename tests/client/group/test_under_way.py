"""What becomes of joins and commits under way when the application, or the group, goes on."""

from __future__ import annotations

import re

import pytest
import trio

from client.errors import CommitFailed
from protocol.api import ApiKey
from protocol.errors import ErrorCode
from tests.support.fake_cluster import Fault
from tests.support.group_apps import Reader, committed, fill, place, places, read


@pytest.mark.parametrize("instance", ["one", None])
async def test_who_unsubscribes_while_it_joins_is_no_member(
    cluster, consumer_of, group, autojump_clock, instance
):
    fill(cluster)
    cluster.script(ApiKey.JOIN_GROUP, Fault(delay_s=1))

    async with consumer_of(group_instance_id=instance) as consumer:
        consumer.subscribe(["orders"])
        await consumer.poll(timeout_s=0.2)
        await consumer.unsubscribe()
        await trio.sleep(60)
        assert not group.members
        consumer.subscribe(["orders"])
        assert len(await read(consumer, 40)) == 40


async def test_who_subscribes_anew_while_it_joins_reads_what_it_wants_now(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)
    fill(cluster, topic="others")
    cluster.script(ApiKey.JOIN_GROUP, Fault(delay_s=1))

    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        await consumer.poll(timeout_s=0.2)
        await consumer.unsubscribe()
        consumer.subscribe(["others"])
        assert {record.topic for record in await read(consumer, 40)} == {"others"}


async def test_who_unsubscribes_from_a_pattern_while_topics_are_looked_up_is_no_member(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async with consumer_of() as consumer:
        consumer.subscribe(re.compile("ord.*"))
        await trio.sleep(0.5)
        cluster.script(ApiKey.METADATA, *[Fault(delay_s=0.5)] * 3)
        await consumer.poll(timeout_s=0.1)
        await consumer.unsubscribe()
        await trio.sleep(20)
        assert not group.members


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
async def test_a_commit_under_way_is_not_repeated_once_others_have_the_partition(
    cluster, consumer_of, group, nursery, autojump_clock, assignor
):
    fill(cluster)
    first = Reader(consumer_of(assignors=(assignor,), enable_auto_commit=False))
    await nursery.start(first.run)
    await trio.sleep(5)
    assert len(first.seen) == 40
    cluster.script(ApiKey.OFFSET_COMMIT, *[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS] * 9)
    nursery.start_soon(first.consumer.commit, {place(number): 5 for number in range(4)})
    await trio.sleep(0.3)
    second = Reader(consumer_of(host="other", assignors=(assignor,), enable_auto_commit=False))
    await nursery.start(second.run)
    with trio.fail_after(60):
        # Before the first one's next try, if there is one.
        while len(second.consumer.assignment) != 2 or cluster.faults[ApiKey.OFFSET_COMMIT]:  # noqa: ASYNC110
            await trio.sleep(0.01)
    moved = second.consumer.assignment

    await second.consumer.commit(dict.fromkeys(moved, 10))
    await trio.sleep(10)

    assert {at: committed(group)[at] for at in moved} == dict.fromkeys(moved, 10)
    assert all(committed(group)[at] == 5 for at in first.consumer.assignment)
    await first.stop()
    await second.stop()


async def test_a_loss_that_a_commit_is_told_of_is_acted_on_at_once(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)
    lost = []

    async with consumer_of(enable_auto_commit=False, heartbeat_interval_s=9) as consumer:
        consumer.subscribe(["orders"], on_lost=lost.append)
        await read(consumer, 40)
        consumer.pause(*places(4))

        async def commit() -> None:
            await trio.sleep(0.5)
            group.expire(consumer.group_metadata.member_id)
            with pytest.raises(CommitFailed):
                await consumer.commit()

        nursery.start_soon(commit)
        await consumer.poll(timeout_s=2)
        assert lost == [places(4)]
        await consumer.poll(timeout_s=5)
        assert {*consumer.assignment} == {*places(4)}


async def test_a_group_that_was_deleted_is_joined_anew(cluster, consumer_of, group, autojump_clock):
    fill(cluster)

    async with consumer_of(auto_commit_interval_s=0.1) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 20)
        cluster.script(ApiKey.OFFSET_COMMIT, ErrorCode.GROUP_ID_NOT_FOUND)
        lost = consumer.group_metadata.member_id
        assert len(await read(consumer, 20)) == 20
        with trio.fail_after(30):
            while consumer.assignment != places(4) or consumer.group_metadata.member_id == lost:
                await consumer.poll(timeout_s=0.2)
    assert not group.members
