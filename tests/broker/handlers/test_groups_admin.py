"""Groups described, listed and deleted over the wire."""

from __future__ import annotations

import pytest
import trio

from broker.handlers.authorized import GROUP_OPERATIONS
from protocol.api.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.api.delete_groups import DeleteGroupsRequest
from protocol.api.describe_groups import DescribeGroupsRequest
from protocol.api.list_groups import ListGroupsRequest
from protocol.api.metadata import NO_AUTHORIZED_OPERATIONS
from protocol.errors import ErrorCode
from simulation.cluster import EPOCH_MS
from tests.broker.handlers.group_client import (
    GroupClient,
    ask_owner,
    assignment,
    owner,
    subscription,
)


async def describe(ask, group_id="g", *, version=6, **facts):
    request = DescribeGroupsRequest(groups=[group_id], **facts)
    return (await ask_owner(ask, request, group_id, version=version)).groups[0]


async def listed(ask, *, version=5, **filters):
    request = ListGroupsRequest(**filters)
    found = {}
    for broker_id in ask.cluster.brokers:
        answer = await ask(request, version=version, broker_id=broker_id)
        assert answer.error_code == ErrorCode.NONE
        found.update({each.group_id: each for each in answer.groups})
    return found


async def delete(ask, *group_ids):
    answer = await ask_owner(ask, DeleteGroupsRequest(groups_names=list(group_ids)))
    return [(result.group_id, result.error_code) for result in answer.results]


async def some_offset(ask, group_id="g"):
    made = [CreatableTopic(name="t", num_partitions=1, replication_factor=1)]
    await ask(CreateTopicsRequest(topics=made))
    await trio.sleep(1)
    assert await GroupClient(ask, group_id=group_id).commit(p0=1) == [ErrorCode.NONE]


@pytest.mark.parametrize("version", range(7))
async def test_every_version_describes(version, ask, autojump_clock):
    client = GroupClient(ask, instance="i")
    await client.enter(b"mine")
    group = await describe(ask, version=version)

    assert (group.error_code, group.group_state) == (ErrorCode.NONE, "Stable")
    assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
    (member,) = group.members
    assert (member.member_id, member.client_id) == (client.member_id, "tests")
    assert member.group_instance_id == ("i" if version >= 4 else None)
    assert (member.member_metadata, member.member_assignment) == (subscription("t"), b"mine")
    assert member.client_host.startswith("/")


async def test_a_group_is_described_in_each_state(ask, autojump_clock):
    assert (await describe(ask)).group_state == "Dead"
    client = GroupClient(ask)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.join)
        await trio.sleep(1)
        assert (await describe(ask)).group_state == "PreparingRebalance"
    group = await describe(ask)
    assert (group.group_state, group.protocol_data) == ("CompletingRebalance", "")
    await client.sync({client.member_id: b"mine"})
    other = GroupClient(ask)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.join)
        await trio.sleep(1)
        group = await describe(ask)
        assert group.group_state == "PreparingRebalance"
        # What is read in the meantime is of interest.
        assert {m.member_assignment for m in group.members} == {b"mine", b""}
        assert {m.member_metadata for m in group.members} == {b""}
        await client.join()
    for member in (client, other):
        await member.leave()
    group = await describe(ask)
    assert (group.group_state, group.protocol_type, group.members) == ("Empty", "consumer", [])


@pytest.mark.parametrize("version", range(7))
async def test_a_group_that_is_not_there_is_dead(version, ask, autojump_clock):
    group = await describe(ask, version=version)

    assert group.group_state == "Dead"
    assert group.error_code == (ErrorCode.GROUP_ID_NOT_FOUND if version >= 6 else ErrorCode.NONE)
    assert (group.error_message is not None) == (version >= 6)


@pytest.mark.parametrize("version", range(3, 7))
async def test_authorized_operations_are_told_where_asked_for(version, ask, autojump_clock):
    await GroupClient(ask).enter()
    asked = await describe(ask, version=version, include_authorized_operations=True)
    assert asked.authorized_operations == GROUP_OPERATIONS

    group = await describe(ask, version=version)
    assert group.authorized_operations == NO_AUTHORIZED_OPERATIONS


async def test_several_groups_are_described_each_with_its_own_error(ask, autojump_clock):
    other = next(g for g in map(str, range(99)) if owner(ask, g) != owner(ask))
    await GroupClient(ask).enter()
    request = DescribeGroupsRequest(
        groups=["g", other, ""], include_authorized_operations=True, include_history=True
    )
    groups = (await ask_owner(ask, request)).groups

    assert [(g.group_id, g.error_code) for g in groups] == [
        ("g", ErrorCode.NONE),
        (other, ErrorCode.NOT_COORDINATOR),
        ("", ErrorCode.INVALID_GROUP_ID),
    ]
    assert [bool(g.history) for g in groups] == [True, False, False]
    assert groups[1].authorized_operations == NO_AUTHORIZED_OPERATIONS
    assert groups[1].error_message


async def test_a_group_that_is_named_twice_is_described_once(ask, autojump_clock):
    await GroupClient(ask).enter()
    groups = (await ask_owner(ask, DescribeGroupsRequest(groups=["g"] * 3))).groups

    assert [(g.group_id, g.group_state) for g in groups] == [("g", "Stable")]


