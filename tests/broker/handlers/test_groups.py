"""Members of groups over the wire: every version of their APIs, and every place for an error."""

from __future__ import annotations

import random

import pytest
import trio

from coordinator.groups.owner import owner_of
from protocol.api.delete_groups import DeleteGroupsRequest
from protocol.api.heartbeat import HeartbeatRequest
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.api.list_groups import ListGroupsRequest
from protocol.api.sync_group import SyncGroupRequest
from protocol.errors import ErrorCode
from tests.broker.handlers.group_client import (
    GroupClient,
    ask_owner,
    assignment,
    owner,
    subscription,
)

ODD_IDS = ["/", ".", "..", "a/b", "grüße 群", "%2E", "\x00\n", "x" * 1_024, "\N{GRINNING FACE}"]


async def groups_there_are(ask) -> set[str]:
    found = set()
    for broker_id in ask.cluster.brokers:
        answer = await ask(ListGroupsRequest(), broker_id=broker_id)
        found.update(each.group_id for each in answer.groups)
    return found


@pytest.mark.parametrize("version", range(10))
async def test_every_version_joins_and_is_told_of_its_generation(version, ask, autojump_clock):
    client = GroupClient(ask, version=version)
    answer = await client.join()

    assert (answer.error_code, answer.generation_id) == (ErrorCode.NONE, 1)
    assert (answer.protocol_name, answer.leader) == ("range", answer.member_id)
    assert answer.protocol_type == ("consumer" if version >= 7 else None)
    (member,) = answer.members
    assert (member.member_id, member.metadata) == (answer.member_id, subscription("t"))
    assert not answer.skip_assignment


@pytest.mark.parametrize("version", range(6))
async def test_every_version_is_given_its_assignment(version, ask, autojump_clock):
    client = GroupClient(ask)
    await client.join()
    answer = await client.sync({client.member_id: b"mine"}, version=version)

    assert (answer.error_code, answer.assignment) == (ErrorCode.NONE, b"mine")
    told = (answer.protocol_type, answer.protocol_name)
    assert told == (("consumer", "range") if version >= 5 else (None, None))


@pytest.mark.parametrize("version", range(5))
async def test_every_version_of_heartbeat_says_who_is_a_member(version, ask, autojump_clock):
    client = GroupClient(ask)
    await client.enter()

    assert await client.heartbeat(version=version) == ErrorCode.NONE
    client.generation_id = 7
    assert await client.heartbeat(version=version) == ErrorCode.ILLEGAL_GENERATION
    client.member_id = "somebody"
    assert await client.heartbeat(version=version) == ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("version", range(4, 10))
async def test_a_new_member_is_given_an_id_first(version, ask, autojump_clock):
    client = GroupClient(ask, version=version)
    answer = await client.join_once()

    assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
    assert answer.member_id.startswith("tests-")
    assert answer.generation_id == -1
    assert answer.protocol_name == (None if version >= 7 else "")
    assert (await client.join_once()).error_code == ErrorCode.NONE
    assert client.member_id == answer.member_id


@pytest.mark.parametrize("version", range(10))
async def test_a_refused_join_names_no_protocol(version, ask, autojump_clock):
    for refused, code in (
        (GroupClient(ask, version=version, session_ms=1), ErrorCode.INVALID_SESSION_TIMEOUT),
        (GroupClient(ask, version=version, group_id=""), ErrorCode.INVALID_GROUP_ID),
        (GroupClient(ask, version=version, group_id="x" * 1_025), ErrorCode.INVALID_GROUP_ID),
        (
            GroupClient(ask, version=version, protocol_type=""),
            ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        ),
    ):
        answer = await refused.join()

        assert answer.error_code == code
        assert answer.protocol_name == (None if version >= 7 else "")
        assert (answer.generation_id, answer.leader, answer.members) == (-1, "", [])
    assert await groups_there_are(ask) == set()


async def test_a_join_without_protocols_is_refused(ask, autojump_clock):
    client = GroupClient(ask)
    client.protocols = {}

    assert (await client.join()).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


@pytest.mark.parametrize(
    "protocols",
    [{"range": bytes(1_048_577)}, {str(number): b"" for number in range(20_000)}],
    ids=["large", "many"],
)
async def test_what_a_member_says_of_itself_is_bounded(protocols, ask, autojump_clock):
    client = GroupClient(ask, protocols=protocols)

    assert (await client.join()).error_code == ErrorCode.GROUP_MAX_SIZE_REACHED


async def test_protocols_without_names_are_bounded_too(ask, autojump_clock):
    request = JoinGroupRequest(
        group_id="g",
        session_timeout_ms=10_000,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol()] * 100_000,
    )

    answer = await ask_owner(ask, request)
    assert answer.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED


async def test_an_instance_id_is_bounded(ask, autojump_clock):
    client = GroupClient(ask, instance="i" * 1_025)
    assert (await client.join()).error_code == ErrorCode.INVALID_REQUEST

    client.instance = "i" * 1_024
    assert (await client.join()).error_code == ErrorCode.NONE


