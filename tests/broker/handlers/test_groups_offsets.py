"""Committed offsets over the wire: kept, told and forgotten, and every place for an error."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from coordinator.groups.owner import owner_of
from protocol.api.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.api.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from protocol.api.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from protocol.errors import ErrorCode
from tests.broker.handlers.group_client import GroupClient, ask_owner, owner, subscription


@pytest.fixture
async def topics(ask):
    """Topics t and u of three partitions each."""
    await create_topics(ask, "t", "u")


async def create_topics(ask, *names: str) -> None:
    made = [CreatableTopic(name=name, num_partitions=3, replication_factor=1) for name in names]
    answer = await ask(CreateTopicsRequest(topics=made))
    assert {topic.error_code for topic in answer.topics} == {ErrorCode.NONE}
    await trio.sleep(1)


async def fetch(ask, group_id="g", *, version=9, **topics):
    """Ask for offsets, `t=[0, 1]`; for all without topics. Returns: {(topic, index): offset}."""
    if version >= 8:
        asked = [OffsetFetchRequestTopics(*each) for each in topics.items()] if topics else None
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id, topics=asked)])
    else:
        asked = [OffsetFetchRequestTopic(*each) for each in topics.items()] if topics else None
        request = OffsetFetchRequest(group_id=group_id, topics=asked)
    answer = await ask_owner(ask, request, group_id, version=version)
    found = answer.groups[0] if version >= 8 else answer
    assert found.error_code == ErrorCode.NONE
    return {
        (topic.name, p.partition_index): p.committed_offset
        for topic in found.topics
        for p in topic.partitions
    }


async def delete(ask, group_id="g", **topics):
    """Have offsets forgotten. Returns: the group's code, {(topic, index): code}."""
    request = OffsetDeleteRequest(
        group_id=group_id,
        topics=[
            OffsetDeleteRequestTopic(name, [OffsetDeleteRequestPartition(i) for i in indexes])
            for name, indexes in topics.items()
        ],
    )
    answer = await ask_owner(ask, request, group_id)
    codes = {(t.name, p.partition_index): p.error_code for t in answer.topics for p in t.partitions}
    return answer.error_code, codes


@pytest.mark.parametrize("version", range(2, 10))
async def test_every_version_keeps_offsets(version, topics, ask, autojump_clock):
    client = GroupClient(ask)

    assert await client.commit(p0=5, p2=7, version=version) == [ErrorCode.NONE] * 2
    assert await fetch(ask) == {("t", 0): 5, ("t", 2): 7}


@pytest.mark.parametrize("version", range(1, 10))
async def test_every_version_is_told_offsets(version, topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5)
    found = await fetch(ask, version=version, t=[0, 1], u=[0], never=[4])

    assert found == {("t", 0): 5, ("t", 1): -1, ("u", 0): -1, ("never", 4): -1}


@pytest.mark.parametrize("version", range(2, 10))
async def test_all_topics_are_told_where_none_is_named(version, topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5)
    await GroupClient(ask).commit("u", p1=6)

    assert await fetch(ask, version=version) == {("t", 0): 5, ("u", 1): 6}
    assert await fetch(ask, "unheard of", version=version) == {}


@pytest.mark.parametrize("version", range(1, 10))
async def test_no_topics_at_all_are_none_not_all(version, topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5)
    request = OffsetFetchRequest(group_id="g", topics=[])
    if version >= 8:
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", topics=[])])
    answer = await ask_owner(ask, request, version=version)

    assert (answer.groups[0] if version >= 8 else answer).topics == []


@pytest.mark.parametrize("version", range(1, 10))
async def test_what_was_said_with_an_offset_is_told_with_it(version, topics, ask, autojump_clock):
    kept = OffsetCommitRequestPartition(0, 5, 3, "my notes: \N{GRINNING FACE}")
    request = OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic("t", [kept])])
    await ask_owner(ask, request)
    asked = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic("t", [0])])
    if version >= 8:
        group = OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("t", [0])])
        asked = OffsetFetchRequest(groups=[group])
    answer = await ask_owner(ask, asked, version=version)
    (told,) = (answer.groups[0] if version >= 8 else answer).topics[0].partitions

    assert (told.metadata, told.error_code) == ("my notes: \N{GRINNING FACE}", ErrorCode.NONE)
    assert told.committed_leader_epoch == (3 if version >= 5 else -1)


