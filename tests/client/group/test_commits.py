"""What is committed, when, and in whose name: never what was not handed out."""

from __future__ import annotations

from random import Random

import pytest
import trio

from client.assignment import Assignment, PartitionState
from client.backoff import Backoff
from client.errors import CommitFailed, UnknownTopic, WaitTimedOut
from client.group.committing import CommitOptions, Commits
from client.group.signal import Signal
from client.records import OffsetAndMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError
from tests.support.group_apps import Reader, committed, fill, place, places, read


async def test_the_end_of_the_block_commits_what_was_handed_out(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 7)

    assert committed(group) == {place(0): 7}
    assert cluster.count(ApiKey.OFFSET_COMMIT) == 1


async def end_with_an_error(consumer_of, work):
    """Have a consumer of `orders` do this work, then raise an error of the application's."""

    async def fail():
        async with consumer_of() as consumer:
            consumer.subscribe(["orders"])
            await work(consumer)
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()


async def test_an_error_leaves_uncommitted_what_was_handed_out_last(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)

    async def polls(consumer):
        assert len(await consumer.poll(max_records=3)) == 3
        assert len(await consumer.poll(max_records=2)) == 2

    async def iterates(consumer):
        async for record in consumer:
            if record.offset == 7:
                break

    await end_with_an_error(consumer_of, polls)
    assert committed(group) == {place(0): 3}
    await end_with_an_error(consumer_of, iterates)
    assert committed(group) == {place(0): 7}
    assert not group.members


async def test_an_error_leaves_uncommitted_what_was_at_hand_after_a_pause(
    cluster, consumer_of, group, autojump_clock
):
    cluster.add_topic("orders").partitions[0].add(b"0", b"1", b"2")

    async def pauses(consumer):
        await anext(consumer)
        consumer.pause(place(0))
        assert await consumer.poll(timeout_s=0) == []
        consumer.resume(place(0))
        assert (await anext(consumer)).offset == 1

    await end_with_an_error(consumer_of, pauses)
    assert committed(group) == {place(0): 1}


async def test_a_cancelled_consumer_commits_and_leaves_all_the_same(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)
    revoked = []

    with trio.move_on_after(2) as scope:
        async with consumer_of() as consumer:
            consumer.subscribe(["orders"], on_revoked=revoked.append)
            await read(consumer, 6)
            await consumer.poll(max_records=2)
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert committed(group) == {place(0): 6}
    assert revoked == [places(1)]
    assert not group.members
    assert trio.current_time() < 3


def kill_all(cluster):
    for broker_id in cluster.broker_ids:
        cluster.kill(broker_id)


def silence_all(cluster):
    cluster.silent.update(cluster.broker_ids)


@pytest.mark.parametrize(("lose_all", "patience_s"), [(kill_all, 1), (silence_all, 3)])
async def test_a_consumer_that_ends_does_not_wait_long_for_brokers_that_are_gone(
    cluster, consumer_of, group, autojump_clock, caplog, lose_all, patience_s
):
    fill(cluster, partitions=1)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 6)
        lose_all(cluster)
        gone_at = trio.current_time()
    assert trio.current_time() - gone_at <= patience_s
    assert committed(group) == {}
    (warning,) = caplog.messages
    assert warning.startswith("the last commit to group 'g' was given up after")
    assert "no broker answers: what was handed out last is handed out again" in warning


@pytest.mark.parametrize(("lose_all", "patience_s"), [(kill_all, 1), (silence_all, 3)])
async def test_a_cancelled_consumer_does_not_wait_long_for_brokers_that_are_gone(
    cluster, consumer_of, autojump_clock, caplog, lose_all, patience_s
):
    fill(cluster, partitions=1)

    with trio.move_on_after(2):
        async with consumer_of() as consumer:
            consumer.subscribe(["orders"])
            await read(consumer, 6)
            lose_all(cluster)
            await trio.sleep_forever()

    assert trio.current_time() - 2 <= patience_s
    (warning,) = caplog.messages
    assert warning.startswith("the consumer could not part from group 'g' in peace: ")