async def test_a_member_of_a_group_that_is_gone_starts_over_and_makes_none(ask, autojump_clock):
    client = GroupClient(ask)
    client.member_id = "tests-1"
    client.protocol_name = "range"

    assert (await client.join()).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert (await client.sync()).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert await client.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID
    assert await groups_there_are(ask) == set()


async def test_brokers_that_do_not_own_the_group_say_so(ask, autojump_clock):
    join = JoinGroupRequest(group_id="g", session_timeout_ms=10_000, protocol_type="consumer")
    others = [i for i in ask.cluster.brokers if i != owner(ask)]
    for broker_id in others:
        for request in (
            join,
            SyncGroupRequest(group_id="g", protocol_type="consumer", protocol_name="range"),
            HeartbeatRequest(group_id="g"),
            LeaveGroupRequest(group_id="g", members=[MemberIdentity("x")]),
        ):
            answer = await ask(request, broker_id=broker_id)
            assert answer.error_code == ErrorCode.NOT_COORDINATOR, request


@pytest.mark.parametrize("version", range(4))
async def test_old_versions_of_sync_need_not_name_the_protocol(version, ask, autojump_clock):
    client = GroupClient(ask)
    await client.join()
    client.protocol_type, client.protocol_name = "connect", "none of ours"

    assert (await client.sync(version=version)).error_code == ErrorCode.NONE


@pytest.mark.parametrize("missing", ["protocol_type", "protocol_name"])
async def test_sync_names_the_protocol_since_version_5(missing, ask, autojump_clock):
    client = GroupClient(ask)
    await client.join()
    setattr(client, missing, None)
    assert (await client.sync()).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    setattr(client, missing, "another")
    assert (await client.sync()).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


async def test_a_stale_generation_is_named_before_a_stale_protocol(ask, autojump_clock):
    # INCONSISTENT_GROUP_PROTOCOL would end the member, which has only been slow.
    client = GroupClient(ask, protocols={"range": b"", "sticky": b""})
    await client.enter()
    slow = GroupClient(ask)
    slow.member_id, slow.generation_id, slow.protocol_name = client.member_id, 1, "range"
    client.protocols = {"sticky": b""}
    await client.enter()

    assert client.protocol_name == "sticky"
    assert (await slow.sync()).error_code == ErrorCode.ILLEGAL_GENERATION


@pytest.mark.parametrize("version", range(3))
async def test_early_versions_of_leave_name_one_member(version, ask, autojump_clock):
    client = GroupClient(ask)
    await client.enter()
    request = LeaveGroupRequest(group_id="g", member_id=client.member_id)

    assert (await ask_owner(ask, request, version=version)).error_code == ErrorCode.NONE
    answer = await ask_owner(ask, request, version=version)
    assert answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID
    request.group_id = "no group"
    answer = await ask_owner(ask, request, "no group", version=version)
    assert answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("version", range(3, 6))
async def test_later_versions_of_leave_answer_member_by_member(version, ask, autojump_clock):
    dynamic = GroupClient(ask)
    static = GroupClient(ask, instance="i")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dynamic.join)
        nursery.start_soon(static.join)
    pending = GroupClient(ask)
    await pending.join_once()
    request = LeaveGroupRequest(
        group_id="g",
        members=[
            MemberIdentity("nobody"),
            MemberIdentity("", "nobody's"),
            MemberIdentity("not " + static.member_id, "i"),
            MemberIdentity("", "i"),
            MemberIdentity(dynamic.member_id),
            MemberIdentity(pending.member_id),
        ],
    )
    answer = await ask_owner(ask, request, version=version)

    assert answer.error_code == ErrorCode.NONE
    assert [(m.member_id, m.group_instance_id) for m in answer.members] == [
        (m.member_id, m.group_instance_id) for m in request.members
    ]
    assert [m.error_code for m in answer.members] == [
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.FENCED_INSTANCE_ID,
        ErrorCode.NONE,
        ErrorCode.NONE,
        ErrorCode.NONE,
    ]
    assert await static.heartbeat() == ErrorCode.UNKNOWN_MEMBER_ID


async def test_leaving_a_group_that_is_not_there_is_refused_member_by_member(ask, autojump_clock):
    request = LeaveGroupRequest(group_id="g", members=[MemberIdentity("x"), MemberIdentity("y")])
    answer = await ask_owner(ask, request)

    assert answer.error_code == ErrorCode.NONE
    assert [m.error_code for m in answer.members] == [ErrorCode.UNKNOWN_MEMBER_ID] * 2


async def test_members_rebalance_when_another_one_comes(ask, autojump_clock):
    first, second = GroupClient(ask), GroupClient(ask)
    await first.enter(b"all")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.join)
        await trio.sleep(1)
        assert await first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
        joined = await first.join()
    assert {m.member_id for m in joined.members} == {first.member_id, second.member_id}
    assert (first.generation_id, second.generation_id) == (2, 2)
    got = {}

    async def wait_for_assignment() -> None:
        got["second"] = (await second.sync()).assignment

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_assignment)
        await trio.sleep(1)
        assert not got
        await first.sync({first.member_id: b"half", second.member_id: b"other half"})
    assert got == {"second": b"other half"}


