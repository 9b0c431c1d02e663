"""What goes wrong between a member and its group, and what the application sees of it."""

from __future__ import annotations

import pytest
import trio

from client.errors import MemberFenced, NothingAssigned, UnsupportedApi
from client.group.assignors import ASSIGNORS
from protocol.api import ApiKey
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.errors import ErrorCode, RequestError
from tests.support.fake_cluster import Fault
from tests.support.group_apps import Reader, committed, fill, place, places, read

# Who is away too long


async def test_heartbeats_go_on_while_the_application_works_and_while_callbacks_run(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)

    async def slow(_):
        await trio.sleep(20)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_assigned=slow)
        await read(consumer, 1)
        await trio.sleep(25)
        assert consumer.group_metadata.member_id in group.members
        assert group.expired == []
        assert await read(consumer, 1)
    assert group.rebalances == 2, "one to come, one to go"


async def test_a_member_that_does_not_poll_leaves_and_says_why(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    events = []

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(
            ["orders"],
            on_lost=lambda p: events.append(("lost", p)),
            on_revoked=lambda p: events.append(("revoked", p)),
        )
        await read(consumer, 40)
        away_since = trio.current_time()
        await trio.sleep(60)
        (left,) = group.left
        assert left[1] == "the application did not poll for 30 s"
        assert group.expired == []
        joins = cluster.count(ApiKey.JOIN_GROUP)
        await trio.sleep(60)
        assert cluster.count(ApiKey.JOIN_GROUP) == joins, "it joins no more until it polls"
        assert events == []
        assert len(await read(consumer, 40)) == 40
        assert events == [("lost", places(4))]
        assert "the application polls again" in group.join_reasons
    assert events[1] == ("revoked", places(4))
    assert trio.current_time() > away_since + 120


async def test_iterating_counts_as_polling(cluster, consumer_of, group, autojump_clock):
    fill(cluster, partitions=1)
    seen = 0

    async with consumer_of(max_poll_interval_s=10) as consumer:
        consumer.subscribe(["orders"])
        async for _ in consumer:
            seen += 1
            if seen == 10:
                break
            await trio.sleep(8)

    assert len(group.left) == 1


async def test_waiting_for_records_is_not_being_away(cluster, consumer_of, group, autojump_clock):
    topic = fill(cluster, partitions=1)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 10)
        assert await consumer.poll(timeout_s=120) == []
        topic.partitions[0].add(b"late")
        cluster.wake_fetches()
        assert len(await read(consumer, 1)) == 1
        assert group.left == []


