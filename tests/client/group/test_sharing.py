"""Members share partitions: who reads which, what callbacks are told, and what moves."""

from __future__ import annotations

import re

import pytest
import trio

from client.errors import NoGroup, NoPosition, NothingAssigned, SubscriptionConflict
from client.group.assignors import ASSIGNORS
from protocol.api import ApiKey
from protocol.consumer_protocol import decode_subscription
from tests.support.group_apps import Reader, committed, fill, place, places, read


async def test_a_lone_member_reads_everything(cluster, consumer_of, group, autojump_clock):
    fill(cluster)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        records = await read(consumer, 40)
        assert consumer.subscription == ("orders",)
        assert sorted(consumer.assignment) == list(places(4))
        assert consumer.group_metadata.generation_id == 1
        assert consumer.group_metadata.member_id in group.members

    assert len({(r.partition, r.offset) for r in records}) == 40
    assert group.left == [(consumer_id(group), "the consumer is being closed")]


def consumer_id(group):
    (member_id,) = {member_id for member_id, _ in group.left}
    return member_id


@pytest.mark.parametrize("assignor", ASSIGNORS)
async def test_members_that_come_and_leave_hand_every_record_out_once(
    cluster, consumer_of, group, nursery, autojump_clock, assignor
):
    topic = fill(cluster)
    readers = [Reader(consumer_of(assignors=(assignor,))) for _ in range(3)]

    async def write():
        for i in range(20):
            await trio.sleep(0.5)
            for partition in topic.partitions:
                partition.add(b"more %d" % i)
            cluster.wake_fetches()

    nursery.start_soon(write)
    for reader in readers:
        await nursery.start(reader.run)
        await trio.sleep(2)
    assert sorted(len(reader.consumer.assignment) for reader in readers) == [1, 1, 2]
    await readers[1].stop()
    await trio.sleep(2)
    assert sorted(len(readers[i].consumer.assignment) for i in (0, 2)) == [2, 2]
    await trio.sleep(5)
    for reader in (readers[0], readers[2]):
        await reader.stop()

    seen = [record for reader in readers for record in reader.seen]
    assert len(seen) == len(set(seen)) == 4 * 30
    assert committed(group) == dict.fromkeys(places(4), 30)
    assert not group.members
    assert not any(reader.told("lost") for reader in readers)


async def test_an_eager_member_gives_up_everything_before_it_joins_again(
    cluster, consumer_of, nursery, autojump_clock
):
    fill(cluster)
    first, second = Reader(consumer_of()), Reader(consumer_of())
    await nursery.start(first.run)
    await trio.sleep(2)
    await nursery.start(second.run)
    await trio.sleep(2)

    assert first.events == [
        ("assigned", places(4)),
        ("revoked", places(4)),
        ("assigned", first.events[-1][1]),
    ]
    assert len(first.events[-1][1]) == 2
    await first.stop()
    await second.stop()


async def test_a_cooperative_member_gives_up_only_what_moves_and_reads_on(
    cluster, consumer_of, nursery, autojump_clock
):
    topic = fill(cluster)
    config = {"assignors": ("cooperative-sticky",)}
    first, second = Reader(consumer_of(**config)), Reader(consumer_of(**config))
    await nursery.start(first.run)
    await trio.sleep(2)
    before = len(first.seen)

    await nursery.start(second.run)
    topic.partitions[0].add(b"meanwhile")
    cluster.wake_fetches()
    await trio.sleep(4)

    assert len(first.seen) == before + 1
    moved = first.told("revoked")
    assert len(moved) == 2
    assert sorted(second.told("assigned")) == moved
    assert sorted(first.told("assigned")) == list(places(4))
    await first.stop()
    await second.stop()