async def test_several_groups_are_told_at_once_each_with_its_own_error(topics, ask, autojump_clock):
    mine = next(g for g in map(str, range(99)) if owner(ask, g) == owner(ask))
    other = next(g for g in map(str, range(99)) if owner(ask, g) != owner(ask))
    await GroupClient(ask).commit(p0=5)
    await GroupClient(ask, group_id=mine).commit(p0=6)
    names = ["g", mine, other, "", "g"]
    answer = await ask_owner(
        ask,
        OffsetFetchRequest(groups=[OffsetFetchRequestGroup(name, topics=None) for name in names]),
    )

    assert [(g.group_id, g.error_code) for g in answer.groups] == [
        ("g", ErrorCode.NONE),
        (mine, ErrorCode.NONE),
        (other, ErrorCode.NOT_COORDINATOR),
        ("", ErrorCode.INVALID_GROUP_ID),
    ]
    assert [len(g.topics) for g in answer.groups] == [1, 1, 0, 0]


@pytest.mark.parametrize("version", range(1, 10))
async def test_what_is_asked_several_times_is_told_once(version, topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5, p1=6)
    if version >= 8:
        asked = [OffsetFetchRequestTopics("t", [0, 0]), OffsetFetchRequestTopics("t", [0, 1])]
        groups = [OffsetFetchRequestGroup("g", topics=[each]) for each in asked * 2]
        request = OffsetFetchRequest(groups=groups)
    else:
        older = [OffsetFetchRequestTopic("t", [0, 0]), OffsetFetchRequestTopic("t", [0, 1])]
        request = OffsetFetchRequest(group_id="g", topics=older)

    answer = await ask_owner(ask, request, version=version)

    if version >= 8:
        (answer,) = answer.groups
    (topic,) = answer.topics
    assert [(p.partition_index, p.committed_offset) for p in topic.partitions] == [(0, 5), (1, 6)]


async def test_a_group_asked_for_all_and_for_some_is_told_all(topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5, p1=6)
    some = OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("t", [0])])
    everything = OffsetFetchRequestGroup("g", topics=None)

    answer = await ask_owner(ask, OffsetFetchRequest(groups=[some, everything, some]))

    (group,) = answer.groups
    assert [p.partition_index for p in group.topics[0].partitions] == [0, 1]


@pytest.mark.parametrize("version", range(1, 8))
async def test_an_error_of_the_group_is_where_each_version_looks(version, ask, autojump_clock):
    request = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic("t", [0, 1])])
    other = next(i for i in ask.cluster.brokers if i != owner(ask))
    answer = await ask(request, version=version, broker_id=other)
    codes = [p.error_code for p in answer.topics[0].partitions]

    expected = ErrorCode.NOT_COORDINATOR if version == 1 else ErrorCode.NONE
    assert codes == [expected] * 2
    assert answer.error_code == (ErrorCode.NONE if version == 1 else ErrorCode.NOT_COORDINATOR)


async def test_a_commit_is_refused_partition_by_partition(topics, ask, autojump_clock):
    partitions = [
        OffsetCommitRequestPartition(0, 5),
        OffsetCommitRequestPartition(3, 5),
        OffsetCommitRequestPartition(-1, 5),
        OffsetCommitRequestPartition(1, 5, committed_metadata="x" * 4_097),
        OffsetCommitRequestPartition(2, -2),
    ]
    request = OffsetCommitRequest(
        group_id="g",
        topics=[
            OffsetCommitRequestTopic("t", partitions),
            OffsetCommitRequestTopic("unknown", [OffsetCommitRequestPartition(0, 5)]),
        ],
    )
    answer = await ask_owner(ask, request)

    assert [[p.error_code for p in topic.partitions] for topic in answer.topics] == [
        [
            ErrorCode.NONE,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode.OFFSET_METADATA_TOO_LARGE,
            ErrorCode.NONE,  # the start: kafkajs sets a group back with it
        ],
        [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
    ]
    assert await fetch(ask) == {("t", 0): 5, ("t", 2): -2}


async def test_a_commit_of_nothing_that_can_be_kept_makes_no_group(topics, ask, autojump_clock):
    assert await GroupClient(ask).commit("unknown", p0=1) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    empty = await ask_owner(ask, OffsetCommitRequest(group_id="g"))

    assert empty.topics == []
    assert await delete(ask, t=[0]) == (ErrorCode.GROUP_ID_NOT_FOUND, {})


async def test_a_topic_that_becomes_known_during_a_commit_costs_no_acknowledged_offset(
    ask, autojump_clock
):
    async def commit(group_id: str) -> None:
        codes[group_id] = await GroupClient(ask, group_id=group_id).commit(p0=5)

    codes: dict[str, list[int]] = {}
    ask.cluster.memory.latency = partial(trio.sleep, 0.1)  # so claims take their time
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create_topics, ask, "t")
        for number in range(40):
            nursery.start_soon(commit, f"group-{number}")
            await trio.sleep(0.05)

    kept = [group_id for group_id, answer in codes.items() if answer == [ErrorCode.NONE]]
    assert 0 < len(kept) < 40
    for group_id in kept:
        assert await fetch(ask, group_id, t=[0]) == {("t", 0): 5}