async def test_a_member_whose_connection_breaks_while_it_joins_is_let_go(ask, autojump_clock):
    first, gone = GroupClient(ask), GroupClient(ask)
    await first.enter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gone.join)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    # It had joined, as far as anybody knows.
    joined = await first.join()
    assert len(joined.members) == 2
    await first.sync({})
    for _ in range(5):
        assert await first.heartbeat() == ErrorCode.NONE
        await trio.sleep(2)
    assert await first.heartbeat() == ErrorCode.REBALANCE_IN_PROGRESS
    assert len((await first.join()).members) == 1


async def test_a_static_leader_that_restarts_is_told_not_to_assign(ask, autojump_clock):
    client = GroupClient(ask, instance="i")
    await client.enter(b"mine")
    again = GroupClient(ask, instance="i")
    answer = await again.join()

    assert (answer.generation_id, answer.leader) == (1, answer.member_id)
    assert answer.skip_assignment
    assert [m.group_instance_id for m in answer.members] == ["i"]
    assert (await again.sync()).assignment == b"mine"
    assert await client.heartbeat() == ErrorCode.FENCED_INSTANCE_ID


@pytest.mark.parametrize("given", [[0, 1, 2], [0, 1], [0], []])
async def test_what_a_static_member_had_yet_to_give_up_is_free_once_it_restarts(
    given, ask, autojump_clock
):
    """Cooperative: whoever is to have it gets it with the next generation only (KIP-429)."""
    other = GroupClient(ask, instance="other")
    client = GroupClient(ask, instance="i", protocols={"range": subscription("t", t=[0, 1])})
    await other.enter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.join)
        await trio.sleep(1)
        nursery.start_soon(other.join)
    leader, follower = (other, client) if other.leads else (client, other)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.sync)
        await leader.sync({client.member_id: assignment(t=given), other.member_id: assignment()})

    again = GroupClient(ask, instance="i", protocols={"range": subscription("t")})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(again.join)
        await trio.sleep(1)
        expected = ErrorCode.NONE if given[:2] == [0, 1] else ErrorCode.REBALANCE_IN_PROGRESS
        assert await other.heartbeat() == expected
        nursery.start_soon(other.join)
    assert again.generation_id == (2 if expected is ErrorCode.NONE else 3)


@pytest.mark.parametrize("group_id", ODD_IDS, ids=ascii)
async def test_a_group_id_may_hold_any_character(group_id, ask, autojump_clock):
    client = GroupClient(ask, group_id=group_id)
    await client.enter(b"mine")

    assert await client.heartbeat() == ErrorCode.NONE
    assert await groups_there_are(ask) == {group_id}
    await client.leave()
    request = DeleteGroupsRequest(groups_names=[group_id])
    (deleted,) = (await ask_owner(ask, request, group_id)).results
    assert (deleted.group_id, deleted.error_code) == (group_id, ErrorCode.NONE)
    assert await groups_there_are(ask) == set()


async def test_members_carry_on_when_their_groups_broker_dies(ask, autojump_clock):
    client = GroupClient(ask, session_ms=30_000)
    await client.enter(b"mine")
    await ask.cluster.brokers[owner(ask)].kill()
    with trio.fail_after(25):
        while (code := await client.heartbeat()) != ErrorCode.NONE:
            assert code in (ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE)
            await trio.sleep(0.5)

    answer = await client.sync()
    assert (answer.error_code, answer.assignment) == (ErrorCode.NONE, b"mine")


async def test_an_assignment_too_large_to_be_kept_is_refused(ask, autojump_clock):
    client = GroupClient(ask)
    await client.join()
    noise = random.Random(0).randbytes(2 * 1024 * 1024)

    answer = await client.sync({client.member_id: noise})
    assert answer.error_code == ErrorCode.GROUP_MAX_SIZE_REACHED
    # The group has not suffered by it.
    answer = await client.enter(b"less")
    assert (client.generation_id, answer.assignment) == (2, b"less")


async def test_no_members_wait_for_a_broker_that_has_lost_the_coordinator(ask, autojump_clock):
    client, other = GroupClient(ask, session_ms=60_000), GroupClient(ask, session_ms=60_000)
    await client.enter()
    first_owner = owner(ask)
    answers = []

    async def join() -> None:
        answers.append((await other.join()).error_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(join)
        await trio.sleep(1)
        ask.cluster.cut_from_store(first_owner)
    assert answers == [ErrorCode.NOT_COORDINATOR]
    heartbeat = HeartbeatRequest(
        group_id="g", generation_id=client.generation_id, member_id=client.member_id
    )
    refused = await ask(heartbeat, broker_id=first_owner)
    assert refused.error_code == ErrorCode.NOT_COORDINATOR
    next_owner = owner_of("g", [i for i in ask.cluster.brokers if i != first_owner])
    assert (await ask(heartbeat, broker_id=next_owner)).error_code == ErrorCode.NONE