async def test_no_partition_is_read_by_two_cooperative_members(
    cluster, consumer_of, nursery, autojump_clock
):
    fill(cluster, partitions=7)
    readers = [Reader(consumer_of(assignors=("cooperative-sticky",))) for _ in range(3)]
    for reader in readers:
        await nursery.start(reader.run)
        await trio.sleep(0.3)
    for _ in range(200):
        held = [p for reader in readers for p in reader.consumer.assignment]
        assert len(held) == len(set(held))
        await trio.sleep(0.05)
    assert sorted(len(reader.consumer.assignment) for reader in readers) == [2, 2, 3]
    for reader in readers:
        await reader.stop()


async def test_callbacks_run_in_the_task_that_polls_and_may_be_async(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)
    told = []

    async def assigned(what):
        await trio.sleep(5)
        told.append(("assigned", what, trio.lowlevel.current_task()))

    def revoked(what):
        told.append(("revoked", what, trio.lowlevel.current_task()))

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_assigned=assigned, on_revoked=revoked)
        assert await consumer.poll(timeout_s=0) == []
        await read(consumer, 1)

    me = trio.lowlevel.current_task()
    assert told == [("assigned", places(4), me), ("revoked", places(4), me)]


async def test_what_a_callback_raises_leaves_through_poll_and_the_rebalance_goes_on(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)

    def refuse(_):
        raise LookupError("mine")

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_assigned=refuse)
        with pytest.raises(LookupError, match="mine"):
            await consumer.poll()
        assert len(await read(consumer, 40)) == 40


async def test_polling_from_a_callback_is_refused(cluster, consumer_of, autojump_clock):
    fill(cluster)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_assigned=lambda _: consumer.poll())
        with pytest.raises(RuntimeError, match="by a rebalance callback"):
            await consumer.poll()


async def test_seeking_when_partitions_come_wins_over_what_was_committed(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_assigned=lambda _: consumer.seek(place(1), 7))
        records = await read(consumer, 3)

    assert [(r.partition, r.offset) for r in records] == [(1, 7), (1, 8), (1, 9)]


async def test_a_paused_partition_stays_paused_through_a_cooperative_rebalance(
    cluster, consumer_of, nursery, autojump_clock
):
    fill(cluster, partitions=3)

    async with consumer_of(assignors=("cooperative-sticky",)) as consumer:
        consumer.subscribe(["orders"], on_assigned=lambda _: consumer.pause(*consumer.assignment))
        assert await consumer.poll(timeout_s=2) == []
        other = Reader(consumer_of(assignors=("cooperative-sticky",)))
        await nursery.start(other.run)
        assert await consumer.poll(timeout_s=3) == []
        kept = consumer.assignment
        assert consumer.paused == kept
        assert len(kept) == 2
        consumer.resume(*kept)
        await read(consumer, 20)
        await other.stop()


async def test_a_reader_goes_on_where_the_group_is(cluster, consumer_of, autojump_clock):
    topic = fill(cluster, partitions=1)
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 4)

    topic.partitions[0].elect(leader_id=2)
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        assert [r.offset for r in await read(consumer, 6)] == [4, 5, 6, 7, 8, 9]
    # The epoch was committed as well, so the new leader's log was compared with what was read.
    assert cluster.count(ApiKey.OFFSET_FOR_LEADER_EPOCH) == 1


async def test_where_nothing_was_committed_the_reset_policy_decides(
    cluster, consumer_of, autojump_clock
):
    topic = fill(cluster, partitions=1)

    async with consumer_of(auto_offset_reset="latest") as consumer:
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=2) == []
        assert consumer.position(place(0)) == 10
        topic.partitions[0].add(b"new")
        cluster.wake_fetches()
        assert [r.value for r in await read(consumer, 1)] == [b"new"]
    async with consumer_of(auto_offset_reset="none", group_id="fresh") as consumer:
        consumer.subscribe(["orders"])
        with pytest.raises(NoPosition, match="orders-0"):
            await consumer.poll()