async def test_a_member_whose_session_ended_loses_its_partitions_and_joins_as_a_new_one(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    events = []

    async with consumer_of() as consumer:
        consumer.subscribe(
            ["orders"],
            on_assigned=lambda p: events.append(("assigned", p)),
            on_lost=lambda p: events.append(("lost", p)),
        )
        await read(consumer, 40)
        old_id = consumer.group_metadata.member_id
        group.expire(old_id)
        assert len(await read(consumer, 40)) == 40, "nothing was committed"
        assert consumer.group_metadata.member_id != old_id

    assert events == [("assigned", places(4)), ("lost", places(4)), ("assigned", places(4))]


async def test_what_is_lost_is_told_to_on_revoked_where_there_is_no_on_lost(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    told = []

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"], on_revoked=told.append)
        await read(consumer, 40)
        group.expire(consumer.group_metadata.member_id)
        await read(consumer, 1)
        assert told == [places(4)]


# What the group's broker answers

PROTOCOLS = [("range",), ("cooperative-sticky",)]

TRANSIENT = [
    (ApiKey.FIND_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    (ApiKey.FIND_COORDINATOR, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey.JOIN_GROUP, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey.JOIN_GROUP, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    (ApiKey.JOIN_GROUP, ErrorCode.NOT_COORDINATOR),
    (ApiKey.JOIN_GROUP, ErrorCode.UNKNOWN_MEMBER_ID),
    (ApiKey.JOIN_GROUP, ErrorCode.REBALANCE_IN_PROGRESS),
    (ApiKey.SYNC_GROUP, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey.SYNC_GROUP, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    (ApiKey.SYNC_GROUP, ErrorCode.NOT_COORDINATOR),
    (ApiKey.SYNC_GROUP, ErrorCode.UNKNOWN_MEMBER_ID),
    (ApiKey.SYNC_GROUP, ErrorCode.ILLEGAL_GENERATION),
    (ApiKey.SYNC_GROUP, ErrorCode.REBALANCE_IN_PROGRESS),
    (ApiKey.HEARTBEAT, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
    (ApiKey.HEARTBEAT, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    (ApiKey.HEARTBEAT, ErrorCode.NOT_COORDINATOR),
    (ApiKey.HEARTBEAT, ErrorCode.UNKNOWN_MEMBER_ID),
    (ApiKey.HEARTBEAT, ErrorCode.ILLEGAL_GENERATION),
    (ApiKey.HEARTBEAT, ErrorCode.REBALANCE_IN_PROGRESS),
    (ApiKey.LEAVE_GROUP, ErrorCode.COORDINATOR_NOT_AVAILABLE),
    (ApiKey.LEAVE_GROUP, ErrorCode.NOT_COORDINATOR),
    (ApiKey.LEAVE_GROUP, ErrorCode.UNKNOWN_MEMBER_ID),
]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("key", "code"), TRANSIENT)
async def test_what_will_pass_is_lived_through(
    cluster, consumer_of, group, nursery, autojump_clock, key, code, protocol
):
    topic = fill(cluster)
    first, second = (Reader(consumer_of(assignors=protocol, session_timeout_s=4)) for _ in range(2))
    await nursery.start(first.run)
    await trio.sleep(2)
    cluster.script(key, code, code, None, code)
    await nursery.start(second.run)
    await trio.sleep(20)  # what the group seems to have forgotten it keeps for a session's time
    for partition in topic.partitions:
        partition.add(b"after")
    cluster.wake_fetches()
    await trio.sleep(4)

    assert {*first.seen, *second.seen} == {("orders", p, i) for p in range(4) for i in range(11)}
    assert sorted(first.consumer.assignment + second.consumer.assignment) == list(places(4))
    await first.stop()
    await second.stop()
    assert committed(group) == dict.fromkeys(places(4), 11)


FINAL = [
    (ApiKey.FIND_COORDINATOR, ErrorCode.GROUP_AUTHORIZATION_FAILED, "group 'g' cannot be used"),
    (ApiKey.FIND_COORDINATOR, ErrorCode.INVALID_GROUP_ID, "group 'g' cannot be used"),
    (ApiKey.JOIN_GROUP, ErrorCode.GROUP_AUTHORIZATION_FAILED, "joining group 'g'"),
    (ApiKey.JOIN_GROUP, ErrorCode.GROUP_MAX_SIZE_REACHED, "joining group 'g'"),
    (ApiKey.JOIN_GROUP, ErrorCode.INCONSISTENT_GROUP_PROTOCOL, "joining group 'g'"),
    (ApiKey.JOIN_GROUP, ErrorCode.INVALID_SESSION_TIMEOUT, "joining group 'g'"),
    (ApiKey.JOIN_GROUP, ErrorCode.INVALID_GROUP_ID, "joining group 'g'"),
    (ApiKey.JOIN_GROUP, ErrorCode.UNKNOWN_SERVER_ERROR, "joining group 'g'"),
    (ApiKey.SYNC_GROUP, ErrorCode.GROUP_AUTHORIZATION_FAILED, "syncing with group 'g'"),
    (ApiKey.HEARTBEAT, ErrorCode.GROUP_AUTHORIZATION_FAILED, "a heartbeat to group 'g'"),
]


@pytest.mark.parametrize(("key", "code", "what"), FINAL)
async def test_what_will_not_pass_is_told_by_poll_which_then_tries_again(
    cluster, consumer_of, autojump_clock, key, code, what
):
    fill(cluster)
    cluster.script(key, code)

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        with pytest.raises(RequestError, match=f"{what}.*{code.name}") as refused:
            await read(consumer, 10**6)
        assert refused.value.code is code
        await consumer.poll(timeout_s=5)
        assert len(consumer.assignment) == 4


async def test_a_group_of_another_kind_is_refused(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)
    member = Reader(consumer_of(assignors=("range",)))
    await nursery.start(member.run)
    await trio.sleep(2)

    async with consumer_of(assignors=("roundrobin",)) as consumer:
        consumer.subscribe(["orders"])
        with pytest.raises(RequestError, match="INCONSISTENT_GROUP_PROTOCOL"):
            await consumer.poll()
    await member.stop()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", [{"drop_before": True}, {"drop_after": True}])
@pytest.mark.parametrize(
    "key",
    [
        ApiKey.FIND_COORDINATOR,
        ApiKey.JOIN_GROUP,
        ApiKey.SYNC_GROUP,
        ApiKey.HEARTBEAT,
        ApiKey.LEAVE_GROUP,
        ApiKey.OFFSET_COMMIT,
        ApiKey.OFFSET_FETCH,
    ],
)
async def test_lost_answers_lose_no_record_and_double_none(
    cluster, consumer_of, group, nursery, faults, autojump_clock, key, fault, protocol
):
    fill(cluster)
    first, second = (Reader(consumer_of(assignors=protocol)) for _ in range(2))
    await nursery.start(first.run)
    await trio.sleep(2)
    cluster.script(key, faults(**fault), None, faults(**fault), faults(**fault))
    await nursery.start(second.run)
    await trio.sleep(10)
    await first.stop()
    await second.stop()

    seen = first.seen + second.seen
    assert sorted(seen) == [("orders", p, i) for p in range(4) for i in range(10)]
    assert committed(group) == dict.fromkeys(places(4), 10)


# Where the group's broker is


async def test_a_group_that_moves_costs_no_rebalance(
    cluster, consumer_of, group, nursery, autojump_clock
):
    topic = fill(cluster)
    readers = [Reader(consumer_of()) for _ in range(2)]
    for reader in readers:
        await nursery.start(reader.run)
    await trio.sleep(3)
    before = group.rebalances, group.generation
    for broker_id in (1, 2, 0):
        group.move(broker_id)
        topic.partitions[0].add(b"moved")
        cluster.wake_fetches()
        await trio.sleep(5)
    assert (group.rebalances, group.generation) == before
    for reader in readers:
        await reader.stop()

    seen = [record for reader in readers for record in reader.seen]
    assert len(seen) == len(set(seen)) == 43
    assert committed(group) == {**dict.fromkeys(places(4), 10), place(0): 13}


async def test_a_killed_broker_of_a_group_is_replaced(
    cluster, consumer_of, group, nursery, autojump_clock
):
    topic = fill(cluster)
    for partition in topic.partitions:
        partition.leader_id = 2
    reader = Reader(consumer_of())
    await nursery.start(reader.run)
    await trio.sleep(3)
    generation = group.generation
    cluster.kill(0)
    await trio.sleep(2)
    group.move(1)
    await trio.sleep(3)
    assert group.generation == generation
    await reader.stop()

    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_silent_broker_is_left_once_the_group_has_moved(
    cluster, consumer_of, group, autojump_clock
):
    topic = fill(cluster)
    for partition in topic.partitions:
        partition.leader_id = 2

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.silent.add(0)
        group.move(1)
        start = trio.current_time()
        await consumer.commit()
        assert trio.current_time() - start < 5
    assert committed(group) == dict.fromkeys(places(4), 10)


async def test_a_join_that_waits_on_a_silent_broker_is_given_up_once_the_group_has_moved(
    cluster, consumer_of, group, autojump_clock
):
    topic = fill(cluster)
    for partition in topic.partitions:
        partition.leader_id = 2

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await consumer.poll(timeout_s=0.3)
        assert cluster.count(ApiKey.JOIN_GROUP) == 2
        cluster.silent.add(0)
        group.move(1)
        await read(consumer, 40)
        assert trio.current_time() < 8


async def test_a_join_that_waits_long_for_other_members_is_not_given_up(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)

    async def be_busy():
        async with consumer_of(max_poll_interval_s=120) as consumer:
            consumer.subscribe(["orders"])
            await read(consumer, 40)
            await trio.sleep(110)

    nursery.start_soon(be_busy)
    await trio.sleep(2)
    async with consumer_of(max_poll_interval_s=120) as consumer:
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=100) == []
        assert cluster.count(ApiKey.JOIN_GROUP) == 4, "two of each, for a member id and a place"
        assert await consumer.poll(timeout_s=20) == []
        assert len(consumer.assignment) == 4


# Who cannot be understood


async def test_a_member_whose_subscription_cannot_be_read_gets_nothing_and_one_warning(
    cluster, consumer_of, group, autojump_clock, caplog
):
    fill(cluster)
    fill(cluster, topic="tills", partitions=1)
    garbage = [JoinGroupRequestProtocol(name, b"\xff\xff") for name in ASSIGNORS]

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        group.join(
            JoinGroupRequest("g", 600_000, 1_000, "", "strange", "consumer", garbage),
            ids_required=False,
        )
        assert await consumer.poll(timeout_s=5) == []
        consumer.subscribe(["orders", "tills"])
        await read(consumer, 10)
        assert group.rebalances == 3
        assert len(consumer.assignment) == 5
        (stranger,) = group.members.keys() - {consumer.group_metadata.member_id}
    (warning,) = caplog.messages
    assert warning.startswith(f"member {stranger!r} of group 'g' gets no partition")


# Static members


async def test_a_static_member_that_comes_back_in_time_costs_no_rebalance(
    cluster, consumer_of, group, nursery, autojump_clock
):
    fill(cluster)
    other = Reader(consumer_of(group_instance_id="two"))
    await nursery.start(other.run)
    for _ in range(3):
        async with consumer_of(group_instance_id="one") as consumer:
            consumer.subscribe(["orders"])
            while len(consumer.assignment) != 2:
                await consumer.poll(timeout_s=0.5)
        await trio.sleep(3)
        rebalances = group.rebalances

    assert group.left == []
    assert rebalances == group.rebalances <= 2
    await trio.sleep(15)
    assert len(other.consumer.assignment) == 4, "its session has ended"
    await other.stop()


async def test_a_static_leader_that_comes_back_before_it_has_heard_of_the_topics_costs_no_rebalance(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster)
    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
    rebalances = group.rebalances
    cluster.script(ApiKey.METADATA, None, Fault(hang=True))  # answered by another broker, later

    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        while len(consumer.assignment) != 4:
            await consumer.poll(timeout_s=0.5)
        for _ in range(10):
            await consumer.poll(timeout_s=0.5)

    assert group.rebalances == rebalances


async def test_a_static_leader_that_comes_back_still_watches_the_topics(
    cluster, consumer_of, group, autojump_clock
):
    topic = fill(cluster, partitions=1)

    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 10)
    async with consumer_of(group_instance_id="one", metadata_max_age_s=5) as consumer:
        consumer.subscribe(["orders"])
        assert await consumer.poll(timeout_s=2) == []
        assert consumer.assignment == places(1)
        topic.grow(b"more")
        assert [r.value for r in await read(consumer, 1)] == [b"more"]


async def test_a_static_leader_that_comes_back_notices_how_topics_changed_meanwhile(
    cluster, consumer_of, group, autojump_clock
):
    topic = fill(cluster, partitions=1)
    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 10)
    topic.grow(b"more")

    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        with trio.fail_after(5):
            assert [r.value for r in await read(consumer, 1)] == [b"more"]
        assert consumer.assignment == places(2)
    assert group.join_reasons[-1] == "the partitions of the group's topics have changed"


@pytest.mark.parametrize("fault", [Fault(code=ErrorCode.NOT_COORDINATOR), Fault(drop_before=True)])
async def test_a_static_leader_that_nobody_tells_what_is_divided_has_it_divided_again(
    cluster, consumer_of, group, autojump_clock, fault
):
    fill(cluster)
    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
    rebalances = group.rebalances
    cluster.script(ApiKey.DESCRIBE_GROUPS, fault)

    async with consumer_of(group_instance_id="one") as consumer:
        consumer.subscribe(["orders"])
        with trio.fail_after(5):
            while group.rebalances == rebalances or len(consumer.assignment) != 4:
                await consumer.poll(timeout_s=0.5)

    assert group.rebalances == rebalances + 1


@pytest.mark.parametrize("key", [ApiKey.HEARTBEAT, ApiKey.OFFSET_COMMIT])
async def test_a_fenced_member_says_so_and_stays_out(
    cluster, consumer_of, group, nursery, autojump_clock, key
):
    fill(cluster)
    lost = []

    async with consumer_of(group_instance_id="one", enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"], on_lost=lost.append)
        await read(consumer, 40)
        usurper = Reader(consumer_of(group_instance_id="one"))
        await nursery.start(usurper.run)
        if key is ApiKey.OFFSET_COMMIT:
            await trio.sleep(0.5)
            with pytest.raises(MemberFenced, match="'one' in group 'g'"):
                await consumer.commit()
        await trio.sleep(3)
        for _ in range(2):
            with pytest.raises(MemberFenced, match="'one' in group 'g'"):
                await consumer.poll()
        assert lost == [places(4)]
        assert len(usurper.consumer.assignment) == 4
        await usurper.stop()


async def test_a_fenced_member_that_unsubscribes_reads_by_hand(
    cluster, consumer_of, autojump_clock
):
    fill(cluster)

    async with consumer_of(group_instance_id="one", enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"])
        await read(consumer, 40)
        cluster.script(ApiKey.HEARTBEAT, ErrorCode.FENCED_INSTANCE_ID)
        await trio.sleep(2)
        with pytest.raises(MemberFenced):
            await consumer.poll()
        await consumer.unsubscribe()
        await consumer.assign({place(0): 0})
        assert len(await read(consumer, 10)) == 10


async def test_a_topic_that_goes_before_its_start_is_known_is_given_up_without_an_error(
    cluster, consumer_of, nursery, autojump_clock
):
    fill(cluster, partitions=2)
    fill(cluster, topic="tills", partitions=2)
    config = {"heartbeat_interval_s": 3.0, "enable_auto_commit": False}
    first, second = (
        Reader(consumer_of(host=host, **config), ["orders", "tills"]) for host in ("a", "b")
    )
    await nursery.start(first.run)
    await trio.sleep(5)
    cluster.script(ApiKey.LIST_OFFSETS, *[ErrorCode.NOT_LEADER_OR_FOLLOWER] * 400)
    await nursery.start(second.run)
    for _ in range(1000):
        if place(1, "tills") in second.consumer.assignment:
            break
        await trio.sleep(0.01)
    await trio.sleep(0.1)  # it asks where to begin now
    del cluster.topics["tills"]
    await trio.sleep(12)

    held = [*first.consumer.assignment, *second.consumer.assignment]
    assert sorted(held) == list(places(2))
    await first.stop()
    await second.stop()


# Older brokers


async def test_brokers_that_speak_old_versions_keep_groups_as_well(
    cluster, consumer_of, group, nursery, autojump_clock
):
    for key, versions in {
        ApiKey.FIND_COORDINATOR: (0, 2),
        ApiKey.JOIN_GROUP: (0, 3),
        ApiKey.SYNC_GROUP: (0, 1),
        ApiKey.HEARTBEAT: (0, 1),
        ApiKey.LEAVE_GROUP: (0, 1),
        ApiKey.OFFSET_COMMIT: (2, 4),
        ApiKey.OFFSET_FETCH: (1, 3),
    }.items():
        cluster.versions[key] = versions
    fill(cluster)
    readers = [Reader(consumer_of()) for _ in range(2)]
    for reader in readers:
        await nursery.start(reader.run)
        await trio.sleep(2)
    await trio.sleep(2)
    assert [len(reader.consumer.assignment) for reader in readers] == [2, 2]
    for reader in readers:
        await reader.stop()

    assert committed(group) == dict.fromkeys(places(4), 10)
    assert not group.members


async def test_brokers_without_groups_are_named(cluster, consumer_of, autojump_clock):
    fill(cluster)
    del cluster.versions[ApiKey.FIND_COORDINATOR]

    async with consumer_of() as consumer:
        consumer.subscribe(["orders"])
        with pytest.raises(UnsupportedApi, match="FindCoordinator"):
            await consumer.poll()


async def test_a_poll_after_a_callback_that_took_longer_than_allowed_joins_again(
    cluster, consumer_of, group, autojump_clock
):
    fill(cluster, partitions=1)
    slow = iter([40.0])

    async with consumer_of(max_poll_interval_s=10) as consumer:

        async def take_over(partitions):
            if (work_s := next(slow, None)) is not None:
                consumer.pause(*partitions)  # or the end of a long poll wakes it
                await trio.sleep(work_s)

        consumer.subscribe(["orders"], on_assigned=take_over)
        await read(consumer, 10)
        assert len(group.left) == 1
        assert group.members


@pytest.mark.parametrize("silent", [False, True])
async def test_who_is_cancelled_while_it_unsubscribes_has_left_and_reads_nothing(
    cluster, consumer_of, group, autojump_clock, silent
):
    fill(cluster)

    async def say_farewell(_):
        await trio.sleep(5)

    async with consumer_of(enable_auto_commit=False) as consumer:
        consumer.subscribe(["orders"], on_revoked=say_farewell)
        await read(consumer, 4)
        if silent:
            cluster.silent.update(cluster.broker_ids)
        cancelled_at = trio.current_time() + 1
        with trio.move_on_at(cancelled_at) as scope:
            await consumer.unsubscribe()

        assert scope.cancelled_caught
        assert trio.current_time() <= cancelled_at + 1
        assert consumer.assignment == ()
        assert consumer.subscription == ()
        assert bool(group.members) is silent
        with pytest.raises(NothingAssigned):
            await consumer.poll(timeout_s=1)
        cluster.silent.clear()