async def test_unsubscribing_does_not_wait_long_for_brokers_that_are_gone(
    cluster, consumer_of, autojump_clock
):
    fill(cluster, partitions=1)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 6)
        silence_all(cluster)
        gone_at = trio.current_time()
        await consumer.unsubscribe()
        assert trio.current_time() - gone_at <= 3
        assert consumer.assignment == ()


@pytest.mark.parametrize("lose", ["kill", "silence"])
async def test_while_any_broker_answers_the_group_is_looked_for_and_left(
    cluster, consumer_of, group, nursery, autojump_clock, caplog, lose
):
    fill(cluster, partitions=1)

    @nursery.start_soon
    async def move_later():
        await trio.sleep(6)
        group.move(1)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 6)
        await trio.sleep(3 - trio.current_time())
        if lose == "kill":
            cluster.kill(0)
        else:
            cluster.silent.add(0)
    assert committed(group) == {place(0): 6}
    assert not group.members
    assert caplog.messages == []


async def test_a_broker_of_the_group_that_stays_away_is_given_up_with_a_warning(
    cluster, consumer_of, autojump_clock, caplog
):
    fill(cluster, partitions=1)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 6)
        cluster.kill(0)
        gone_at = trio.current_time()
    assert trio.current_time() - gone_at <= 6
    (warning,) = caplog.messages
    assert warning.startswith("leaving group 'g' was given up after 5.0 s, its broker does not")


async def test_commits_go_out_by_interval_for_what_was_handed_out_before_the_last_poll(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1, records=100)

    async with consumer_of(auto_commit_interval_s=5) as consumer:
        consumer.subscribe(["orders"])
        for _ in range(10):
            await consumer.poll(max_records=3)
            await trio.sleep(1)
        while not committed(group):
            await consumer.poll(max_records=3)
            await trio.sleep(0.1)
        (first,) = group.commits
        assert 5 <= first.at_s < 8
        assert first.offset % 3 == 0
        handed_out = consumer.position(place(0))
        await trio.sleep(20)
        assert committed(group)[place(0)] < handed_out
        assert len(group.commits) == 1, "nothing is committed while the application is away"


async def test_stock_that_was_taken_before_does_not_undo_what_the_application_commits(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)

    async with consumer_of(auto_commit_interval_s=1) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 6)
        await trio.sleep(1.5)
        assert len(await consumer.poll(max_records=2)) == 2
        await consumer.commit()
        assert committed(group) == {place(0): 8}
        await trio.sleep(0.2)
        assert committed(group) == {place(0): 8}


async def test_an_error_does_not_take_back_what_the_application_has_committed(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)

    async def commits_within_a_poll(consumer):
        assert len(await consumer.poll(max_records=3)) == 3
        assert len(await consumer.poll(max_records=4)) == 4
        await consumer.commit({place(0): 5})

    await end_with_an_error(consumer_of, commits_within_a_poll)
    assert [commit.offset for commit in group.commits] == [5]

    with trio.move_on_after(5):
        async with consumer_of() as consumer:
            consumer.subscribe(["orders"])
            assert len(await consumer.poll(max_records=4)) == 4
            await consumer.commit()
            await trio.sleep_forever()
    assert committed(group) == {place(0): 9}


async def test_after_going_back_an_error_commits_where_it_went(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)

    async def goes_back(consumer):
        await read(consumer, 8)
        await consumer.commit()
        consumer.seek(place(0), 2)
        assert len(await consumer.poll(max_records=1)) == 1
        assert len(await consumer.poll(max_records=1)) == 1

    await end_with_an_error(consumer_of, goes_back)
    assert committed(group) == {place(0): 3}


async def test_an_idle_consumer_commits_nothing_again(cluster, consumer_of, group, autojump_clock):
    fill(cluster, partitions=1)

    async with consumer_of(auto_commit_interval_s=1) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 10)
        assert await consumer.poll(timeout_s=20) == []
        assert committed(group) == {place(0): 10}
    assert cluster.count(ApiKey.OFFSET_COMMIT) == 1