async def test_a_topic_named_twice_has_all_its_offsets_kept(topics, ask, autojump_clock):
    twice = [
        OffsetCommitRequestTopic("t", [OffsetCommitRequestPartition(0, 5)]),
        OffsetCommitRequestTopic("t", [OffsetCommitRequestPartition(1, 6)]),
    ]
    await ask_owner(ask, OffsetCommitRequest(group_id="g", topics=twice))
    assert await fetch(ask) == {("t", 0): 5, ("t", 1): 6}

    request = OffsetDeleteRequest(
        group_id="g",
        topics=[OffsetDeleteRequestTopic("t", [OffsetDeleteRequestPartition(i)]) for i in (0, 1)],
    )
    await ask_owner(ask, request)
    assert await fetch(ask) == {}


@pytest.mark.parametrize("version", range(2, 10))
async def test_who_is_no_member_may_not_commit_as_one(version, topics, ask, autojump_clock):
    stranger = GroupClient(ask)
    stranger.member_id, stranger.generation_id = "stranger", 3
    gone = ErrorCode.GROUP_ID_NOT_FOUND if version >= 9 else ErrorCode.ILLEGAL_GENERATION
    assert await stranger.commit(p0=1, version=version) == [gone]

    member = GroupClient(ask)
    await member.enter()
    assert await stranger.commit(p0=1, version=version) == [ErrorCode.UNKNOWN_MEMBER_ID]
    assert await GroupClient(ask).commit(p0=1, version=version) == [ErrorCode.UNKNOWN_MEMBER_ID]
    assert await member.commit(p0=2, version=version) == [ErrorCode.NONE]
    member.generation_id = 0
    assert await member.commit(p0=3, version=version) == [ErrorCode.ILLEGAL_GENERATION]
    assert await fetch(ask) == {("t", 0): 2}


async def test_other_brokers_do_not_take_commits(topics, ask, autojump_clock):
    other = next(i for i in ask.cluster.brokers if i != owner(ask))
    request = GroupClient(ask).commit_request(p0=1, p1=1)
    answer = await ask(request, broker_id=other)

    assert [p.error_code for p in answer.topics[0].partitions] == [ErrorCode.NOT_COORDINATOR] * 2


async def test_committed_offsets_outlive_their_groups_broker(topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5, p1=6)
    await ask.cluster.brokers[owner(ask)].kill()
    await trio.sleep(20)

    assert await fetch(ask) == {("t", 0): 5, ("t", 1): 6}


async def test_offsets_go_with_their_topic(topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5)
    await GroupClient(ask).commit("u", p0=6)
    await ask(DeleteTopicsRequest(topics=[DeleteTopicState("t")]))
    await trio.sleep(1)
    assert await fetch(ask) == {("u", 0): 6}

    await create_topics(ask, "t")
    assert await fetch(ask, t=[0]) == {("t", 0): -1}