async def test_subscribing_anew_gives_up_what_is_no_longer_wanted(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=2)
    fill(cluster, partitions=2, topic="tills")
    told = []

    for assignors in (("range",), ("cooperative-sticky",)):
        async with consumer_of(assignors=assignors, group_id="g-" + assignors[0]) as consumer:
            consumer.subscribe(["orders"], on_revoked=told.append)
            await read(consumer, 5)
            consumer.subscribe(["tills"], on_revoked=told.append)
            records = await read(consumer, 20)
            assert {r.topic for r in records} == {"tills"}
            assert consumer.assignment == places(2, "tills")
        assert told == [places(2), places(2, "tills")]
        told.clear()


async def test_unsubscribing_commits_gives_up_and_leaves(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    told = []

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_revoked=told.append)
        await read(consumer, 40)
        await consumer.unsubscribe()
        assert told == [places(4)]
        assert consumer.assignment == consumer.subscription == ()
        assert [reason for _, reason in group.left] == ["the consumer unsubscribed from all topics"]
        assert committed(group) == dict.fromkeys(places(4), 10)
        with pytest.raises(NothingAssigned, match="subscribe, or assign"):
            await consumer.poll()
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=2) == []
        assert len(consumer.assignment) == 4


async def test_a_group_and_assigning_by_hand_exclude_each_other(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)

    async with consumer_of() as consumer:
        await consumer.assign(places(4))
        with pytest.raises(SubscriptionConflict, match="unsubscribe first"):
            consumer.subscribe(["orders"])
        await consumer.unsubscribe()
        consumer.subscribe(["orders"])
        with pytest.raises(SubscriptionConflict, match="unsubscribe first"):
            await consumer.assign(places(4))


async def test_without_a_group_id_there_is_no_group(cluster, consumer_of, autojump_clock):
    fill(cluster)

    async with consumer_of(group_id=None) as consumer:
        with pytest.raises(NoGroup, match="subscribe needs a group: set group_id"):
            consumer.subscribe(["orders"])
        with pytest.raises(NoGroup, match="commit needs a group"):
            await consumer.commit()
        with pytest.raises(NoGroup):
            await consumer.committed(place(0))


@pytest.mark.parametrize(
    ("topics", "error"),
    [("orders", TypeError), ([], ValueError), (re.compile(b"orders"), TypeError)],
)
async def test_what_is_no_subscription_is_refused(
    cluster, consumer_of, autojump_clock, topics, error
):
    async with consumer_of() as consumer:
        with pytest.raises(error):
            consumer.subscribe(topics)


async def test_members_read_in_their_own_racks_where_the_leader_knows_these(
    cluster, consumer_of, nursery, autojump_clock
):
    cluster.racks = {0: "attic", 1: "cellar", 2: "garage"}
    topic = fill(cluster)
    for number, partition in enumerate(topic.partitions):
        partition.replicas = [number % 2]
    cellar, attic = (Reader(consumer_of(client_rack=rack)) for rack in ("cellar", "attic"))
    for reader in (cellar, attic):
        await nursery.start(reader.run)
    await trio.sleep(5)

    assert sorted(attic.consumer.assignment) == [place(0), place(2)]
    assert sorted(cellar.consumer.assignment) == [place(1), place(3)]
    for reader in (cellar, attic):
        await reader.stop()


async def test_the_group_is_told_reasons_owned_partitions_and_rack(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster, partitions=2)
    config = {"assignors": ("cooperative-sticky",), "client_rack": "cellar"}
    first, second = Reader(consumer_of(**config)), Reader(consumer_of(**config))
    await nursery.start(first.run)
    await trio.sleep(2)
    await nursery.start(second.run)
    await trio.sleep(2)
    await first.stop()
    await second.stop()

    joins = [r for _, key, _, r in cluster.requests if key is ApiKey.JOIN_GROUP]
    assert [join.reason for join in joins[:2]] == ["the subscription has changed"] * 2
    assert {join.reason for join in joins[2:]} >= {
        "the group is rebalancing",
        "gave up partitions that others are to read",
    }
    told = decode_subscription(joins[4].protocols[0].metadata)
    assert (told.topics, told.rack_id, told.generation_id) == (["orders"], "cellar", 1)
    assert [(t.topic, t.partitions) for t in told.owned_partitions] == [("orders", [0, 1])]