async def test_iterating_commits_by_interval_as_well(cluster, consumer_of, group, autojump_clock):
    fill(cluster, partitions=1, records=30)

    async with consumer_of(auto_commit_interval_s=2) as consumer:
        consumer.subscribe(["orders"])
        async for record in consumer:
            assert committed(group).get(place(0), 0) <= record.offset
            await trio.sleep(1)
            if record.offset == 20:
                break
        assert committed(group)[place(0)] >= 16


async def test_without_auto_commit_only_the_application_commits(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=2)

    async with consumer_of(enable_auto_commit=False, auto_commit_interval_s=0.1) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 12)
        await trio.sleep(1)
        await read(consumer, 4)
        assert committed(group) == {}
        await consumer.commit()
        handed_out = {p: consumer.position(p) for p in places(2)}
        assert committed(group) == handed_out
        await read(consumer, 4)
    assert committed(group) == handed_out


async def test_any_offset_can_be_committed_with_epoch_and_metadata(
    cluster, consumer_of, group, autojump_clock
):
    topic = fill(cluster, partitions=2)
    topic.partitions[0].elect(leader_id=1)
    topic.partitions[0].add(b"later")

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 21)
        await consumer.commit()
        found = await consumer.committed(*places(2), place(9))
        assert found == {
            place(0): OffsetAndMetadata(11, leader_epoch=1),
            place(1): OffsetAndMetadata(10, leader_epoch=0),
            place(9): None,
        }
        await consumer.commit({place(0): 3, place(1): OffsetAndMetadata(4, 0, "by hand")})
        assert await consumer.committed(*places(2)) == {
            place(0): OffsetAndMetadata(3),
            place(1): OffsetAndMetadata(4, 0, "by hand"),
        }
        with pytest.raises(ValueError, match="offset -1 of orders-0"):
            await consumer.commit({place(0): -1})


async def test_a_revoked_partition_can_be_committed_by_its_callback(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)

    async def commit_by_hand(revoked):
        await first.consumer.commit({p: OffsetAndMetadata(10, metadata="mine") for p in revoked})

    first = Reader(consumer_of(enable_auto_commit=False))
    first._note = lambda kind: commit_by_hand if kind == "revoked" else lambda _: None
    second = Reader(consumer_of())
    await nursery.start(first.run)
    await trio.sleep(2)
    await nursery.start(second.run)
    await trio.sleep(2)

    assert [commit.metadata for commit in group.offsets.values()] == ["mine"] * 4
    assert second.seen == []
    await first.stop()
    await second.stop()


async def test_a_commit_during_a_rebalance_waits_for_it(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)
    config = {"assignors": ("cooperative-sticky",)}

    async with consumer_of(enable_auto_commit=False, **config) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        slow = Reader(consumer_of(**config))
        cluster.script(ApiKey.SYNC_GROUP, *[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS] * 8)
        await nursery.start(slow.run)
        for _ in range(100):
            if consumer.group_metadata.generation_id == 2:
                break
            await trio.sleep(0.05)
        assert group.state.value == "CompletingRebalance"
        await consumer.commit()
        assert committed(group) == dict.fromkeys(places(4), 10)
        assert {commit.generation for commit in group.commits} == {2}
        await slow.stop()


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
async def test_what_was_given_up_is_committed_no_more(
    cluster, consumer_of, group, nursery, autojump_clock, faults, assignor
):
    fill(cluster)
    config = {"assignors": (assignor,), "enable_auto_commit": False}
    first, second = Reader(consumer_of(**config)), Reader(consumer_of(host="other", **config))
    await nursery.start(first.run)
    await trio.sleep(5)
    cluster.script(ApiKey.SYNC_GROUP, *[faults(delay_s=0.5)] * 2)
    await nursery.start(second.run)
    for _ in range(5000):
        if first.told("revoked") and group.state.value != "Stable":
            break
        await trio.sleep(0.001)
    assert group.state.value != "Stable"

    with pytest.raises(CommitFailed, match="given up meanwhile"):
        # By a worker of the application's that is done with what it was handed before.
        await first.consumer.commit(dict.fromkeys(first.told("revoked"), 5))

    assert group.commits == []
    await trio.sleep(5)
    assert len(second.consumer.assignment) == 2
    await first.consumer.commit(dict.fromkeys(first.consumer.assignment, 7))
    assert committed(group) == dict.fromkeys(first.consumer.assignment, 7)
    await first.stop()
    await second.stop()