async def test_offsets_of_a_group_without_members_may_be_deleted(topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5, p1=6)
    code, codes = await delete(ask, t=[0, 2, 3], unknown=[0])

    assert code == ErrorCode.NONE
    assert codes == {
        ("t", 0): ErrorCode.NONE,
        ("t", 2): ErrorCode.NONE,
        ("t", 3): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ("unknown", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    assert await fetch(ask) == {("t", 1): 6}


async def test_offsets_that_members_live_from_are_not_deleted(topics, ask, autojump_clock):
    await GroupClient(ask).commit(p0=5)
    await GroupClient(ask).commit("u", p0=6)
    await GroupClient(ask, protocols={"range": subscription("t")}).enter()
    code, codes = await delete(ask, t=[0], u=[0])

    assert code == ErrorCode.NONE
    assert codes == {("t", 0): ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, ("u", 0): ErrorCode.NONE}
    assert await fetch(ask) == {("t", 0): 5}


@pytest.mark.parametrize("said", [b"", b"\x00\x00gibberish"])
async def test_consumers_that_are_not_understood_may_read_any_topic(
    said, topics, ask, autojump_clock
):
    await GroupClient(ask).commit(p0=5)
    await GroupClient(ask, protocols={"range": said}).enter()

    code, codes = await delete(ask, t=[0])
    assert (code, codes) == (ErrorCode.NONE, {("t", 0): ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC})


async def test_offsets_of_other_kinds_of_groups_are_not_deleted_under_members(
    topics, ask, autojump_clock
):
    await GroupClient(ask, protocol_type="connect").enter()

    assert await delete(ask, t=[0]) == (ErrorCode.NON_EMPTY_GROUP, {})


async def test_offsets_of_no_group_or_another_brokers_are_not_deleted(topics, ask, autojump_clock):
    assert await delete(ask, t=[0]) == (ErrorCode.GROUP_ID_NOT_FOUND, {})
    assert await delete(ask, "", t=[0]) == (ErrorCode.INVALID_GROUP_ID, {})
    other = next(i for i in ask.cluster.brokers if i != owner(ask))
    answer = await ask(OffsetDeleteRequest(group_id="g"), broker_id=other)
    assert answer.error_code == ErrorCode.NOT_COORDINATOR


async def test_a_heartbeat_is_not_needed_where_offsets_are_committed(topics, ask, autojump_clock):
    client = GroupClient(ask)
    await client.enter()
    for offset in range(5):
        await trio.sleep(9)
        assert await client.commit(p0=offset) == [ErrorCode.NONE]


async def test_only_what_finds_no_room_in_the_store_is_refused(topics, ask, autojump_clock):
    wide = CreatableTopic(name="wide", num_partitions=400, replication_factor=1)
    await ask(CreateTopicsRequest(topics=[wide]))
    await trio.sleep(5)

    async def commit(*indexes: int, metadata_bytes: int) -> list[int]:
        """Commit in topic t as well, which has room. Returns: the codes of the wide topic."""
        partitions = [
            OffsetCommitRequestPartition(i, 5, committed_metadata="x" * metadata_bytes)
            for i in indexes
        ]
        topics = [
            OffsetCommitRequestTopic("wide", partitions),
            OffsetCommitRequestTopic("t", [OffsetCommitRequestPartition(0, 7)]),
        ]
        answer = await ask_owner(ask, OffsetCommitRequest(group_id="g", topics=topics))
        assert answer.topics[1].partitions[0].error_code == ErrorCode.NONE
        return [p.error_code for p in answer.topics[0].partitions]

    codes = await commit(*range(300), 400, metadata_bytes=4_096)
    kept = [i for i, code in enumerate(codes) if code == ErrorCode.NONE]
    assert 240 < len(kept) < 245
    assert codes[len(kept) :] == [
        *[ErrorCode.OFFSET_METADATA_TOO_LARGE] * (300 - len(kept)),
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert await fetch(ask) == {("t", 0): 7} | {("wide", i): 5 for i in kept}

    assert await GroupClient(ask).commit("wide", p299=7) == [ErrorCode.NONE]
    assert await commit(300, metadata_bytes=4_096) == [ErrorCode.OFFSET_METADATA_TOO_LARGE]
    fills = [await commit(301 + n, metadata_bytes=2**n) for n in reversed(range(12))]
    assert [ErrorCode.NONE] in fills
    last = [await commit(index, metadata_bytes=0) for index in range(320, 323)]
    assert last[-1] == [ErrorCode.INVALID_COMMIT_OFFSET_SIZE]


async def test_a_commit_that_cannot_be_kept_in_time_is_not_acknowledged(
    topics, ask, autojump_clock
):
    await GroupClient(ask).commit(p0=1)
    first_owner = owner(ask)
    ask.cluster.cut_from_store(first_owner)
    answers = {}

    async def commit() -> None:
        answers["commit"] = await GroupClient(ask).commit(p0=2)

    async def look() -> None:
        group = OffsetFetchRequestGroup("g", topics=None)
        answer = await ask_owner(ask, OffsetFetchRequest(groups=[group]))
        answers["fetch"] = answer.groups[0].error_code

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit)
        nursery.start_soon(look)
    assert answers["commit"] in (
        [ErrorCode.COORDINATOR_NOT_AVAILABLE],
        [ErrorCode.NOT_COORDINATOR],
    )
    assert answers["fetch"] in (
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.NOT_COORDINATOR,
    )
    await trio.sleep(20)
    next_owner = owner_of("g", [i for i in ask.cluster.brokers if i != first_owner])
    group = OffsetFetchRequestGroup("g", topics=None)
    answer = await ask(OffsetFetchRequest(groups=[group]), broker_id=next_owner)
    assert answer.groups[0].topics[0].partitions[0].committed_offset == 1