async def test_why_a_group_rebalanced_is_told_to_those_who_ask(ask, autojump_clock):
    first = GroupClient(ask)
    await first.join("starting")
    await first.sync({first.member_id: assignment(t=[0, 1])})
    second = GroupClient(ask, session_ms=6_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.join)
        await trio.sleep(1)
        await first.join()
    parts = {first.member_id: assignment(t=[0]), second.member_id: assignment(t=[1])}
    await first.sync(parts)
    for _ in range(4):
        await trio.sleep(2)
        await first.heartbeat()
    assert not (await describe(ask)).history
    group = await describe(ask, include_history=True)

    assert group.history_since_ms >= EPOCH_MS
    start, join, expiry = group.history
    assert [(c.kind, c.member_id, c.reason) for c in start.causes] == [
        ("joined", first.member_id, "starting")
    ]
    assert [(c.kind, c.member_id) for c in join.causes] == [("joined", second.member_id)]
    assert (join.generation_id, join.member_count, join.protocol_name) == (2, 2, "range")
    moved = {(m.member_id, m.topic): (m.gained, m.lost) for m in join.moves}
    assert moved == {(first.member_id, "t"): ([], [1]), (second.member_id, "t"): ([1], [])}
    (cause,) = expiry.causes
    assert (cause.kind, cause.member_id) == ("session timed out", second.member_id)
    assert (cause.heartbeat_age_ms, cause.session_timeout_ms) == (6_000, 6_000)
    assert (expiry.completed_ms, expiry.generation_id) == (-1, 0)
    assert cause.client_id == "tests"


@pytest.mark.parametrize("version", range(6))
async def test_every_version_lists(version, ask, autojump_clock):
    await GroupClient(ask, group_id="stable").enter()
    await GroupClient(ask, group_id="worker", protocol_type="connect").join()
    await some_offset(ask, "simple")
    groups = await listed(ask, version=version)

    types = {name: group.protocol_type for name, group in groups.items()}
    assert types == {"stable": "consumer", "worker": "connect", "simple": ""}
    states = {name: group.group_state for name, group in groups.items()}
    if version >= 4:
        assert states == {"stable": "Stable", "worker": "CompletingRebalance", "simple": "Empty"}
    kinds = {group.group_type for group in groups.values()}
    assert kinds == ({"classic"} if version >= 5 else {""})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"states_filter": ["Stable"]}, {"stable"}),
        ({"states_filter": ["stable", "EMPTY"]}, {"stable", "simple"}),
        ({"states_filter": ["Dead"]}, set()),
        ({"states_filter": ["no state"]}, set()),
        ({"types_filter": ["Classic"]}, {"stable", "simple"}),
        ({"types_filter": ["consumer"]}, set()),
        ({"types_filter": ["consumer", "classic"], "states_filter": ["Empty"]}, {"simple"}),
    ],
)
async def test_groups_are_listed_by_state_and_type(filters, expected, ask, autojump_clock):
    await GroupClient(ask, group_id="stable").enter()
    await some_offset(ask, "simple")

    assert set(await listed(ask, **filters)) == expected


async def test_groups_are_listed_that_nobody_has_asked_for_since_their_owner_died(
    ask, autojump_clock
):
    await some_offset(ask)
    await ask.cluster.brokers[owner(ask)].kill()
    await trio.sleep(20)
    live = [i for i, broker in ask.cluster.brokers.items() if broker.is_running]
    found = [await ask(ListGroupsRequest(), broker_id=broker_id) for broker_id in live]

    assert [group.group_id for answer in found for group in answer.groups] == ["g"]


@pytest.mark.parametrize("version", range(3))
async def test_every_version_deletes_group_by_group(version, ask, autojump_clock):
    other = next(g for g in map(str, range(99)) if owner(ask, g) != owner(ask))
    mine = [g for g in map(str, range(99)) if owner(ask, g) == owner(ask)][:2]
    await some_offset(ask)
    await GroupClient(ask, group_id=mine[0]).enter()
    names = ["g", mine[0], mine[1], other, "", "g"]
    request = DeleteGroupsRequest(groups_names=names)
    answer = await ask_owner(ask, request, version=version)

    assert [(result.group_id, result.error_code) for result in answer.results] == [
        ("g", ErrorCode.NONE),
        (mine[0], ErrorCode.NON_EMPTY_GROUP),
        (mine[1], ErrorCode.GROUP_ID_NOT_FOUND),
        (other, ErrorCode.NOT_COORDINATOR),
        ("", ErrorCode.INVALID_GROUP_ID),
    ]
    assert await delete(ask, "g") == [("g", ErrorCode.GROUP_ID_NOT_FOUND)]
    assert (await describe(ask)).group_state == "Dead"


async def test_a_group_may_be_deleted_in_the_moment_it_becomes_empty(ask, autojump_clock):
    # Its emptiness is being stored then.
    client = GroupClient(ask)
    await client.enter()
    done = []

    async def leave_and_delete() -> None:
        await client.leave()
        done.extend(await delete(ask, "g"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave_and_delete)
    assert done == [("g", ErrorCode.NONE)]
    again = GroupClient(ask)
    assert (await again.join()).generation_id == 1


async def test_members_may_come_to_a_group_while_it_is_being_deleted(ask, autojump_clock):
    await some_offset(ask)
    client = GroupClient(ask, version=3)
    outcomes = []

    async def delete_it() -> None:
        outcomes.extend(await delete(ask, "g"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete_it)
        nursery.start_soon(client.join)
    assert outcomes[0][1] in (ErrorCode.NONE, ErrorCode.NON_EMPTY_GROUP)
    assert (await client.sync({})).error_code == ErrorCode.NONE


async def test_a_group_of_no_use_goes_by_itself(ask, autojump_clock):
    client = GroupClient(ask)
    await client.enter()
    await client.leave()
    assert set(await listed(ask)) == {"g"}

    await trio.sleep(601)
    assert set(await listed(ask)) == set()