async def test_stock_taken_of_what_is_given_up_is_not_committed(autojump_clock):
    place = TopicPartition("orders", 0)
    asked = []

    class Offsets:
        async def commit(self, offsets, committer, *, is_held):
            asked.append(offsets)
            await trio.sleep(0.01)

    assignment = Assignment()
    state = PartitionState(place, backoff=Backoff(Random(1)), check_crc=True, of_group=True)
    assignment.add([state])
    state.seek(7)
    commits = Commits(
        Offsets(),
        assignment,
        CommitOptions(automatic=True, interval_s=5.0),
        committer=lambda: None,
        signal=Signal(lambda: None),
        on_error=pytest.fail,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.run)
        await trio.sleep(6)
        commits.take_stock()
        assignment.remove([place])
        commits.forget([place])
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert asked == []


async def test_who_was_thrown_out_cannot_commit_and_is_told_why(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    lost = []

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"], on_lost=lost.append)
        await read(consumer, 40)
        group.expire(consumer.group_metadata.member_id)
        with pytest.raises(CommitFailed, match="UNKNOWN_MEMBER_ID in answer to OFFSET_COMMIT"):
            await consumer.commit()
        with pytest.raises(CommitFailed, match="gone on without this consumer"):
            await consumer.commit({place(0): 1})
        assert lost == []
        assert len(await read(consumer, 40)) == 40
        assert lost == [places(4)]
        await consumer.commit()
    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_commit_that_outlives_a_membership_is_not_repeated_under_the_next(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        member_id = consumer.group_metadata.member_id
        cluster.script(ApiKey.OFFSET_COMMIT, *[ErrorCode.COORDINATOR_LOAD_IN_PROGRESS] * 20)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def expire():
                await trio.sleep(1)
                group.expire(member_id)

            with pytest.raises(CommitFailed):
                await consumer.commit()
        assert group.commits == []


@pytest.mark.parametrize(
    ("code", "finally_refused"),
    [
        (ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, False),
        (ErrorCode.COORDINATOR_NOT_AVAILABLE, False),
        (ErrorCode.NOT_COORDINATOR, False),
        (ErrorCode.REQUEST_TIMED_OUT, False),
        (ErrorCode.REBALANCE_IN_PROGRESS, False),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, False),
        (ErrorCode.OFFSET_METADATA_TOO_LARGE, True),
        (ErrorCode.INVALID_COMMIT_OFFSET_SIZE, True),
        (ErrorCode.GROUP_AUTHORIZATION_FAILED, True),
        (ErrorCode.TOPIC_AUTHORIZATION_FAILED, True),
        (ErrorCode.UNKNOWN_SERVER_ERROR, True),
    ],
)
async def test_a_commit_is_repeated_as_long_as_that_may_help(
    cluster, consumer_of, group, autojump_clock, code, finally_refused
):
    fill(cluster)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.OFFSET_COMMIT, *[code] * (1 if finally_refused else 2))
        if finally_refused:
            with pytest.raises(RequestError, match=f"orders-0.*{code.name}") as refused:
                await consumer.commit()
            assert refused.value.code is code
        await consumer.commit()
    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_refused_automatic_commit_is_told_by_poll(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async with consumer_of(auto_commit_interval_s=1) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.OFFSET_COMMIT, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(RequestError, match="TOPIC_AUTHORIZATION_FAILED"):
            await consumer.poll(timeout_s=5)
        assert await consumer.poll(timeout_s=5) == []
    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_commit_that_is_refused_at_the_end_is_told_after_leaving(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async def read_all():
        async with consumer_of() as consumer:
            consumer.subscribe(["orders"])
            await read(consumer, 40)
            cluster.script(ApiKey.OFFSET_COMMIT, ErrorCode.TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(RequestError, match="TOPIC_AUTHORIZATION_FAILED"):
        await read_all()
    assert len(group.left) == 1


@pytest.mark.parametrize("fault", [{"drop_before": True}, {"drop_after": True}])
async def test_a_lost_answer_to_a_commit_is_asked_for_again(
    cluster, consumer_of, group, faults, autojump_clock, fault
):
    fill(cluster)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.OFFSET_COMMIT, faults(**fault), faults(**fault))
        await consumer.commit()
    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_repeated_commit_never_undoes_a_later_one(
    cluster, consumer_of, group, faults, autojump_clock
):
    fill(cluster, partitions=1)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 3)
        cluster.script(ApiKey.OFFSET_COMMIT, faults(drop_before=True), faults(drop_after=True))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consumer.commit)
            await trio.lowlevel.checkpoint()
            await read(consumer, 3)
            nursery.start_soon(consumer.commit)
    assert [commit.offset for commit in group.commits] == sorted(c.offset for c in group.commits)
    assert committed(group) == {place(0): 6}


