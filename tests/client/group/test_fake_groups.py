"""The scripted group's broker keeps Kafka's rules."""

from __future__ import annotations

import pytest
import trio

from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from protocol.errors import ErrorCode
from tests.support.fake_groups import FakeGroup, Reply, State


@pytest.fixture
def group(nursery):
    return FakeGroup("g", nursery)


async def join(group, member_id="", instance_id=None, *, protocols=("range",), session_s=10):
    """Join, with a second request where the first one only gives a member id."""
    request = JoinGroupRequest(
        "g",
        session_s * 1000,
        30_000,
        member_id,
        instance_id,
        "consumer",
        [JoinGroupRequestProtocol(name, b"meta") for name in protocols],
    )
    answer = group.join(request, ids_required=True)
    answer = await answer.wait() if isinstance(answer, Reply) else answer
    if answer.error_code == ErrorCode.MEMBER_ID_REQUIRED:
        return await join(group, answer.member_id, protocols=protocols, session_s=session_s)
    return answer


async def sync(group, joined, assignments=None):
    request = SyncGroupRequest(
        "g",
        joined.generation_id,
        joined.member_id,
        assignments=[SyncGroupRequestAssignment(*entry) for entry in (assignments or {}).items()],
    )
    answer = group.sync(request)
    return await answer.wait() if isinstance(answer, Reply) else answer


async def form(group, count):
    """Form a stable group; give the answers to its members' joins, the leader's first."""
    answers = []

    async def take_part():
        answers.append(await join(group))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(take_part)
    answers.sort(key=lambda answer: answer.member_id != answer.leader)
    async with trio.open_nursery() as nursery:
        for answer in answers:
            given = {a.member_id: a.member_id.encode() for a in answers}
            nursery.start_soon(sync, group, answer, given if answer is answers[0] else None)
    assert group.state is State.STABLE
    return answers


async def test_members_of_the_first_seconds_share_a_generation(group, autojump_clock):
    answers = await form(group, 3)

    assert {answer.generation_id for answer in answers} == {1}
    assert [len(answer.members) for answer in answers] == [3, 0, 0]
    assert {m.assignment for m in group.members.values()} == {m.encode() for m in group.members}


async def test_a_newcomer_waits_until_all_have_joined_again(group, nursery, autojump_clock):
    first, second = await form(group, 2)
    came = []

    @nursery.start_soon
    async def come():
        came.append(await join(group))

    await trio.sleep(1)
    assert group.heartbeat(first.member_id, None, 1) == ErrorCode.REBALANCE_IN_PROGRESS
    nursery.start_soon(join, group, first.member_id)
    await trio.sleep(1)
    assert came == []
    nursery.start_soon(join, group, second.member_id)
    await trio.sleep(1)
    assert came[0].generation_id == 2


async def test_who_does_not_join_again_in_time_is_out(group, nursery, autojump_clock):
    first, second = await form(group, 2)

    @nursery.start_soon
    async def beat():
        for _ in range(40):
            group.heartbeat(second.member_id, None, 1)
            await trio.sleep(1)

    await join(group, first.member_id, protocols=("range", "sticky"))
    assert trio.current_time() == pytest.approx(30.5)
    assert set(group.members) == {first.member_id}


async def test_who_is_silent_for_a_session_is_out(group, autojump_clock):
    (only,) = await form(group, 1)
    await trio.sleep(9)
    assert group.heartbeat(only.member_id, None, 1) == ErrorCode.NONE
    await trio.sleep(9)
    assert group.state is State.STABLE
    await trio.sleep(2)
    assert (group.state, group.expired) == (State.EMPTY, [only.member_id])
    assert group.heartbeat(only.member_id, None, 1) == ErrorCode.UNKNOWN_MEMBER_ID


async def test_a_follower_that_joins_a_stable_group_again_changes_nothing(group, autojump_clock):
    leader, follower = await form(group, 2)

    again = await join(group, follower.member_id)
    assert (again.generation_id, group.state) == (1, State.STABLE)
    assert (await sync(group, again)).assignment == follower.member_id.encode()
    assert leader.member_id in group.members


async def test_commits_are_taken_from_the_present_generation_only(group, autojump_clock):
    at = {"place": ("t", 0), "offset": 1, "leader_epoch": 0, "metadata": ""}
    assert group.commit("", None, -1, **at) == ErrorCode.NONE
    (only,) = await form(group, 1)

    assert group.commit(only.member_id, None, 1, **at) == ErrorCode.NONE
    assert group.commit(only.member_id, None, 0, **at) == ErrorCode.ILLEGAL_GENERATION
    assert group.commit("stranger", None, 1, **at) == ErrorCode.UNKNOWN_MEMBER_ID
    assert group.commit("", None, -1, **at) == ErrorCode.UNKNOWN_MEMBER_ID


async def test_commits_wait_for_the_assignment(group, nursery, autojump_clock):
    at = {"place": ("t", 0), "offset": 1, "leader_epoch": 0, "metadata": ""}
    joined = await join(group)

    assert group.state is State.COMPLETING
    code = group.commit(joined.member_id, None, 1, **at)
    assert code == ErrorCode.REBALANCE_IN_PROGRESS
    assert (await sync(group, joined, {joined.member_id: b"x"})).assignment == b"x"
    assert group.commit(joined.member_id, None, 1, **at) == ErrorCode.NONE


async def test_a_leader_that_never_syncs_is_out(group, autojump_clock):
    await join(group)
    await trio.sleep(31)

    assert (group.state, group.members) == (State.EMPTY, {})


async def test_a_static_member_returns_under_a_new_id_and_fences_the_old_one(group, autojump_clock):
    old = await join(group, instance_id="one")
    await sync(group, old, {old.member_id: b"x"})
    new = await join(group, instance_id="one")

    assert (new.generation_id, new.skip_assignment) == (1, True)
    assert new.member_id != old.member_id
    assert (await sync(group, new)).assignment == b"x"
    assert group.heartbeat(old.member_id, "one", 1) == ErrorCode.FENCED_INSTANCE_ID


async def test_members_must_share_a_protocol(group, autojump_clock):
    await form(group, 1)

    refused = await join(group, protocols=("sticky",))
    assert refused.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL


async def test_most_votes_among_common_protocols_win(group, nursery, autojump_clock):
    answers = []

    async def take_part(protocols):
        answers.append(await join(group, protocols=protocols))

    async with trio.open_nursery() as together:
        together.start_soon(take_part, ("range", "sticky", "own"))
        together.start_soon(take_part, ("sticky", "range"))
        together.start_soon(take_part, ("sticky", "range"))
    assert {answer.protocol_name for answer in answers} == {"sticky"}


async def test_a_group_that_moves_is_what_was_written_down(group, nursery, autojump_clock):
    first, _ = await form(group, 2)
    nursery.start_soon(join, group)
    await trio.sleep(1)
    assert group.state is State.PREPARING
    group.move(1)

    assert (group.state, group.generation, len(group.members)) == (State.STABLE, 1, 2)
    assert group.heartbeat(first.member_id, None, 1) == ErrorCode.NONE