async def test_a_commit_that_gets_no_answer_times_out(cluster, consumer_of, faults, autojump_clock):
    fill(cluster)

    async with consumer_of(enable_auto_commit=False, metadata_timeout_s=10) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.OFFSET_COMMIT, faults(hang=True))
        with pytest.raises(WaitTimedOut, match="10 s waiting for the commit"):
            await consumer.commit()


async def test_committing_what_no_longer_exists_is_an_error_after_a_while(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        with pytest.raises(UnknownTopic, match="nowhere-0"):
            await consumer.commit({place(0, "nowhere"): 1})


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ],
)
async def test_committed_offsets_are_looked_up_until_they_are_known(
    cluster, consumer_of, group, faults, autojump_clock, code
):
    fill(cluster, partitions=1)
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 5)

    cluster.script(ApiKey.OFFSET_FETCH, code, faults(drop_after=True), code)
    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        assert [r.offset for r in await read(consumer, 5)] == [5, 6, 7, 8, 9]


async def test_an_offset_that_a_transaction_may_still_undo_is_waited_for(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=2)
    group.unstable.add(("orders", 1))

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=3) == []
        assert all(
            r.require_stable for _, key, _, r in cluster.requests if key is ApiKey.OFFSET_FETCH
        )
        group.unstable.clear()
        await read(consumer, 20)


async def test_a_refused_lookup_is_told_by_poll(cluster, consumer_of, autojump_clock):
    fill(cluster, partitions=1)
    cluster.script(ApiKey.OFFSET_FETCH, ErrorCode.GROUP_AUTHORIZATION_FAILED)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        with pytest.raises(RequestError, match="group 'g': GROUP_AUTHORIZATION_FAILED"):
            await consumer.poll()
        consumer.seek(place(0), 0)
        await read(consumer, 10)


async def test_who_assigns_by_hand_commits_without_being_a_member(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async with consumer_of(auto_commit_interval_s=1) as consumer:
        await consumer.assign([place(0)])
        await read(consumer, 3)
        await consumer.commit()
        assert committed(group) == {place(0): 3}
        await read(consumer, 2)
        await consumer.poll(timeout_s=0, max_records=1)
        await trio.sleep(2)
        await consumer.poll(max_records=1)
        await trio.sleep(1)
        assert committed(group) == {place(0): 6}
    assert committed(group) == {place(0): 7}
    assert {(c.member_id, c.generation) for c in group.commits} == {("", -1)}
    assert cluster.count(ApiKey.JOIN_GROUP) == cluster.count(ApiKey.LEAVE_GROUP) == 0

    async with consumer_of() as consumer:
        await consumer.assign([place(0)])
        assert consumer.position(place(0)) == 7


async def test_a_group_with_members_takes_no_commits_of_others(
    cluster, consumer_of, nursery, autojump_clock
):
    fill(cluster)
    member = Reader(consumer_of())
    await nursery.start(member.run)
    await trio.sleep(2)

    async with consumer_of(enable_auto_commit=False) as consumer:
        await consumer.assign([place(0)])
        with pytest.raises(RequestError, match="only they may commit.*UNKNOWN_MEMBER_ID"):
            await consumer.commit({place(0): 5})
    await member.stop()
